//! `GET /v1/tenants/{id}/effective`: what holds for one tenant, and which rung gave it.
//!
//! Owns: one value with its origin. Never: a secret; a key is shown as `***(env:NAME)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One value in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EffectiveSetting {
    /// `tenant`, `breaker`, `provider`, `key`, `env` or `wall`.
    pub section: String,
    /// Its name; of a provider `<agent>.<step>`, of a wall `<runtime>.<key>`.
    pub name: String,
    /// The value; of a secret where it is, as `***(env:NAME)`.
    pub value: Value,
    /// The section of the configuration that gave it, `default`, or `operator`.
    pub from: String,
}

/// What holds for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EffectiveTenant {
    /// Its id.
    pub tenant: String,
    /// Whether the configuration names it.
    pub configured: bool,
    /// Every value.
    pub settings: Vec<EffectiveSetting>,
}
