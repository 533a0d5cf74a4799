//! `GET /v1/tenants`: tenants, configured or seen.
//!
//! Owns: one tenant at a glance. Never: its keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::Order;

/// One tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tenant {
    /// Its id.
    pub tenant: String,
    /// Whether the configuration names it.
    pub configured: bool,
    /// `active`, `suspended`, `archived` or `draining`.
    pub status: String,
    /// Why none of its sessions can run, where that is so.
    pub unusable: Option<String>,
    /// Sessions now.
    pub active_sessions: u32,
    /// Its cap; none is none.
    pub max_sessions: Option<u32>,
    /// Hosts now.
    pub hosts: u32,
    /// Memory of its hosts, in bytes.
    pub memory_bytes: u64,
    /// CPU of its hosts, in percent of one core.
    pub cpu_pct: f64,
    /// Its breaker: `closed`, `open`, `half_open` or `off`.
    pub breaker: String,
    /// Of the last 1 000 sessions that ended, those of this tenant.
    pub ended_sessions: u32,
    /// Of those, the failed.
    pub failed_sessions: u32,
    /// How the last of those ended.
    pub last_end_reason: Option<String>,
    /// Counts changes of its orders; 0 while there is none.
    #[serde(default)]
    pub revision: u64,
    /// What operators ordered of it, over the configuration.
    #[serde(default)]
    pub orders: Vec<Order>,
    /// Why its orders will not outlast a restart, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_stored: Option<String>,
}

/// `POST /v1/tenants/{tenant}/kill`: its hosts' process trees are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantKilled {
    /// Whose.
    pub tenant: String,
    /// The hosts that there were.
    pub hosts: Vec<String>,
    /// From the order until the last process was reaped, in milliseconds.
    pub took_ms: u64,
}
