//! What policy waits for.
//!
//! Owns: one due moment for each thing that is waited for. Never: reads a clock; the driver sends `Event::Tick`.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_ipc::{HostId, RuntimeName, SessionId, TenantId};

use crate::Moment;

/// Something that time alone brings about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A reservation was not assigned in time.
    Offer(SessionId),
    /// A session ran for as long as it may.
    Duration(SessionId),
    /// A session that was asked to end has not ended.
    EndGrace(SessionId),
    /// A probing session has lasted long enough to count as good.
    Probe(SessionId),
    /// A host waited too long for its turn to be spawned.
    Queued(HostId),
    /// A host was not ready in time.
    Boot(HostId),
    /// A host was idle for long enough.
    Idle(HostId),
    /// A host said goodbye and is still there.
    Leave(HostId),
    /// A breaker's cooldown is over.
    Breaker(TenantId),
    /// Hosts of this tenant and runtime did not die for a healthy while.
    Healthy(TenantId, RuntimeName),
    /// A drain's time is over: one tenant's, or everybody's.
    Drain(Option<TenantId>),
}

/// Every timer that runs.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    moments: BTreeMap<Timer, Moment>,
    queue: BTreeSet<(Moment, Timer)>,
}

impl Timers {
    /// Starts the timer, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, due: Moment) {
        self.cancel(&timer);
        self.queue.insert((due, timer.clone()));
        self.moments.insert(timer, due);
    }

    /// Stops the timer, if it runs.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(due) = self.moments.remove(timer) {
            self.queue.remove(&(due, timer.clone()));
        }
    }

    /// Stops whatever is waited for on behalf of a session.
    pub(crate) fn cancel_session(&mut self, session: SessionId) {
        for timer in [Timer::Offer, Timer::Duration, Timer::EndGrace, Timer::Probe] {
            self.cancel(&timer(session));
        }
    }

    /// Stops whatever is waited for on behalf of a host.
    pub(crate) fn cancel_host(&mut self, host: HostId) {
        for timer in [Timer::Queued, Timer::Boot, Timer::Idle, Timer::Leave] {
            self.cancel(&timer(host));
        }
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Timer> {
        self.queue.first().filter(|(due, _)| *due <= now)?;
        let (_, timer) = self.queue.pop_first()?;
        self.moments.remove(&timer);
        Some(timer)
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.queue.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId { run: 1, seq: 1 };

    #[test]
    fn a_timer_that_is_set_again_fires_once_and_at_the_later_moment() {
        let mut timers = Timers::default();
        timers.set(Timer::Offer(SESSION), Moment(10));
        timers.set(Timer::Offer(SESSION), Moment(20));
        assert_eq!(timers.next(), Some(Moment(20)));
        assert_eq!(timers.take_due(Moment(19)), None);
        assert_eq!(timers.take_due(Moment(20)), Some(Timer::Offer(SESSION)));
        assert_eq!(timers.take_due(Moment(99)), None);
    }

    #[test]
    fn a_cancelled_session_leaves_no_timer_behind() {
        let mut timers = Timers::default();
        timers.set(Timer::Offer(SESSION), Moment(10));
        timers.set(Timer::Duration(SESSION), Moment(30));
        timers.cancel_session(SESSION);
        assert_eq!(timers.next(), None);
    }
}
