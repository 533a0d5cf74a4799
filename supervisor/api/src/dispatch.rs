//! `POST /v1/dispatch`: asking for an agent session.
//!
//! Owns: the question and its good answer; a refusal is a [`crate::Problem`]. Never: carries a recording's bytes; it
//! names files that the supervisor opens.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::session::EndedSession;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchRequest {
    /// The room's name, at most 512 bytes.
    pub room: String,
    /// The tenant, over what the metadata says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The agent, over what routing says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Job metadata, a JSON object as text, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Room metadata, a JSON object as text, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_metadata: Option<String>,
    /// A recording to play to the agent: absolute path of a regular file, not a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PathBuf>,
    /// Where to keep what the agent says, as WAV: absolute path of an existing regular file, not a symbolic link. Runtimes
    /// of Python applications fill it; others leave it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Answer when the session has ended, not when it was admitted.
    #[serde(default)]
    pub wait: bool,
}

/// It was admitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DispatchResponse {
    /// As what.
    pub admitted: Admitted,
    /// How it ended. Absent without `wait`, and when so many wait already that this one must ask for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedSession>,
}

/// An admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Admitted {
    /// The session's id.
    pub session: String,
    /// Whose.
    pub tenant: String,
    /// Which agent.
    pub agent: String,
    /// Which rule chose the agent: `explicit`, `rule`, `job_metadata`, `room_metadata`, `room_prefix`, `fallback`.
    pub routed_by: String,
}
