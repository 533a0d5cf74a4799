//! What a session is to its host, and what a host may say of it.
//!
//! Owns: the session's description and its events. Never: carries who the session belongs to upwards; the
//! supervisor stamps that from the channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, SessionId, TenantId};

/// Everything a host is told about a session when it starts (semantics F2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session.
    pub session: SessionId,
    /// Whose it is, as stamped by the supervisor; also under `metadata["tenant"]`.
    pub tenant: TenantId,
    /// Which agent runs it.
    pub agent: AgentName,
    /// The room's name.
    pub room_name: String,
    /// The dispatcher's own name for it; for local dispatches the session id.
    pub job_id: String,
    /// Room and job metadata merged, job over room, values as text; `tenant` is always there.
    pub metadata: BTreeMap<String, String>,
    /// When it was admitted, in milliseconds since 1970.
    pub started_at_unix_ms: u64,
    /// The operator's version label, if one is configured.
    pub deployment_version: Option<String>,
}

/// Who spoke a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The caller.
    User,
    /// The agent.
    Agent,
}

/// What a session has used since it started. Cumulative, so that a lost or repeated report does no harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Tokens read by language models.
    pub llm_tokens_in: u64,
    /// Tokens written by language models.
    pub llm_tokens_out: u64,
    /// Audio transcribed, in milliseconds.
    pub stt_ms: u64,
    /// Characters spoken by speech synthesis.
    pub tts_characters: u64,
}

/// One thing that happened in a session, as its host tells it.
///
/// Also the JSON that a command agent writes on descriptor 3: `{"type":"turn", …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// Somebody spoke.
    Turn {
        /// Who.
        speaker: Speaker,
        /// What was said; may be empty.
        text: String,
        /// Where in the session it began, in milliseconds.
        start_ms: u64,
        /// Where it ended, in milliseconds.
        end_ms: u64,
    },
    /// Used so far.
    Usage(Usage),
    /// How long one step of a turn took.
    Latency {
        /// `stt`, `llm`, `tts`, `turn`, …
        stage: String,
        /// Microseconds.
        micros: u64,
    },
    /// A log line of this session.
    Log {
        /// How grave.
        level: crate::report::LogLevel,
        /// The line.
        message: String,
    },
    /// The agent changed state: `listening`, `thinking`, `speaking`, …
    State {
        /// The new state.
        state: String,
    },
    /// Anything else, as JSON text of bounded size, checked by the receiver.
    Custom {
        /// The event's own name.
        name: String,
        /// JSON text.
        json: String,
    },
}
