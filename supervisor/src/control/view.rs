//! What the control API needs to see of policy, as plain data.
//!
//! Owns: the one place where policy's read views become ours: [`PolicyView::of`]. Never: keeps one; it is read anew for
//! each request, between two events.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};
use openrtc_policy::rules::{AgentRules, TenantStatus};
use openrtc_policy::{HostPlan, RejectReason, Rules, view};

use openrtc_policy::Policy;

/// A session that was admitted and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// Which. Of the plan only what is shown: its metadata may be large, and the loop that decides waits while this is read.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// Which agent.
    pub agent: AgentName,
    /// The room.
    pub room: String,
    /// Its host, once it was placed.
    pub host: Option<HostId>,
    /// Since its start, in milliseconds; 0 before.
    pub duration_ms: u64,
}

/// A host in policy's table.
#[derive(Debug, Clone, PartialEq)]
pub struct HostView {
    /// What it is for.
    pub plan: HostPlan,
    /// `queued`, `spawning`, `up`, `ready`, `condemned`, `draining` or `ending`.
    pub state: &'static str,
    /// Why it takes no new sessions, where that is so.
    pub condemned: Option<String>,
    /// Its sessions.
    pub sessions: Vec<SessionId>,
}

/// A tenant, configured or remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantView {
    /// Its id.
    pub tenant: TenantId,
    /// Whether the rules name it.
    pub configured: bool,
    /// `active`, `suspended`, `archived` or `draining`.
    pub status: &'static str,
    /// Its cap.
    pub max_sessions: Option<u32>,
    /// Why none of its sessions can run.
    pub unusable: Option<String>,
}

/// An agent of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Its name.
    pub agent: AgentName,
    /// Which runtime runs it.
    pub runtime: RuntimeName,
    /// Its cap.
    pub max_sessions: Option<u32>,
}

/// A tenant's breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerView {
    /// Whose.
    pub tenant: TenantId,
    /// `closed`, `open`, `half_open` or `off`.
    pub state: &'static str,
    /// Failures in the window.
    pub failures: u32,
    /// Samples in the window.
    pub samples: u32,
    /// Until it lets sessions through, in milliseconds.
    pub closes_in_ms: Option<u64>,
    /// How long it rejects, in milliseconds.
    pub cooldown_ms: u64,
}

/// Everything that is shown of policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyView {
    /// Whether new sessions are refused.
    pub draining: bool,
    /// The cap over all tenants.
    pub max_concurrent_sessions: Option<u32>,
    /// Sessions that started on a host.
    pub sessions_started: u64,
    /// Sessions that failed.
    pub session_failures: u64,
    /// The agent of the last admitted dispatch.
    pub last_routed_agent: Option<AgentName>,
    /// Refused dispatches.
    pub rejections: BTreeMap<RejectReason, u64>,
    /// Sessions.
    pub sessions: Vec<SessionView>,
    /// Hosts.
    pub hosts: Vec<HostView>,
    /// Tenants.
    pub tenants: Vec<TenantView>,
    /// Agents.
    pub agents: Vec<AgentView>,
    /// Breakers.
    pub breakers: Vec<BreakerView>,
}

impl PolicyView {
    /// Reads policy.
    pub fn of(policy: &Policy) -> Self {
        let (rules, counters) = (policy.rules(), policy.counters());
        let agent = |(name, agent): (&AgentName, &AgentRules)| AgentView {
            agent: name.clone(),
            runtime: agent.runtime.clone(),
            max_sessions: agent.max_sessions,
        };
        Self {
            draining: policy.draining(),
            max_concurrent_sessions: Some(rules.max_concurrent_sessions),
            sessions_started: counters.started,
            session_failures: counters.failed,
            last_routed_agent: counters.last_routed_agent,
            rejections: counters.rejections,
            sessions: policy.sessions().map(SessionView::of).collect(),
            hosts: policy.hosts().map(HostView::of).collect(),
            tenants: policy.tenants().map(|tenant| TenantView::of(&tenant, rules)).collect(),
            agents: rules.agents.iter().map(agent).collect(),
            breakers: policy.tenants().map(|tenant| BreakerView::of(&tenant, rules)).collect(),
        }
    }
}

impl SessionView {
    fn of(session: view::SessionView<'_>) -> Self {
        let plan = session.plan;
        Self {
            session: plan.session,
            tenant: plan.tenant.clone(),
            agent: plan.agent.clone(),
            room: plan.room.clone(),
            host: Some(session.host),
            duration_ms: session.duration_ms,
        }
    }
}

impl HostView {
    fn of(host: view::HostView<'_>) -> Self {
        let condemned = (!host.condemned.is_empty()).then(|| host.condemned.join(", "));
        Self {
            plan: host.plan.clone(),
            state: if host.state == "ready" && condemned.is_some() { "condemned" } else { host.state },
            condemned,
            sessions: host.session_ids,
        }
    }
}

impl TenantView {
    /// One that policy knows nothing of.
    pub(super) fn unseen(tenant: TenantId) -> Self {
        Self { tenant, configured: false, status: "active", max_sessions: None, unusable: None }
    }

    fn of(tenant: &view::TenantView<'_>, rules: &Rules) -> Self {
        Self {
            tenant: tenant.id.clone(),
            configured: tenant.configured,
            status: match tenant.status {
                TenantStatus::Active if tenant.draining => "draining",
                TenantStatus::Active => "active",
                TenantStatus::Suspended => "suspended",
                TenantStatus::Archived => "archived",
            },
            max_sessions: tenant.cap,
            unusable: rules.tenants.get(tenant.id).and_then(|rules| rules.unusable.clone()),
        }
    }
}

impl BreakerView {
    fn of(tenant: &view::TenantView<'_>, rules: &Rules) -> Self {
        let (breaker, rules) =
            (tenant.breaker, rules.tenants.get(tenant.id).map_or(&rules.breaker, |own| &own.breaker));
        Self {
            tenant: tenant.id.clone(),
            // One that is off may still have been opened by hand.
            state: if !rules.enabled && breaker.state == "closed" { "off" } else { breaker.state },
            failures: breaker.failures,
            samples: breaker.samples,
            closes_in_ms: (breaker.state == "open").then_some(breaker.remaining_ms),
            cooldown_ms: rules.cooldown_ms,
        }
    }
}
