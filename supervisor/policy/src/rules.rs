//! The operator's rules, already valid.
//!
//! Owns: caps, routing, breaker and host numbers. Never: parses a file; `supervisor/src/config/` makes these.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, RuntimeName, TenantId};

/// One host per tenant, or one per session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostScope {
    /// Sessions of a tenant share its host.
    Tenant,
    /// Each session has a host of its own.
    Session,
}

/// What becomes of a tenant id that is not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTenant {
    /// It runs on the defaults.
    DefaultConfig,
    /// It is refused.
    Reject,
}

/// What becomes of a dispatch without a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTenant {
    /// It runs as the default tenant.
    Default,
    /// It is refused.
    Reject,
}

/// Whether a tenant may have new sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStatus {
    /// Yes.
    Active,
    /// No, for now.
    Suspended,
    /// No, for good.
    Archived,
}

/// When a tenant's breaker opens and closes (semantics D1–D4).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// Off: it never opens.
    pub enabled: bool,
    /// How long it rejects, in milliseconds.
    pub cooldown_ms: u64,
    /// Opens when failures/samples is strictly greater.
    pub failure_ratio: f64,
    /// And at least so many samples are in the window.
    pub min_samples: u32,
    /// Length of the rolling window, in milliseconds.
    pub window_ms: u64,
    /// Sessions let through after the cooldown before it closes; `None` closes at once (the seeds' behaviour).
    pub half_open_max_sessions: Option<u32>,
    /// A probing session counts as good after this long, in milliseconds.
    pub half_open_success_after_ms: u64,
    /// Whether a session or host killed by an operator counts as a failure.
    pub count_operator_kills: bool,
}

/// One configured tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRules {
    /// Whether it may have sessions.
    pub status: TenantStatus,
    /// Its cap, with the default already merged in; `None` is none.
    pub max_sessions: Option<u32>,
    /// Agents it may use; `None` is all.
    pub allowed_agents: Option<Vec<AgentName>>,
    /// Its own scope, else the global one.
    pub host_scope: Option<HostScope>,
    /// Its breaker, already merged with the global one.
    pub breaker: BreakerRules,
    /// Why none of its sessions can run (an unreadable key, say); admission refuses with `config_error`.
    pub unusable: Option<String>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRules {
    /// Which runtime runs it.
    pub runtime: RuntimeName,
    /// Its cap over all tenants; `None` is none.
    pub max_sessions: Option<u32>,
}

/// One runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRules {
    /// Sessions that one host of it may carry; above it the tenant gets another host. `None` is any number.
    pub max_sessions_per_host: Option<u32>,
    /// Sessions that one host of it serves in its life; the next goes to a fresh one. `None` is any number.
    pub recycle_after_sessions: Option<u32>,
    /// Longest session, in milliseconds; `None` is none.
    pub session_ms_max: Option<u64>,
}

/// A router's rule: the first that matches names the agent, before the metadata chain (semantics G1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingRule {
    /// Only for this tenant.
    pub tenant: Option<TenantId>,
    /// Only where these metadata keys have these values.
    pub metadata: BTreeMap<String, String>,
    /// The agent.
    pub agent: AgentName,
}

/// What happens to a dispatch that names no agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// This agent takes it.
    Agent(AgentName),
    /// It is refused with `unknown_agent`.
    Reject,
}

/// Routing (semantics G1–G4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingRules {
    /// Rules, in order.
    pub rules: Vec<RoutingRule>,
    /// Metadata keys that may name an agent, in order; each is looked up in job then in room metadata (`agent`, `demo`).
    pub metadata_agent_keys: Vec<String>,
    /// Whether `<agent>-` at the start of a room's name routes, longest match first.
    pub room_prefix: bool,
    /// Else.
    pub fallback: Fallback,
}

/// Room namespaces (semantics O1, V9, V10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRules {
    /// Whether a room's name must start with the tenant and the separator, and may name the tenant.
    pub tenant_prefix: bool,
    /// Between tenant and the rest.
    pub separator: String,
}

/// Everything policy needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Sessions at once over all tenants.
    pub max_concurrent_sessions: u32,
    /// Cap of a tenant that is not configured; `None` is none.
    pub default_max_sessions: Option<u32>,
    /// Ids that are not configured.
    pub unknown_tenant: UnknownTenant,
    /// Dispatches without a tenant.
    pub missing_tenant: MissingTenant,
    /// The tenant of those.
    pub default_tenant: TenantId,
    /// Only rooms that name a registered agent are ours (semantics H2).
    pub accept_only_registered_rooms: bool,
    /// How long a drain waits for sessions, in milliseconds.
    pub drain_timeout_ms: u64,
    /// From SIGTERM to SIGKILL, in milliseconds.
    pub terminate_grace_ms: u64,
    /// From the fork to ready, in milliseconds.
    pub initialize_timeout_ms: u64,
    /// Hosts being brought up at once.
    pub max_concurrent_spawns: u32,
    /// Attempts to bring up a host, for set-up failures of our own making, before its sessions fail.
    pub spawn_attempts: u32,
    /// Waits before host n+1 of a (tenant, runtime) whose hosts died; the last repeats. Milliseconds.
    pub restart_backoff_ms: Vec<u64>,
    /// Hosts at once.
    pub max_hosts: u32,
    /// Hosts at once for tenants that are not configured.
    pub max_unregistered_hosts: u32,
    /// An idle host is drained after this long, in milliseconds.
    pub host_idle_timeout_ms: u64,
    /// Scope of a tenant that names none.
    pub host_scope: HostScope,
    /// Breaker of a tenant that is not configured.
    pub breaker: BreakerRules,
    /// Milliseconds without a pong after which a host is condemned.
    pub unresponsive_warn_ms: u64,
    /// Milliseconds without a pong after which it is killed.
    pub unresponsive_kill_ms: u64,
    /// Routing.
    pub routing: RoutingRules,
    /// Room namespaces.
    pub rooms: RoomRules,
    /// Configured tenants.
    pub tenants: BTreeMap<TenantId, TenantRules>,
    /// Agents.
    pub agents: BTreeMap<AgentName, AgentRules>,
    /// Runtimes.
    pub runtimes: BTreeMap<RuntimeName, RuntimeRules>,
}
