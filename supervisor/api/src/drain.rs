//! `POST /v1/drain` and `POST /v1/shutdown`: finishing.
//!
//! Owns: how far a drain has come. Never: undoes one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainStatus {
    /// Whether new sessions are refused.
    pub draining: bool,
    /// Sessions that still run.
    pub active_sessions: u32,
    /// Hosts that still exist.
    pub hosts: u32,
}
