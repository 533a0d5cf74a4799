//! Stops a tenant whose sessions keep failing, for a while.
//!
//! Owns: one tenant's samples and state (semantics D1–D4). Never: judges a session; who is to blame stands in
//! `outcome.rs`, and only a tenant's own failures come here.
//!
//! ```text
//!            failures/samples > ratio, or tripped          cooldown over
//! Closed ───────────────────────────────────────► Open ─────────────────► Closed      (the seeds' behaviour)
//!    ▲                                              ▲ └───────────────────► HalfOpen   (half_open_max_sessions)
//!    └────────────── a probe is good ──────────┐    └── a probe fails ─────────┘ │
//!                                              └─────────────────────────────────┘
//! ```
//!
//! A session carries the epoch it was admitted in; opening starts a new epoch, and outcomes of an older one are not
//! counted, so that calls which were already running cannot open the breaker again right after it recovered (V20).

use std::collections::{BTreeSet, VecDeque};

use openrtc_ipc::SessionId;

use crate::Moment;
use crate::bounds::BREAKER_SAMPLES_MAX;
use crate::rules::BreakerRules;

/// One cause: one session's end, or one host's death however many sessions it carried (decision R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// It went well.
    Good,
    /// The tenant's code failed.
    Bad,
}

/// What became of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened, until then.
    Opened { failures: u32, samples: u32, until: Moment },
    /// It lets probes through.
    Probing,
    /// It closed.
    Closed,
}

/// Where a breaker stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Sessions flow; the window is watched.
    Closed { window: Window },
    /// None are admitted until then.
    Open { until: Moment },
    /// A few are, on probation.
    HalfOpen { probes: BTreeSet<SessionId> },
}

/// The samples of the rolling window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: VecDeque<(Moment, Sample)>,
    failures: u32,
}

impl Window {
    fn push(&mut self, now: Moment, sample: Sample) {
        if self.samples.len() >= BREAKER_SAMPLES_MAX {
            self.pop();
        }
        self.samples.push_back((now, sample));
        self.failures += u32::from(sample == Sample::Bad);
    }

    fn expire(&mut self, now: Moment, window_ms: u64) {
        while self.samples.front().is_some_and(|(at, _)| now.ms_since(*at) > window_ms) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, sample)) = self.samples.pop_front() {
            self.failures -= u32::from(sample == Sample::Bad);
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.samples.len()).unwrap_or(u32::MAX)
    }

    /// Failures and samples not older than the window.
    fn count(&self, now: Moment, window_ms: u64) -> (u32, u32) {
        let recent = self.samples.iter().filter(|(at, _)| now.ms_since(*at) <= window_ms);
        recent.fold((0, 0), |(bad, all), (_, sample)| (bad + u32::from(*sample == Sample::Bad), all + 1))
    }
}

/// One tenant's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    epoch: u64,
    opened_count: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { window: Window::default() }, epoch: 0, opened_count: 0 }
    }
}

impl Breaker {
    /// Whether a session may be admitted; otherwise in how many milliseconds asking again may help.
    pub(crate) fn permits(&self, now: Moment, rules: &BreakerRules) -> Result<(), u64> {
        match &self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } => Err(until.ms_since(now)),
            State::HalfOpen { probes } => {
                let probes_max = rules.half_open_max_sessions.unwrap_or(u32::MAX);
                let room = u32::try_from(probes.len()).is_ok_and(|count| count < probes_max);
                if room { Ok(()) } else { Err(rules.half_open_success_after_ms) }
            }
        }
    }

    /// A session was admitted; gives the epoch that it carries from now on.
    pub(crate) fn admitted(&mut self, session: SessionId) -> u64 {
        match &mut self.state {
            State::HalfOpen { probes } => _ = probes.insert(session),
            State::Closed { .. } | State::Open { .. } => {}
        }
        self.epoch
    }

    /// A session is gone, whatever became of it: if it was a probe, another may be let through.
    pub(crate) fn let_go(&mut self, session: SessionId) {
        match &mut self.state {
            State::HalfOpen { probes } => _ = probes.remove(&session),
            State::Closed { .. } | State::Open { .. } => {}
        }
    }

    /// Whether the session is on probation.
    pub(crate) fn probes(&self, session: SessionId) -> bool {
        matches!(&self.state, State::HalfOpen { probes } if probes.contains(&session))
    }

    /// Books one sample of sessions admitted in that epoch.
    pub(crate) fn record(&mut self, now: Moment, epoch: u64, sample: Sample, rules: &BreakerRules) -> Option<Change> {
        if !rules.enabled || epoch != self.epoch {
            return None;
        }
        match (&mut self.state, sample) {
            (State::Closed { window }, sample) => {
                window.expire(now, rules.window_ms);
                window.push(now, sample);
                let (failures, samples) = (window.failures, window.len());
                let ratio = f64::from(failures) / f64::from(samples);
                let opens = samples >= rules.min_samples && ratio > rules.failure_ratio;
                opens.then(|| self.open(now, failures, samples, rules.cooldown_ms))
            }
            (State::Open { .. }, _) => None,
            (State::HalfOpen { .. }, Sample::Good) => Some(self.close()),
            (State::HalfOpen { .. }, Sample::Bad) => Some(self.open(now, 1, 1, rules.cooldown_ms)),
        }
    }

    /// The cooldown's time has come.
    pub(crate) fn cooled(&mut self, now: Moment, rules: &BreakerRules) -> Option<Change> {
        match (&self.state, rules.half_open_max_sessions) {
            (State::Open { until }, _) if now < *until => None,
            (State::Open { .. }, Some(_)) => {
                self.state = State::HalfOpen { probes: BTreeSet::new() };
                Some(Change::Probing)
            }
            (State::Open { .. }, None) => Some(self.close()),
            (State::Closed { .. } | State::HalfOpen { .. }, _) => None,
        }
    }

    /// A probing session lasted long enough.
    pub(crate) fn proven(&mut self, session: SessionId) -> Option<Change> {
        self.probes(session).then(|| self.close())
    }

    /// An operator opens it (semantics D8), even where it is not enabled.
    pub(crate) fn trip(&mut self, now: Moment, for_ms: u64) -> Change {
        self.open(now, 0, 0, for_ms)
    }

    /// An operator closes it, and what came before no longer counts.
    pub(crate) fn reset(&mut self) -> Option<Change> {
        let was_closed = matches!(self.state, State::Closed { .. });
        self.epoch += 1;
        let change = self.close();
        (!was_closed).then_some(change)
    }

    /// Whether nothing would be lost by forgetting it.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Name of the state.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    /// Failures and samples in the window; both 0 unless closed.
    pub(crate) fn counts(&self, now: Moment, rules: &BreakerRules) -> (u32, u32) {
        match &self.state {
            State::Closed { window } => window.count(now, rules.window_ms),
            State::Open { .. } | State::HalfOpen { .. } => (0, 0),
        }
    }

    /// Milliseconds until the cooldown is over; 0 unless open (semantics D7).
    pub(crate) fn remaining_ms(&self, now: Moment) -> u64 {
        match self.state {
            State::Open { until } => until.ms_since(now),
            State::Closed { .. } | State::HalfOpen { .. } => 0,
        }
    }

    /// Times it opened.
    pub(crate) fn opened_count(&self) -> u64 {
        self.opened_count
    }

    fn open(&mut self, now: Moment, failures: u32, samples: u32, cooldown_ms: u64) -> Change {
        let until = now.plus_ms(cooldown_ms);
        self.state = State::Open { until };
        self.epoch += 1;
        self.opened_count += 1;
        Change::Opened { failures, samples, until }
    }

    fn close(&mut self) -> Change {
        self.state = State::Closed { window: Window::default() };
        Change::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::seed_breaker;

    const PROBE: SessionId = SessionId { run: 1, seq: 7 };

    fn feed(breaker: &mut Breaker, now: Moment, good: u32, bad: u32, rules: &BreakerRules) -> Option<Change> {
        let samples =
            std::iter::repeat_n(Sample::Good, good as usize).chain(std::iter::repeat_n(Sample::Bad, bad as usize));
        samples.fold(None, |change, sample| change.or(breaker.record(now, breaker.epoch, sample, rules)))
    }

    #[test]
    fn it_opens_on_more_than_half_of_at_least_five_and_never_on_exactly_half() {
        for (good, bad, opens) in
            [(5, 5, false), (5, 6, true), (0, 4, false), (0, 5, true), (2, 3, true), (3, 2, false)]
        {
            let mut breaker = Breaker::default();
            let change = feed(&mut breaker, Moment(0), good, bad, &seed_breaker());
            assert_eq!(change.is_some(), opens, "{bad} failures of {}", good + bad);
        }
    }

    #[test]
    fn it_rejects_for_29_9_seconds_with_the_true_remainder_and_accepts_after_30_1() {
        let rules = seed_breaker();
        let mut breaker = Breaker::default();
        feed(&mut breaker, Moment(1_000), 0, 5, &rules);
        assert_eq!(breaker.cooled(Moment(30_900), &rules), None);
        assert_eq!(breaker.permits(Moment(30_900), &rules), Err(100));
        assert_eq!(breaker.remaining_ms(Moment(30_900)), 100);
        assert_eq!(breaker.cooled(Moment(31_100), &rules), Some(Change::Closed));
        assert_eq!(breaker.permits(Moment(31_100), &rules), Ok(()));
    }

    #[test]
    fn samples_older_than_the_window_do_not_count() {
        let rules = seed_breaker();
        let mut breaker = Breaker::default();
        assert_eq!(feed(&mut breaker, Moment(0), 0, 4, &rules), None);
        assert_eq!(feed(&mut breaker, Moment(60_001), 0, 1, &rules), None);
        assert_eq!(breaker.counts(Moment(60_001), &rules), (1, 1));
    }

    #[test]
    fn a_session_admitted_before_it_opened_cannot_open_it_again() {
        let rules = seed_breaker();
        let mut breaker = Breaker::default();
        let old = breaker.admitted(PROBE);
        feed(&mut breaker, Moment(0), 0, 5, &rules);
        breaker.cooled(Moment(30_000), &rules);
        for _ in 0..20 {
            assert_eq!(breaker.record(Moment(30_001), old, Sample::Bad, &rules), None);
        }
        assert_eq!(breaker.counts(Moment(30_001), &rules), (0, 0));
    }

    #[test]
    fn the_window_is_cleared_when_it_opens() {
        let rules = seed_breaker();
        let mut breaker = Breaker::default();
        feed(&mut breaker, Moment(0), 0, 5, &rules);
        breaker.cooled(Moment(30_000), &rules);
        assert_eq!(feed(&mut breaker, Moment(30_000), 0, 4, &rules), None);
        assert!(feed(&mut breaker, Moment(30_000), 0, 1, &rules).is_some());
        assert_eq!(breaker.opened_count(), 2);
    }

    #[test]
    fn half_open_lets_so_many_through_and_is_judged_by_the_first() {
        let rules = BreakerRules { half_open_max_sessions: Some(1), ..seed_breaker() };
        let half_open = || {
            let mut breaker = Breaker::default();
            feed(&mut breaker, Moment(0), 0, 5, &rules);
            assert_eq!(breaker.cooled(Moment(30_000), &rules), Some(Change::Probing));
            let epoch = breaker.admitted(PROBE);
            (breaker, epoch)
        };
        let now = Moment(30_001);

        let (breaker, _) = half_open();
        assert_eq!(breaker.permits(now, &rules), Err(10_000));
        let (mut breaker, epoch) = half_open();
        assert!(matches!(breaker.record(now, epoch, Sample::Bad, &rules), Some(Change::Opened { .. })));
        let (mut breaker, epoch) = half_open();
        assert_eq!(breaker.record(now, epoch, Sample::Good, &rules), Some(Change::Closed));
        let (mut breaker, _) = half_open();
        assert_eq!(breaker.proven(PROBE), Some(Change::Closed));
        let (mut breaker, _) = half_open();
        breaker.let_go(PROBE);
        assert_eq!(breaker.permits(now, &rules), Ok(()), "a probe without a verdict makes room for another");
    }

    #[test]
    fn a_disabled_breaker_never_opens_by_itself_but_an_operator_can_trip_and_reset_it() {
        let rules = BreakerRules { enabled: false, ..seed_breaker() };
        let mut breaker = Breaker::default();
        assert_eq!(feed(&mut breaker, Moment(0), 0, 50, &rules), None);
        breaker.trip(Moment(0), 5_000);
        assert_eq!(breaker.permits(Moment(1_000), &rules), Err(4_000));
        assert_eq!(breaker.reset(), Some(Change::Closed));
        assert_eq!(breaker.reset(), None);
    }
}
