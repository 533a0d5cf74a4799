//! `GET /v1/hosts`: host processes.
//!
//! Owns: what is shown of one host. Never: what the host says of itself where it could be measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wall::WallRow;

/// One host process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Its id, with its generation.
    pub host: String,
    /// Whose.
    pub tenant: String,
    /// Of which runtime.
    pub runtime: String,
    /// `tenant` or `session`.
    pub scope: String,
    /// `queued`, `spawning`, `up`, `ready`, `condemned`, `draining` or `ending`.
    pub state: String,
    /// Why it takes no new sessions, where that is so.
    pub condemned: Option<String>,
    /// Why it is being ended, where that is so.
    pub intent: Option<String>,
    /// Its process id; none before it exists.
    pub pid: Option<i32>,
    /// `ahead` (forked before it was needed), `zygote` or `cold`, and why cold when a zygote was to be had.
    pub spawned_by: Option<String>,
    /// When it was forked, in milliseconds since 1970.
    pub born_at_unix_ms: Option<u64>,
    /// From fork to ready, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// Ids of its sessions.
    pub sessions: Vec<String>,
    /// Its own memory, whole process tree, in bytes.
    pub memory_bytes: u64,
    /// The highest of those, in bytes.
    pub memory_peak_bytes: u64,
    /// Its memory wall, in bytes; none is none.
    #[serde(default)]
    pub memory_max_bytes: Option<u64>,
    /// CPU over the last sample, whole process tree, in percent of one core.
    pub cpu_pct: f64,
    /// CPU since its start, in seconds.
    pub cpu_s: f64,
    /// Processes and threads.
    pub processes: u32,
    /// Round trip of the last ping, in milliseconds.
    pub ping_ms: f64,
    /// Delay of its event loop at the last ping, in milliseconds, as it says itself.
    #[serde(default)]
    pub loop_lag_ms: f64,
    /// Lines, events and logs dropped because it exceeded its rate or its own queue.
    pub dropped: u64,
    /// Whether it was given secrets that are not in force any more.
    #[serde(default)]
    pub old_keys: bool,
    /// Names of the walls that do not stand around it.
    #[serde(default)]
    pub absent_walls: Vec<String>,
    /// The walls around it, as attested; empty before, and in a brief snapshot.
    pub walls: Vec<WallRow>,
}

/// `POST /v1/hosts/{host}/kill`: its process tree is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostGone {
    /// Which host.
    pub host: String,
    /// From the order until the last process was reaped, in milliseconds.
    pub took_ms: u64,
}
