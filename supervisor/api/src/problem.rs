//! What every refused or failed request is answered with: a problem object (RFC 9457).
//!
//! Owns: the error format. Never: a second spelling of a reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ConfigFault;
use crate::tenant::Tenant;

/// Media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem. `reason` is stable; `title` and `detail` are for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:openrtc-supervisor:problem:<reason>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason in words.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// One of the reject reasons, or `unauthorized`, `permission_denied`, `not_found`, `method_not_allowed`,
    /// `bad_request`, `config_faulty`, `not_stored`, `stale_revision`, `body_too_large`, `body_timeout`, `timed_out`, `stopping`.
    pub reason: String,
    /// Field, value and remedy.
    pub detail: String,
    /// Seconds after which asking again may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// Whose request it was, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Everything that is wrong with a configuration that was to be loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ConfigFault>,
    /// The tenant as it is now, where a change was made for another revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<Tenant>>,
}

impl Problem {
    /// A problem with this status and reason; the type and the title follow from the reason.
    pub fn new(status: u16, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:openrtc-supervisor:problem:{reason}"),
            title: reason.replace('_', " "),
            status,
            reason: reason.to_owned(),
            detail: detail.into(),
            retry_after_s: None,
            tenant: None,
            faults: Vec::new(),
            current: None,
        }
    }

    /// The same, for this tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Option<String>) -> Self {
        self.tenant = tenant;
        self
    }

    /// The same, worth asking again after so many milliseconds.
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: Option<u64>) -> Self {
        self.retry_after_s = ms.map(|ms| ms as f64 / 1000.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_comes_back_as_it_went() {
        let problem = Problem::new(409, "circuit_open", "tenant initech: its breaker is open")
            .with_tenant(Some("initech".into()))
            .with_retry_after_ms(Some(2_500));
        let text = serde_json::to_string(&problem).unwrap();
        assert!(text.contains(r#""type":"urn:openrtc-supervisor:problem:circuit_open""#), "{text}");
        assert!(text.contains(r#""retry_after_s":2.5"#), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }

    #[test]
    fn absent_members_are_left_out() {
        let text = serde_json::to_string(&Problem::new(404, "not_found", "no")).unwrap();
        assert!(!text.contains("retry_after_s") && !text.contains("tenant"), "{text}");
    }
}
