//! The header and the line that `openrtc top` reads (semantics E6, E8).
//!
//! Owns: OpenRTC's names for a worker and its machine. Never: more keys than its reader would show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::session::SessionRow;

/// The machine, sampled once a second. Fields are none where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct System {
    /// Whether it was sampled at all.
    pub available: bool,
    /// CPU of the whole machine, in percent of all cores.
    pub cpu_pct: Option<f64>,
    /// Cores.
    pub vcpus: Option<u32>,
    /// Memory used, in bytes.
    pub mem_used_bytes: Option<u64>,
    /// Memory there is, in bytes.
    pub mem_total_bytes: Option<u64>,
    /// Swap used, in bytes.
    pub swap_used_bytes: Option<u64>,
    /// Swap there is, in bytes.
    pub swap_total_bytes: Option<u64>,
    /// Load over one minute.
    pub load1: Option<f64>,
    /// Load over five minutes.
    pub load5: Option<f64>,
    /// Load over fifteen minutes.
    pub load15: Option<f64>,
    /// Sent and received over all interfaces, in bytes a second (OpenRTC's name says bits; its value is bytes).
    pub net_rate_bps: Option<f64>,
}

/// The supervisor, as OpenRTC describes a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Since its start, in seconds.
    pub uptime_s: f64,
    /// Sessions now.
    pub active_sessions: u32,
    /// The cap over all tenants.
    pub max_sessions: Option<u32>,
    /// Sessions started.
    pub started: u64,
    /// Sessions failed.
    pub failed: u64,
    /// Whether new sessions are refused.
    pub draining: bool,
    /// The machine.
    pub system: System,
    /// The last 60 samples of its CPU, oldest first, in percent.
    pub cpu_history: Vec<f64>,
}

/// The one line on `top.sock`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopLine {
    /// The header.
    pub worker: Worker,
    /// The rows.
    pub sessions: Vec<SessionRow>,
}
