//! How long to wait before connecting again.
//!
//! Owns: the delays. Never: gives up, or rolls dice; chance is an argument.

use std::time::Duration;

use crate::bounds::{RECONNECT_FIRST, RECONNECT_MAX};

/// The delays of one worker.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next delay. `chance` is drawn evenly from 0 to 1: dispatch is fire-once, so every second without a connection
    /// loses calls, and the first try is as good as at once; but a fleet must not come back in one instant.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let ceiling = RECONNECT_FIRST.saturating_mul(1 << self.attempts.min(16)).min(RECONNECT_MAX);
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(if chance.is_nan() { 1.0 } else { chance.clamp(0.0, 1.0) })
    }

    /// Delays since the last reset.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// A connection has proved itself.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_delay_is_at_most_250_ms_and_none_is_above_10_s_for_ever() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u128> = (0..200).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(ceilings[..8], [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert!(ceilings[8..].iter().all(|ms| *ms == 10_000));
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(f64::NAN).as_millis(), 500);
    }
}
