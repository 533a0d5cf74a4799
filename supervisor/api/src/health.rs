//! `GET /readyz` and `GET /worker`: what probes are told.
//!
//! Owns: readiness with its reasons, and livekit-agents' shape of a worker (semantics I12). Never: a tenant's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One reason why no session would be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unready {
    /// `starting`, `draining`, `stopping`, `wall_absent` or `zygote_starting`.
    pub reason: String,
    /// The same as a sentence.
    pub detail: String,
}

/// `GET /readyz`: 200 when ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Whether sessions are taken.
    pub ready: bool,
    /// Why not; empty when ready.
    pub reasons: Vec<Unready>,
}

/// `GET /worker`, with the keys of livekit-agents' worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerInfo {
    /// The name under which calls come; empty: for rooms that name none.
    pub agent_name: String,
    /// `JT_ROOM`, `JT_PUBLISHER` or `JT_PARTICIPANT`.
    pub worker_type: String,
    /// Sessions now.
    pub active_jobs: u32,
    /// Version of the supervisor.
    pub sdk_version: String,
    /// Sessions of `max_concurrent_sessions`, from 0 to 1.
    pub worker_load: f64,
    /// Version of the worker's protocol.
    pub protocol_version: u32,
}
