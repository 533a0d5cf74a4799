//! Pings by the supervisor's own clock (semantics K5).
//!
//! Owns: when to ask, what is still unanswered, and saying for how long. Never: decides what silence means.

use std::time::Duration;

use openrtc_policy::HostEvent;
use tokio::time::{Instant, sleep_until};

use super::link::LinkFault;

/// How often silence is reported while it lasts.
const REPEAT: Duration = Duration::from_millis(500);

/// What it is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Ask.
    Ping,
    /// Say that nothing was heard.
    Silence,
}

/// One host's pulse.
#[derive(Debug)]
pub struct Liveness {
    interval: Duration,
    warn_after: Duration,
    next_ping: Instant,
    nonce: u64,
    asked_at: Option<Instant>,
    next_silence: Option<Instant>,
    silent: bool,
}

impl Liveness {
    /// Asks first after one interval; `warn_after_ms` without an answer is silence.
    pub fn new(interval: Duration, warn_after_ms: u64) -> Self {
        Self {
            interval,
            warn_after: Duration::from_millis(warn_after_ms),
            next_ping: Instant::now() + interval,
            nonce: 0,
            asked_at: None,
            next_silence: None,
            silent: false,
        }
    }

    /// Waits for the next beat. Cancel safe.
    pub async fn next(&self) -> Beat {
        match self.next_silence {
            Some(silence) => {
                sleep_until(silence).await;
                Beat::Silence
            }
            None => {
                sleep_until(self.next_ping).await;
                Beat::Ping
            }
        }
    }

    /// Does what it is time for.
    pub fn beat(
        &mut self,
        beat: Beat,
        ping: impl FnOnce(u64) -> Result<(), LinkFault>,
    ) -> Result<Option<HostEvent>, LinkFault> {
        let now = Instant::now();
        match (beat, self.asked_at) {
            (Beat::Ping, _) | (Beat::Silence, None) => {
                self.nonce += 1;
                self.asked_at = Some(now);
                self.next_silence = Some(now + self.warn_after);
                ping(self.nonce)?;
                Ok(None)
            }
            (Beat::Silence, Some(asked_at)) => {
                self.silent = true;
                self.next_silence = Some(now + REPEAT);
                let ms = u64::try_from((now - asked_at).as_millis()).unwrap_or(u64::MAX);
                Ok(Some(HostEvent::Silent { ms }))
            }
        }
    }

    /// Takes an answer; gives its round trip in microseconds, and word of recovery if it had been silent.
    ///
    /// An answer to what was never asked is a violation; one that comes twice is ignored.
    pub fn pong(&mut self, nonce: u64) -> Result<Option<(Option<HostEvent>, u64)>, LinkFault> {
        if nonce > self.nonce {
            return Err(LinkFault::Violation { kind: "pong" });
        }
        let Some(asked_at) = self.asked_at.filter(|_| nonce == self.nonce) else { return Ok(None) };
        self.asked_at = None;
        self.next_silence = None;
        self.next_ping = asked_at + self.interval;
        let recovered = std::mem::take(&mut self.silent).then_some(HostEvent::Responsive);
        let micros = u64::try_from(asked_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Some((recovered, micros)))
    }
}
