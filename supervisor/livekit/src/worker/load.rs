//! How full the worker says it is.
//!
//! Owns: the rule that turns used shares into the server's load, and when to say so. Never: reports 0.7 to 1.0 while
//! admitting, which the server takes as "never".

use std::time::Instant;

use crate::bounds::{LOAD_ADMITTING_MAX, REPORT_APART, REPORT_EVERY};
use crate::proto::WorkerStatus;

/// How full the worker is, as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// The largest used share of any cap, 0 to 1. What is not in there is put in there.
    pub used: f64,
    /// Whether any more jobs are taken.
    pub admitting: bool,
}

impl Capacity {
    /// Takes no jobs.
    pub const FULL: Self = Self { used: 1.0, admitting: false };
    /// Has nothing to do.
    pub const IDLE: Self = Self { used: 0.0, admitting: true };
}

/// What the server is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadReport {
    /// Whether jobs are taken.
    pub status: WorkerStatus,
    /// The weight: 0 to 0.69 while they are, 1 otherwise.
    pub load: f32,
}

impl LoadReport {
    /// What the server is told of this capacity.
    pub fn of(capacity: Capacity, draining: bool) -> Self {
        if draining || !capacity.admitting {
            return Self { status: WorkerStatus::WsFull, load: 1.0 };
        }
        // Not a number: taken as the most, so that a broken sum does not attract every call.
        let used = if capacity.used.is_nan() { 1.0 } else { capacity.used.clamp(0.0, 1.0) };
        Self { status: WorkerStatus::WsAvailable, load: (used * LOAD_ADMITTING_MAX) as f32 }
    }

    /// Whether jobs are taken.
    pub fn available(&self) -> bool {
        self.status == WorkerStatus::WsAvailable
    }
}

/// What was said on one connection, and when to say it again.
#[derive(Debug)]
pub(crate) struct Reporter {
    said: LoadReport,
    at: Instant,
    sequence: u64,
}

impl Reporter {
    /// One that has just said `report`, for the first time on its connection.
    pub(crate) fn new(report: LoadReport, now: Instant) -> Self {
        Self { said: report, at: now, sequence: 1 }
    }

    /// Counts what was said on this connection.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What was said last.
    pub(crate) fn said(&self) -> LoadReport {
        self.said
    }

    /// When to say `wanted`.
    pub(crate) fn due(&self, wanted: LoadReport) -> Instant {
        if wanted == self.said {
            self.at + REPORT_EVERY
        } else if self.said.available() && !wanted.available() {
            self.at
        } else {
            self.at + REPORT_APART
        }
    }

    /// Notes that `report` is said now.
    pub(crate) fn note(&mut self, report: LoadReport, now: Instant) {
        *self = Self { said: report, at: now, sequence: self.sequence + 1 };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_available_worker_never_reports_what_the_server_takes_as_never(used in any::<f64>(), admitting: bool, draining: bool) {
            let report = LoadReport::of(Capacity { used, admitting }, draining);
            if report.available() {
                prop_assert!((0.0..0.7).contains(&report.load), "{report:?}");
            } else {
                prop_assert_eq!(report.load, 1.0);
                prop_assert!(draining || !admitting);
            }
        }
    }

    #[test]
    fn a_share_beyond_its_cap_or_no_number_at_all_is_the_most_that_may_be_said() {
        for used in [1.0, 7.0, f64::INFINITY, f64::NAN] {
            assert_eq!(LoadReport::of(Capacity { used, admitting: true }, false).load, 0.69);
        }
        for used in [0.0, -1.0, f64::NEG_INFINITY] {
            assert_eq!(LoadReport::of(Capacity { used, admitting: true }, false).load, 0.0);
        }
        assert_eq!(LoadReport::of(Capacity { used: 0.5, admitting: true }, false).load, 0.345);
    }

    #[test]
    fn full_is_said_at_once_and_anything_else_at_most_every_tenth_of_a_second() {
        let now = Instant::now();
        let idle = LoadReport::of(Capacity::IDLE, false);
        let half = LoadReport::of(Capacity { used: 0.5, admitting: true }, false);
        let full = LoadReport::of(Capacity::FULL, false);
        let reporter = Reporter::new(idle, now);
        assert_eq!(reporter.due(idle), now + REPORT_EVERY);
        assert_eq!(reporter.due(half), now + REPORT_APART);
        assert_eq!(reporter.due(full), now);
        assert_eq!(Reporter::new(full, now).due(idle), now + REPORT_APART);
    }
}
