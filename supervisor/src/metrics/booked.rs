//! Counters and histograms of what happened.
//!
//! Owns: their names, labels and buckets. Never: a label whose values others can invent.

use std::time::Duration;

use openrtc_ipc::{Wall, WallState, WallStatus};
use openrtc_policy::{Conclusion, Exit, HostPlan, RejectReason};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::observer::words::{Named, status_name};

/// From fork to ready, in seconds: a warm fork takes milliseconds, a cold Python host many seconds.
const READY_SECONDS: [f64; 13] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Length of a session, in seconds.
const SESSION_SECONDS: [f64; 11] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];
/// From an offer to its answer, in seconds: the server gives up after 2.8.
const ANSWER_SECONDS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.5];

/// A histogram of the time that offers waited for their answers.
pub(crate) fn answer_times() -> Histogram {
    Histogram::new(ANSWER_SECONDS)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    tenant: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HowEnded {
    tenant: String,
    status: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Spawned {
    runtime: String,
    spawn: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Change {
    tenant: String,
    to: &'static str,
}

/// All of them. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Booked {
    admitted: Histogram,
    started: Family<OfTenant, Counter>,
    ended: Family<HowEnded, Counter>,
    lasted: Family<WithStatus, Histogram>,
    rejected: Family<Because, Counter>,
    ready: Family<Spawned, Histogram>,
    down: Family<Because, Counter>,
    breaker: Family<Change, Counter>,
    backed_off: Family<OfTenant, Counter>,
}

impl Default for Booked {
    fn default() -> Self {
        Self {
            admitted: answer_times(),
            started: Family::default(),
            ended: Family::default(),
            lasted: Family::new_with_constructor(|| Histogram::new(SESSION_SECONDS)),
            rejected: Family::default(),
            ready: Family::new_with_constructor(|| Histogram::new(READY_SECONDS)),
            down: Family::default(),
            breaker: Family::default(),
            backed_off: Family::default(),
        }
    }
}

impl Booked {
    pub(super) fn admitted(&self, within: Duration) {
        self.admitted.observe(within.as_secs_f64());
    }

    pub(super) fn started(&self, tenant: String) {
        self.started.get_or_create(&OfTenant { tenant }).inc();
    }

    pub(super) fn ended(&self, tenant: String, conclusion: &Conclusion) {
        let status = status_name(conclusion.outcome.status);
        let reason = Named::of(&conclusion.outcome.reason).name;
        self.ended.get_or_create(&HowEnded { tenant, status, reason }).inc();
        if conclusion.started {
            self.lasted.get_or_create(&WithStatus { status }).observe(conclusion.duration_ms as f64 / 1e3);
        }
    }

    pub(super) fn rejected(&self, tenant: String, reason: RejectReason) {
        self.rejected.get_or_create(&Because { tenant, reason: reason.name().to_owned() }).inc();
    }

    pub(super) fn ready(&self, plan: &HostPlan, walls: &[WallStatus], after_ms: u64) {
        let warm = |wall: &WallStatus| wall.wall == Wall::Zygote && matches!(wall.state, WallState::Kernel(_));
        let spawn = if walls.iter().any(warm) { "zygote" } else { "cold" };
        let labels = Spawned { runtime: plan.runtime.to_string(), spawn };
        self.ready.get_or_create(&labels).observe(after_ms as f64 / 1e3);
    }

    pub(super) fn down(&self, tenant: String, exit: Option<&Exit>) {
        let reason = exit.map_or_else(|| "never_up".to_owned(), |exit| Named::of(exit).name);
        self.down.get_or_create(&Because { tenant, reason }).inc();
    }

    pub(super) fn breaker(&self, tenant: String, to: &'static str) {
        self.breaker.get_or_create(&Change { tenant, to }).inc();
    }

    pub(super) fn backed_off(&self, tenant: String) {
        self.backed_off.get_or_create(&OfTenant { tenant }).inc();
    }

    pub(super) fn register(&self, families: &mut Registry) {
        families.register_with_unit(
            "admission",
            "From a dispatch's asking until it was admitted",
            Unit::Seconds,
            self.admitted.clone(),
        );
        families.register("sessions_started", "Sessions that started on a host", self.started.clone());
        families.register("sessions_ended", "Sessions that ended, by status and reason", self.ended.clone());
        families.register_with_unit(
            "session_duration",
            "From a session's start to its end",
            Unit::Seconds,
            self.lasted.clone(),
        );
        families.register("dispatches_rejected", "Dispatches refused, by reason", self.rejected.clone());
        families.register_with_unit(
            "host_ready",
            "From a host's fork until it took sessions",
            Unit::Seconds,
            self.ready.clone(),
        );
        families.register("hosts_ended", "Host processes that ended, by exit reason", self.down.clone());
        families.register("breaker_changes", "Times that a breaker changed to this state", self.breaker.clone());
        families.register("restarts_backed_off", "Times that the next host had to wait", self.backed_off.clone());
    }
}
