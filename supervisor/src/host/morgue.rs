//! What was collected about hosts that died, until their sessions have been concluded.
//!
//! Owns: the evidence between reaping and the death report. Never: keeps it longer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use openrtc_ipc::HostId;
use openrtc_policy::Evidence;

/// The evidence of hosts that policy has not yet buried.
#[derive(Debug, Clone, Default)]
pub struct Morgue {
    evidence: Arc<Mutex<BTreeMap<HostId, Evidence>>>,
}

impl Morgue {
    /// Lays in what was collected.
    pub fn lay(&self, host: HostId, evidence: Evidence) {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).insert(host, evidence);
    }

    /// What was collected about this host.
    pub fn evidence(&self, host: HostId) -> Option<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).get(&host).cloned()
    }

    /// The same, for the last time.
    pub fn forget(&self, host: HostId) -> Option<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).remove(&host)
    }
}
