//! How much a host may say in a second.
//!
//! Owns: one token bucket. Never: reads a clock; the time is an argument.

use std::time::{Duration, Instant};

/// So much may be taken at once; it fills again within this time.
const BURST: Duration = Duration::from_secs(1);

/// A bucket of so many units, filled evenly within a second (reports, bytes).
///
/// Kept as one point in time, the moment at which all that was taken is paid for: taking moves it forward, and it may
/// be at most a second ahead.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    per_s: u64,
    paid_at: Instant,
}

impl TokenBucket {
    /// A full bucket of `per_s` units (0 is taken as 1).
    pub fn new(per_s: u64, now: Instant) -> Self {
        Self { per_s: per_s.max(1), paid_at: now }
    }

    /// Takes all of `amount`, or nothing.
    #[must_use]
    pub fn take(&mut self, now: Instant, amount: u64) -> bool {
        let paid_at = self.paid_at.max(now) + self.time_for(amount);
        let granted = paid_at.duration_since(now) <= BURST;
        if granted {
            self.paid_at = paid_at;
        }
        granted
    }

    /// Takes `amount` even beyond what is there; gives how long to wait before taking more.
    #[must_use]
    pub fn overdraw(&mut self, now: Instant, amount: u64) -> Duration {
        self.paid_at = self.paid_at.max(now) + self.time_for(amount);
        self.paid_at.duration_since(now).saturating_sub(BURST)
    }

    fn time_for(&self, amount: u64) -> Duration {
        // An hour is as good as never, and keeps the sum of an Instant and this from overflowing.
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(self.per_s);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_may_be_taken_at_once_and_no_more() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(10, now);
        assert_eq!((0..100).filter(|_| bucket.take(now, 1)).count(), 10);
        assert_eq!((0..100).filter(|_| bucket.take(now + Duration::from_millis(500), 1)).count(), 5);
    }

    #[test]
    fn a_rest_never_saves_more_than_a_second_s_worth() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(10, now);
        let later = now + Duration::from_secs(60);
        assert!(!bucket.take(later, 11));
        assert!(bucket.take(later, 10));
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(10, now);
        assert!(!bucket.take(now, 11));
        assert!(bucket.take(now, 10));
    }

    #[test]
    fn who_overdraws_waits_until_it_is_paid() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(1000, now);
        assert_eq!(bucket.overdraw(now, 1000), Duration::ZERO);
        assert_eq!(bucket.overdraw(now, 250), Duration::from_millis(250));
        assert_eq!(bucket.overdraw(now + Duration::from_secs(2), 10), Duration::ZERO);
    }

    #[test]
    fn no_amount_overflows_and_time_may_stand_still_or_go_back() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(0, now + Duration::from_secs(1));
        assert!(!bucket.take(now, u64::MAX));
        assert!(bucket.overdraw(now, u64::MAX) > Duration::ZERO);
    }
}
