//! `GET /v1/sessions`: sessions that run, and the last 1 000 that ended.
//!
//! Owns: OpenRTC's row (semantics E7) and our longer account of one session. Never: shows metadata, which may hold what
//! a caller would not want shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One live session, with OpenRTC's nine keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    /// Its id.
    pub session_id: String,
    /// Its agent.
    pub agent_name: String,
    /// Whose.
    pub tenant: String,
    /// Since its start, in seconds.
    pub duration_s: f64,
    /// Memory, in MiB: the host's own, shared equally among its sessions.
    pub mem_mb: f64,
    /// The host's peak, in MiB, shared likewise.
    pub peak_mb: f64,
    /// CPU, in percent of one core, shared likewise.
    pub cpu_pct: f64,
    /// `starting`, `active`, `slow` or `draining`.
    pub status: String,
    /// Always false: a session never moves between hosts.
    pub pinned: bool,
    /// Where it runs; none while it waits for a host.
    #[serde(default)]
    pub host: Option<String>,
    /// The room.
    #[serde(default)]
    pub room: String,
}

/// Used so far, as its host says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionUsage {
    /// Tokens read by language models.
    pub llm_tokens_in: u64,
    /// Tokens written by language models.
    pub llm_tokens_out: u64,
    /// Audio transcribed, in milliseconds.
    pub stt_ms: u64,
    /// Characters spoken.
    pub tts_characters: u64,
    /// Turns.
    pub turns: u64,
    /// Events of any kind.
    pub events: u64,
}

/// How one session ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndedSession {
    /// Its id.
    pub session_id: String,
    /// Its agent.
    pub agent_name: String,
    /// Whose.
    pub tenant: String,
    /// The room.
    pub room: String,
    /// On which host, if it came to one.
    pub host: Option<String>,
    /// `success`, `failed` or `cancelled`.
    pub status: String,
    /// The stable reason, for example `memory_limit`.
    pub reason: String,
    /// The reason with its fields, for example `{"reason":"host_exit","code":3}`.
    pub reason_detail: Value,
    /// One sentence for a person.
    pub error: Option<String>,
    /// Who pays: `caller`, `tenant` or `platform`.
    pub blame: String,
    /// Whether the host ever said that it started.
    pub started: bool,
    /// From its start on the host to its end, in milliseconds; 0 if it never started.
    pub duration_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_at_unix_ms: u64,
    /// Used, if it came to a host.
    pub usage: Option<SessionUsage>,
    /// How its host's process ended, if that ended the session.
    pub exit: Option<Value>,
    /// What was collected about that death.
    pub evidence: Option<Value>,
}

/// One session, wherever it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Session {
    /// It waits or runs.
    Live {
        /// Its row.
        row: Box<SessionRow>,
        /// When it was admitted, in milliseconds since 1970; none while it waits for a host.
        started_at_unix_ms: Option<u64>,
        /// Used so far.
        usage: SessionUsage,
    },
    /// It ended.
    Ended {
        /// How.
        ended: Box<EndedSession>,
    },
}

/// Sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// Those that wait or run.
    pub sessions: Vec<SessionRow>,
    /// The last that ended, newest first; empty unless asked for.
    #[serde(default)]
    pub ended: Vec<EndedSession>,
}
