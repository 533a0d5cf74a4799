//! What is counted since the start.
//!
//! Owns: totals that only grow. Never: stands for a cap; those are counted by the places held.

use std::collections::BTreeMap;

use openrtc_ipc::AgentName;

use crate::outcome::{Outcome, Status};
use crate::rejection::RejectReason;

/// The totals.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) admitted: u64,
    pub(crate) started: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) reservations_released: u64,
    pub(crate) assigned_late: u64,
    pub(crate) ends_ignored: u64,
    pub(crate) reroutes_refused: u64,
    pub(crate) rejections: BTreeMap<RejectReason, u64>,
    pub(crate) last_routed_agent: Option<AgentName>,
    pub(crate) last_error: Option<String>,
}

impl Tally {
    /// A dispatch was admitted.
    pub(crate) fn admitted(&mut self, agent: &AgentName) {
        self.admitted += 1;
        self.last_routed_agent = Some(agent.clone());
    }

    /// A dispatch was refused.
    pub(crate) fn rejected(&mut self, reason: RejectReason) {
        *self.rejections.entry(reason).or_default() += 1;
    }

    /// A session was concluded.
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        match outcome.status {
            Status::Success => self.succeeded += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Failed => {
                self.failed += 1;
                self.last_error = outcome.error.clone();
            }
        }
    }
}
