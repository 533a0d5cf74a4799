//! `config check --json`: what is wrong with a configuration.
//!
//! Owns: the faults as data. Never: a secret, not even a wrong one.

use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFault {
    /// Where, for example `tenants.acme-corp.max_sessions`.
    pub key: String,
    /// What is wrong, with the value.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigCheck {
    /// The file, absolute, or `defaults`.
    pub source: String,
    /// Whether it can be run.
    pub ok: bool,
    /// All faults at once.
    pub faults: Vec<ConfigFault>,
    /// Worth a look, no fault.
    #[serde(default)]
    pub warnings: Vec<ConfigFault>,
}
