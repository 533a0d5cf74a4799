//! What policy shows of itself.
//!
//! Owns: plain copies of its state, as of the last event (a driver that wants them fresh sends a tick first). Never:
//! lets a reader change anything.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, HostId, SessionId, TenantId};

use crate::Moment;
use crate::drain::Phase;
use crate::effect::{HostPlan, SessionPlan};
use crate::policy::Policy;
use crate::rejection::RejectReason;
use crate::rules::{Rules, TenantStatus};
use crate::tenants::Tenant;

/// One session that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionView<'a> {
    /// What was admitted.
    pub plan: &'a SessionPlan,
    /// `offered`, `waiting`, `starting`, `running` or `ending`.
    pub state: &'static str,
    /// The host it was given.
    pub host: HostId,
    /// When it was admitted.
    pub admitted_at: Moment,
    /// When its host said that it started.
    pub started_at: Option<Moment>,
    /// Milliseconds since then; 0 before.
    pub duration_ms: u64,
}

/// One host that is not gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostView<'a> {
    /// Its id.
    pub id: HostId,
    /// Its plan.
    pub plan: &'a HostPlan,
    /// `queued`, `spawning`, `up`, `ready`, `draining` or `ending`.
    pub state: &'static str,
    /// Sessions placed on it.
    pub sessions: usize,
    /// Their ids.
    pub session_ids: Vec<SessionId>,
    /// Why it gets no new sessions; empty: it does.
    pub condemned: Vec<&'static str>,
    /// Since when it serves.
    pub ready_since: Option<Moment>,
}

/// One breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerView {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Failures in the window.
    pub failures: u32,
    /// Samples in the window.
    pub samples: u32,
    /// Milliseconds until its cooldown is over; 0 unless open.
    pub remaining_ms: u64,
    /// Times it opened.
    pub opened_count: u64,
}

/// One tenant: configured, or seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantView<'a> {
    /// Its id.
    pub id: &'a TenantId,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// Whether it may have sessions; an operator's order wins.
    pub status: TenantStatus,
    /// Whether that is an operator's order.
    pub ordered: bool,
    /// Whether it drains, or drained.
    pub draining: bool,
    /// Places it holds.
    pub active: u32,
    /// Its cap; `None` is none.
    pub cap: Option<u32>,
    /// Sessions that started.
    pub started: u64,
    /// Sessions that failed.
    pub failed: u64,
    /// Its breaker.
    pub breaker: BreakerView,
}

/// Totals since the start, and places held now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Dispatches admitted.
    pub admitted: u64,
    /// Sessions that their hosts said had started.
    pub started: u64,
    /// Sessions that ended well.
    pub succeeded: u64,
    /// Sessions that failed.
    pub failed: u64,
    /// Sessions that somebody ended.
    pub cancelled: u64,
    /// Reservations that expired or were lost before they became sessions.
    pub reservations_released: u64,
    /// Assignments of reservations that were gone.
    pub assigned_late: u64,
    /// Times that a session on a shared host did not end within its grace.
    pub ends_ignored: u64,
    /// Changes of agent that were not booked, for a cap or a rule.
    pub reroutes_refused: u64,
    /// Dispatches refused, by reason.
    pub rejections: BTreeMap<RejectReason, u64>,
    /// The same by tenant, where the tenant is known.
    pub rejections_by_tenant: BTreeMap<TenantId, BTreeMap<RejectReason, u64>>,
    /// Places held, by agent.
    pub sessions_by_agent: BTreeMap<AgentName, u32>,
    /// Places held, by tenant.
    pub sessions_by_tenant: BTreeMap<TenantId, u32>,
    /// The agent that the last admitted dispatch went to.
    pub last_routed_agent: Option<AgentName>,
    /// What was last said of a failed session.
    pub last_error: Option<String>,
}

impl Policy {
    /// Every session that has not ended, oldest first.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.iter().map(|session| SessionView {
            plan: &session.plan,
            state: session.state_name(),
            host: session.host,
            admitted_at: session.admitted_at,
            started_at: session.started_at(),
            duration_ms: session.started_at().map_or(0, |at| self.now.ms_since(at)),
        })
    }

    /// Every host that is not gone.
    pub fn hosts(&self) -> impl Iterator<Item = HostView<'_>> {
        self.hosts.iter().map(|host| HostView {
            id: host.plan.host,
            plan: &host.plan,
            state: host.state_name(),
            sessions: host.sessions.len(),
            session_ids: host.sessions.iter().copied().collect(),
            condemned: host.causes.iter().map(|cause| cause.name()).collect(),
            ready_since: host.ready_since(),
        })
    }

    /// Every tenant that is configured or remembered.
    pub fn tenants(&self) -> impl Iterator<Item = TenantView<'_>> {
        let mut ids: Vec<&TenantId> = self.rules.tenants.keys().chain(self.tenants.iter().map(|(id, _)| id)).collect();
        ids.sort();
        ids.dedup();
        ids.into_iter().map(|id| self.tenant_view(id))
    }

    /// A tenant's breaker.
    pub fn breaker(&self, tenant: &TenantId) -> BreakerView {
        let rules = self.rules.breaker_of(tenant);
        let blank = crate::breaker::Breaker::default();
        let breaker = self.tenants.get(tenant).map_or(&blank, |known| &known.breaker);
        let (failures, samples) = breaker.counts(self.now, rules);
        BreakerView {
            state: breaker.state_name(),
            failures,
            samples,
            remaining_ms: breaker.remaining_ms(self.now),
            opened_count: breaker.opened_count(),
        }
    }

    /// The totals.
    pub fn counters(&self) -> Counters {
        let tally = &self.tally;
        let refused = self.tenants.iter().filter(|(_, known)| !known.rejections.is_empty());
        Counters {
            admitted: tally.admitted,
            started: tally.started,
            succeeded: tally.succeeded,
            failed: tally.failed,
            cancelled: tally.cancelled,
            reservations_released: tally.reservations_released,
            assigned_late: tally.assigned_late,
            ends_ignored: tally.ends_ignored,
            reroutes_refused: tally.reroutes_refused,
            rejections: tally.rejections.clone(),
            rejections_by_tenant: refused.map(|(id, known)| (id.clone(), known.rejections.clone())).collect(),
            sessions_by_agent: self.places.by_agent(),
            sessions_by_tenant: self.places.by_tenant(),
            last_routed_agent: tally.last_routed_agent.clone(),
            last_error: tally.last_error.clone(),
        }
    }

    /// A tenant's refused dispatches by reason, and its sessions that started.
    pub fn answered(&self, tenant: &TenantId) -> (BTreeMap<RejectReason, u64>, u64) {
        self.tenants.get(tenant).map(|known| (known.rejections.clone(), known.started)).unwrap_or_default()
    }

    /// How long no new host is made for a tenant and this agent of it, because the last ones died.
    pub fn back_off_ms(&self, tenant: &TenantId, agent: &AgentName) -> u64 {
        let rules = self.rules.agents.get(agent);
        rules.and_then(|rules| self.restarts.wait_ms(self.now, tenant, &rules.runtime)).unwrap_or_default()
    }

    /// Places held in all: sessions, and reservations that may become some.
    pub fn active(&self) -> u32 {
        self.places.all()
    }

    /// Whether no new sessions are taken any more.
    pub fn draining(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn tenant_view<'a>(&'a self, id: &'a TenantId) -> TenantView<'a> {
        let known = self.tenants.get(id);
        TenantView {
            id,
            configured: self.rules.tenants.contains_key(id),
            status: self.status_of(id),
            ordered: known.is_some_and(|known| known.ordered.is_some()),
            draining: known.is_some_and(|known: &Tenant| known.draining),
            active: self.places.of_tenant(id),
            cap: self.rules.cap_of(id),
            started: known.map_or(0, |known| known.started),
            failed: known.map_or(0, |known| known.failed),
            breaker: self.breaker(id),
        }
    }
}
