//! What the control API needs to see of policy, as plain data.
//!
//! Owns: the one place where policy's read views become ours: [`PolicyView::of`]. Never: keeps one; it is read anew for
//! each request, between two events.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};
use openrtc_policy::{HostPlan, RejectReason, SessionPlan};

use crate::driver::Policy;

/// A session that was admitted and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// As admitted.
    pub plan: SessionPlan,
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
    pub fn of(_policy: &Policy) -> Self {
        // MERGE: policy on this branch has no read views yet; fill from sessions(), hosts(), tenants(), breaker(),
        // counters(), draining() and the rules.
        Self::default()
    }
}
