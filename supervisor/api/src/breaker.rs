//! `GET /v1/breakers`: circuit breakers, one a tenant.
//!
//! Owns: a breaker's state as told, and the order to open one. Never: the rule it follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One tenant's breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// Whose.
    pub tenant: String,
    /// `closed` (flowing), `open` (rejecting), `half_open` (probing) or `off`.
    pub state: String,
    /// Failures in the window.
    pub failures: u32,
    /// Samples in the window.
    pub samples: u32,
    /// Seconds until it lets sessions through again.
    pub closes_in_s: Option<f64>,
    /// How long it rejects, in seconds.
    pub cooldown_s: f64,
}

/// `POST /v1/breakers/{tenant}/trip`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TripBreaker {
    /// For so many seconds; absent: the cooldown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<f64>,
}
