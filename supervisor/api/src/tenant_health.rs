//! `GET /v1/tenants/{id}/health`: whether a tenant fails, eats capacity, blocks its loop or is refused.
//!
//! Owns: one look at each mark, with its number, its threshold and what to do. Never: the numbers of another tenant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a mark is a sign of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ailment {
    /// Its sessions or its hosts fail.
    Failing,
    /// It takes more than its share, or nears a wall.
    EatingCapacity,
    /// Its event loop is blocked, or its hosts do not answer.
    BlockingItsLoop,
    /// Its dispatches are, or would be, refused.
    Refused,
}

impl Ailment {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::EatingCapacity => "eating capacity",
            Self::BlockingItsLoop => "blocking its loop",
            Self::Refused => "refused",
        }
    }
}

/// One number against its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthMark {
    /// What it is a sign of.
    pub ailment: Ailment,
    /// What was looked at, for example `memory of h0.1`.
    pub measure: String,
    /// What was found, for a person.
    pub value: String,
    /// What it may be, and who says so, for a person.
    pub threshold: String,
    /// Whether it is over.
    pub over: bool,
    /// The command to act with; only where it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a tenant fares.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantHealth {
    /// Its id.
    pub tenant: String,
    /// Whether no mark is over.
    pub healthy: bool,
    /// What it suffers from, each once.
    pub ailments: Vec<Ailment>,
    /// Every mark that was looked at.
    pub marks: Vec<HealthMark>,
}
