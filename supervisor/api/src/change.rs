//! Changes while the supervisor runs: orders about a tenant that last, a reload, new keys.
//!
//! Owns: what is asked and answered of each. Never: the value of a secret.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An operator's order about a tenant: it wins over the configuration until it is reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The key below `[tenants.NAME]` that it stands for, for example `max_sessions`.
    pub key: String,
    /// Its value, as in the configuration.
    pub value: String,
    /// When it was given, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// By whom, as the audit log names it: `uid:0`.
    pub by: String,
    /// By which process, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Whether it outlasts a restart.
    pub lasting: bool,
}

/// `POST /v1/tenants/{tenant}/suspend` and `/resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeStatus {
    /// The tenant's revision that was looked at: where it is another by now, the change is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// `POST /v1/tenants/{tenant}/set`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTenant {
    /// Keys below `[tenants.NAME]` and their values: text, number or boolean, as in the configuration.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// The tenant's revision that was looked at: where it is another by now, the change is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// `POST /v1/tenants/{tenant}/reset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetTenant {
    /// The keys whose orders are taken back; none: all, the status among them.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The tenant's revision that was looked at: where it is another by now, the change is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// `POST /v1/reload`: what the files say now is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reload {
    /// The configuration that was read.
    pub source: String,
    /// Keys whose values changed, and hold now.
    pub changed: Vec<String>,
    /// Keys whose values changed in the files and hold after a restart only.
    pub needs_restart: Vec<String>,
    /// Keys whose secrets are others now.
    pub secrets_changed: Vec<String>,
    /// Secrets that could not be had anew, so that the old ones stay in use: key and reason.
    pub secrets_kept: Vec<String>,
    /// Hosts that were given secrets which are not in force any more; `tenant rotate-key` or `host recycle` ends them
    /// gently.
    pub hosts_on_old_keys: Vec<String>,
    /// Keys for which an operator's order holds, whatever the files say.
    pub still_ordered: Vec<String>,
    /// Worth a look, no fault.
    pub warnings: Vec<String>,
}

/// A key that was resolved anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RotatedKey {
    /// Its path in the configuration.
    pub key: String,
    /// Where it is: `file:…`, `exec:…`.
    pub source: String,
    /// Whether it is another than before.
    pub changed: bool,
}

/// `POST /v1/tenants/{tenant}/rotate-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRotation {
    /// Whose.
    pub tenant: String,
    /// Its own keys and secret variables.
    pub keys: Vec<RotatedKey>,
    /// Hosts that were given other keys: they take no new sessions and end with those they have.
    pub recycled: Vec<String>,
}
