//! `POST /v1/admission`: what a dispatch would be answered, and why.
//!
//! Owns: the question, the trace of the rules, and the verdict. Never: holds a place, starts anything, or shows metadata
//! beyond the tenant and the agent that it names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// What would be dispatched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmissionQuestion {
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
}

/// One rule of admission, asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdmissionStep {
    /// Its stable name, for example `tenant_cap`.
    pub rule: String,
    /// `passed`; `skipped`, where a rung names nothing; `chosen`, where it names the tenant or agent; `refused`.
    pub said: String,
    /// What it saw, for a person.
    pub saw: String,
}

/// As what a dispatch would be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// Whose session.
    pub tenant: String,
    /// Which agent.
    pub agent: String,
    /// Which runtime runs it.
    pub runtime: String,
    /// Which rule chose the agent: `explicit`, `rule`, `job_metadata`, `room_metadata`, `room_prefix`, `fallback`.
    pub routed_by: String,
    /// The host that would take it; none: a new one.
    pub host: Option<String>,
    /// The idle host that would go for a new one.
    pub evicts: Option<String>,
}

/// The trace: every rule that was asked, in order, and the verdict. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdmissionTrace {
    /// Whether it would be admitted now.
    pub admitted: bool,
    /// As what, if so.
    pub expected: Option<Expected>,
    /// The refusal that `POST /v1/dispatch` would answer, if not.
    pub refusal: Option<Problem>,
    /// The rules; the last one decided.
    pub steps: Vec<AdmissionStep>,
}
