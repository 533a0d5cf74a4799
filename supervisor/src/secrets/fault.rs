//! Why a secret cannot be had.
//!
//! Owns: these reasons. Never: carries a secret.

use std::fmt;

use openrtc_ipc::{RuntimeName, TenantId};

/// A reference that gave no secret, or one that may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFault {
    /// Whose; `None` for `[defaults.api_keys]` and `[runtimes.*.env]`.
    pub tenant: Option<TenantId>,
    /// Path of the key (`tenants.acme-corp.api_keys.openai`).
    pub key: String,
    /// The reference, as in `***(…)`.
    pub reference: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}: {}", self.key, self.reference, self.problem, self.remedy)
    }
}

/// Why a host cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The configuration has no such runtime (it was reloaded, say).
    #[error("find runtime {runtime}")]
    UnknownRuntime {
        /// Which.
        runtime: RuntimeName,
    },
    /// A secret that the host needs cannot be had.
    #[error("resolve {fault}")]
    Unreadable {
        /// Which, why, and what to do.
        fault: SecretFault,
    },
}
