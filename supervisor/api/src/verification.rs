//! `POST /v1/tenants/{id}/verify`: whether a session of a tenant shows under its name wherever sessions are looked for.
//!
//! Owns: the question, and the verdict on each place. Never: what was said in the session.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::session::EndedSession;

/// What is to be tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The agent, over what routing says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// A recording to play to the agent: absolute path of a regular file, not a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PathBuf>,
}

/// What was found in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The canary, under its tenant.
    Pass,
    /// Nothing, or another tenant.
    Fail,
    /// It could not be told: the canary had ended before it could be looked at.
    Unseen,
}

/// One place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedPlace {
    /// `session`, `top`, `snapshot`, `logs`, `observer` or `ledger`.
    pub place: String,
    /// The verdict.
    pub found: Found,
    /// What was seen, for a person.
    pub saw: String,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Whose.
    pub tenant: String,
    /// The canary's session.
    pub session: String,
    /// Its agent.
    pub agent: String,
    /// Which rule chose the agent.
    pub routed_by: String,
    /// Whether no place failed.
    pub ok: bool,
    /// Each place.
    pub places: Vec<VerifiedPlace>,
    /// How the canary ended; none: it had not ended in time.
    pub ended: Option<EndedSession>,
}
