//! What isolates hosts, row by row.
//!
//! Owns: a wall as told to people and programs. Never: raises one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How strong a wall is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// The kernel enforces it.
    Kernel,
    /// We measure and act.
    Sampled,
    /// It does not stand.
    Absent,
}

/// One wall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WallRow {
    /// Its name: `memory`, `cpu`, `pids`, `rlimits`, `uid`, …
    pub wall: String,
    /// How strong it is.
    pub strength: Strength,
    /// By which means, or why it is absent.
    pub by: String,
    /// `observed` or `reported`.
    pub evidence: String,
    /// What would make it stand, or stand more firmly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Whether `[wall] require` names it.
    #[serde(default)]
    pub required: bool,
}
