//! What is counted, for Prometheus: `/metrics`.
//!
//! Owns: counters and histograms that are booked as things happen, and the exposition's two forms. Never: counts
//! backwards; waits on a host; grows with tenants that nobody configured.
//!
//! Events are booked where they are told ([`crate::observer::Fanout::tell`]), before any queue, so that nothing is lost
//! to a count. What is a state and no event is gathered for each scrape, in `control/metrics.rs`.

mod booked;
pub mod exposition;
mod meters;
pub mod process;
pub mod table;
mod tenants;

use std::sync::{Arc, Mutex, PoisonError};

use openrtc_ipc::TenantId;
use openrtc_policy::Notice;
use prometheus_client::registry::Registry as Families;

use crate::host::Registry;
use crate::observer::Told;
use booked::Booked;
pub(crate) use booked::answer_times;
use meters::Meters;
use tenants::TenantLabels;

/// In front of every name of ours.
pub const PREFIX: &str = "openrtc";

/// Everything that is counted. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    tenants: Arc<TenantLabels>,
    booked: Booked,
    meters: Arc<Mutex<Meters>>,
}

impl Metrics {
    /// Gives these tenants series of their own, as far as there is room; the others share `tenant="other"`.
    pub fn admit<'a>(&self, tenants: impl IntoIterator<Item = &'a TenantId>) {
        self.tenants.admit(tenants);
    }

    /// The label under which a tenant is counted.
    pub fn label(&self, tenant: &TenantId) -> String {
        self.tenants.label(tenant)
    }

    /// Counts one thing told. Never waits longer than a scrape reads.
    pub fn book(&self, told: &Told) {
        let label = |tenant: &TenantId| self.tenants.label(tenant);
        match told {
            Told::SessionStarted(info, _) => self.booked.started(label(&info.tenant)),
            Told::Admitted(admission) => {
                self.booked.admitted(admission.answered.duration_since(admission.asked).unwrap_or_default());
            }
            Told::SessionEnded(ended) => self.booked.ended(label(&ended.conclusion.plan.tenant), &ended.conclusion),
            Told::HostUp { plan, walls, ready_after_ms, .. } => self.booked.ready(plan, walls, *ready_after_ms),
            Told::HostDown { plan, exit, evidence, .. } => {
                let label = label(&plan.tenant);
                let cpu_micros = evidence.as_ref().and_then(|evidence| evidence.cpu_micros);
                self.meters.lock().unwrap_or_else(PoisonError::into_inner).close(plan.host, &label, cpu_micros);
                self.booked.down(label, exit.as_ref());
            }
            Told::Rejected(rejection) => {
                self.booked.rejected(rejection.tenant.as_ref().map(label).unwrap_or_default(), rejection.reason);
            }
            Told::Notice(notice) => self.noticed(notice),
            Told::SessionEvent(..) | Told::Line(..) | Told::Snapshot(_) | Told::Audit(_) => {}
        }
    }

    fn noticed(&self, notice: &Notice) {
        let label = |tenant| self.tenants.label(tenant);
        match notice {
            Notice::BreakerOpened { tenant, .. } => self.booked.breaker(label(tenant), "open"),
            Notice::BreakerProbing { tenant } => self.booked.breaker(label(tenant), "half_open"),
            Notice::BreakerClosed { tenant } => self.booked.breaker(label(tenant), "closed"),
            Notice::RestartBackedOff { tenant, .. } => self.booked.backed_off(label(tenant)),
            Notice::RanAsDefault { .. }
            | Notice::UnconfiguredTenant { .. }
            | Notice::HostCondemned { .. }
            | Notice::HostGone { .. }
            | Notice::DrainStarted { .. } => {}
        }
    }

    /// Every counter and histogram, for an exposition, with what hosts have used until now.
    pub fn families(&self, hosts: &Registry) -> Families {
        let mut families = Families::with_prefix(PREFIX);
        self.booked.register(&mut families);
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a host leaves the registry before its end is told, so none is counted twice.
        for record in hosts.all() {
            meters.read(record.plan.host, &self.label(&record.plan.tenant), record.gauges(), record.snapshot());
        }
        families.register_collector(Box::new(meters.table()));
        families
    }
}

#[cfg(test)]
mod tests {
    use super::exposition::Form;
    use super::*;
    use crate::observer::samples;
    use openrtc_policy::bounds::METRIC_TENANTS_MAX;
    use openrtc_policy::{RejectReason, Rejection};

    fn tenant(nth: usize) -> TenantId {
        TenantId::parse(&format!("tenant-{nth}")).unwrap()
    }

    fn refused(tenant: TenantId) -> Told {
        let reason = RejectReason::TenantUnknown;
        let detail = String::new();
        Told::Rejected(Arc::new(Rejection { reason, detail, retry_after_ms: None, tenant: Some(tenant) }))
    }

    fn text(metrics: &Metrics) -> String {
        Form::OpenMetrics.write(&[metrics.families(&Registry::default())])
    }

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    #[test]
    fn what_is_told_is_counted_once_each() {
        let metrics = Metrics::default();
        metrics.admit([&samples::tenant()]);
        samples::every().iter().for_each(|told| metrics.book(told));
        let text = text(&metrics);
        for series in [
            "openrtc_sessions_started_total{tenant=\"acme-corp\"}",
            "openrtc_sessions_ended_total{tenant=\"acme-corp\",status=\"failed\",reason=\"host_exit\"}",
            "openrtc_session_duration_seconds_bucket{le=\"5.0\",status=\"failed\"}",
            "openrtc_dispatches_rejected_total{tenant=\"acme-corp\",reason=\"tenant_cap\"}",
            "openrtc_hosts_ended_total{tenant=\"acme-corp\",reason=\"mem_watchdog\"}",
            "openrtc_host_ready_seconds_bucket{le=\"0.02\",runtime=\"command\",spawn=\"cold\"}",
            "openrtc_breaker_changes_total{tenant=\"acme-corp\",to=\"half_open\"}",
            "openrtc_restarts_backed_off_total{tenant=\"acme-corp\"}",
        ] {
            assert_eq!(value(&text, series), Some(1.0), "{series}\n{text}");
        }
    }

    #[test]
    fn invented_tenants_share_one_series() {
        let metrics = Metrics::default();
        metrics.admit([&tenant(0)]);
        metrics.book(&refused(tenant(0)));
        let before = text(&metrics).lines().count();
        (1..5_000).for_each(|nth| metrics.book(&refused(tenant(nth))));
        let text = text(&metrics);
        assert_eq!(text.lines().count(), before + 1);
        let other = "openrtc_dispatches_rejected_total{tenant=\"other\",reason=\"tenant_unknown\"}";
        assert_eq!(value(&text, other), Some(4_999.0));
    }

    #[test]
    fn configured_tenants_beyond_the_bound_share_it_too() {
        let metrics = Metrics::default();
        let all: Vec<_> = (0..METRIC_TENANTS_MAX + 50).map(tenant).collect();
        metrics.admit(&all);
        metrics.admit(&all);
        let own = all.iter().filter(|tenant| metrics.label(tenant) != "other").count();
        assert_eq!(own, METRIC_TENANTS_MAX);
    }
}
