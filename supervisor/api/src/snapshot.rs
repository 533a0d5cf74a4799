//! `GET /v1/snapshot`: everything at a glance, with every key of OpenRTC's `runtime_snapshot()` (semantics E4).
//!
//! Owns: the snapshot's shape. Never: a key of OpenRTC under another name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::breaker::Breaker;
use crate::host::Host;
use crate::livekit::Livekit;
use crate::observer::Observer;
use crate::session::SessionRow;
use crate::tenant::Tenant;
use crate::wall::WallRow;
use crate::worker::Worker;

/// Memory of the supervisor itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResidentSet {
    /// In bytes, if it could be read.
    pub bytes: Option<u64>,
    /// What was read: `linux_vm_rss`.
    pub metric: String,
    /// The same in words.
    pub description: String,
}

/// The process that hosts of a runtime are forked from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zygote {
    /// Of which runtime; `command` stands for all that have none of their own.
    pub runtime: String,
    /// How hosts are made at present: `zygote`, or `cold (why)`.
    pub spawn: String,
    /// What to do where that is `cold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// How many hosts were forked ahead (`num_idle_hosts`), are ready, and wait for a tenant.
    #[serde(default)]
    pub idle_hosts: u64,
}

/// Everything at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Seconds since 1970.
    pub timestamp: f64,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// How many agents can be dispatched.
    pub registered_agents: u32,
    /// Sessions now.
    pub active_sessions: u32,
    /// Sessions that started on a host.
    pub total_sessions_started: u64,
    /// Sessions that failed.
    pub total_session_failures: u64,
    /// The agent of the last admitted dispatch.
    pub last_routed_agent: Option<String>,
    /// The last failed session's error.
    pub last_error: Option<String>,
    /// Sessions now, by agent.
    pub sessions_by_agent: BTreeMap<String, u32>,
    /// Sessions now, by tenant.
    pub sessions_by_tenant: BTreeMap<String, u32>,
    /// The operator's version label.
    pub deployment_version: Option<String>,
    /// Whether new sessions are refused.
    pub draining: bool,
    /// Memory of the supervisor itself.
    pub resident_set: ResidentSet,
    /// Our own keys from here on. The header of `openrtc top`.
    pub worker: Worker,
    /// Sessions.
    pub sessions: Vec<SessionRow>,
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Hosts.
    pub hosts: Vec<Host>,
    /// Breakers.
    pub breakers: Vec<Breaker>,
    /// Refused dispatches, by reason; every reason is there.
    pub rejections: BTreeMap<String, u64>,
    /// How hosts are made, by runtime.
    #[serde(default)]
    pub zygotes: Vec<Zygote>,
    /// How we stand with the LiveKit server, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub livekit: Option<Livekit>,
    /// The walls that a host gets on this machine.
    pub walls: Vec<WallRow>,
    /// Observers, and what they lost.
    #[serde(default)]
    pub observers: Vec<Observer>,
}
