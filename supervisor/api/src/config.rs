//! `config check --json`: what is wrong with a configuration.
//!
//! Owns: the faults as data. Never: a secret, not even a wrong one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFault {
    /// The file, environment variable or flag that it stands in.
    pub source: String,
    /// Line within the file, from 1.
    pub line: Option<u32>,
    /// Where, for example `tenants.acme-corp.max_sessions`; empty for a whole file.
    pub key: String,
    /// The value as given, where it cannot be a secret.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigCheck {
    /// The file, absolute, or `defaults`.
    pub source: String,
    /// Whether it can be run.
    pub ok: bool,
    /// All faults at once.
    pub faults: Vec<ConfigFault>,
    /// Worth a look, no fault.
    #[serde(default)]
    pub warnings: Vec<String>,
}
