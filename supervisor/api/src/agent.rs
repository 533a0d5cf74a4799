//! `GET /v1/agents`: the agents that can be dispatched.
//!
//! Owns: one agent at a glance. Never: its command line, which may be a tenant's business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// Its name.
    pub agent: String,
    /// Which runtime runs it.
    pub runtime: String,
    /// Sessions now, over all tenants.
    pub active_sessions: u32,
    /// Its cap; none is none.
    pub max_sessions: Option<u32>,
}
