//! What became of the last offers, and how many there were.
//!
//! Owns: the counters by reason, and a bounded memory of offers by room. Never: holds metadata or a token.

use std::collections::{BTreeMap, VecDeque};

use openrtc_livekit::JobId;

use crate::telemetry::unix_ms;

/// Offers remembered.
const OFFERS_REMEMBERED: usize = 512;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// Yes, as this session, for this tenant and agent.
    Accepted { session: String, tenant: String, agent: String },
    /// No: the stable reason, the sentence, and whether nobody else shall be asked.
    Refused { reason: String, detail: String, terminate: bool },
}

/// What came of a yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The job became ours.
    Assigned,
    /// It did not.
    Lapsed(String),
    /// It ended; with its error, if it failed.
    Ended(Option<String>),
}

/// One offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) job: JobId,
    pub(super) room: String,
    pub(super) agent_name: String,
    pub(super) at_unix_ms: u64,
    pub(super) answered: Answered,
    pub(super) fate: Option<Fate>,
}

/// The memory.
#[derive(Debug, Default)]
pub(super) struct History {
    last: VecDeque<Remembered>,
    pub(super) offers: u64,
    pub(super) accepted: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) tenants_ignored: u64,
    pub(super) redispatched: u64,
}

impl History {
    /// An offer was answered.
    pub(super) fn answered(&mut self, job: JobId, room: String, agent_name: String, answered: Answered) {
        self.offers += 1;
        match &answered {
            Answered::Accepted { .. } => self.accepted += 1,
            Answered::Refused { reason, .. } => *self.refused.entry(reason.clone()).or_default() += 1,
        }
        if self.last.len() == OFFERS_REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(Remembered { job, room, agent_name, at_unix_ms: unix_ms(), answered, fate: None });
    }

    /// Something came of an accepted one.
    pub(super) fn fate(&mut self, job: &JobId, fate: Fate) {
        if let Some(offer) = self.last.iter_mut().rev().find(|offer| offer.job == *job) {
            offer.fate = Some(fate);
        }
    }

    /// The last offer of a room, after a moment.
    pub(super) fn of_room(&self, room: &str, after_unix_ms: u64) -> Option<&Remembered> {
        self.last.iter().rev().find(|offer| offer.room == room && offer.at_unix_ms >= after_unix_ms)
    }

    /// The last refusal of a room.
    pub(super) fn refusal_of_room(&self, room: &str) -> Option<&Remembered> {
        let refused = |offer: &&Remembered| matches!(offer.answered, Answered::Refused { .. });
        self.last.iter().rev().filter(refused).find(|offer| offer.room == room)
    }
}
