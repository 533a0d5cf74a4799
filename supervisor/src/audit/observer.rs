//! The log's own thread: takes what is told, writes it, and has the disk keep it when nothing more waits.
//!
//! Owns: the chain while the supervisor runs. Never: holds up a session; a full disk costs records, which are counted.

use std::collections::BTreeSet;
use std::error::Error;

use openrtc_ipc::HostId;

use super::chain::{AuditFault, Chain};
use super::entry::Entry;
use super::events;
use crate::observer::{Observer, ObserverError, Taken, Told};

/// Its name among the observers.
pub(super) const NAME: &str = "audit";

/// Writes the audit log.
#[derive(Debug)]
pub struct AuditObserver {
    chain: Chain,
    /// Hosts that have been ready.
    up: BTreeSet<HostId>,
    /// Records lost before the disk began to refuse; `None`: it does not.
    outage: Option<u64>,
    /// Whether it was told that the disk keeps nothing for certain.
    unsynced: bool,
}

impl AuditObserver {
    /// Goes on with this log.
    pub fn new(chain: Chain) -> Self {
        Self { chain, up: BTreeSet::new(), outage: None, unsynced: false }
    }

    fn entries(&mut self, told: &Told) -> Vec<Entry> {
        match told {
            Told::Audit(entries) => Vec::clone(entries),
            Told::HostUp { plan, .. } => {
                self.up.insert(plan.host);
                Vec::new()
            }
            Told::HostDown { plan, exit, evidence, sessions } => {
                let was_up = self.up.remove(&plan.host);
                events::host_down(plan, exit.as_ref(), evidence.as_ref(), sessions, was_up)
            }
            Told::Notice(notice) => events::noticed(notice).into_iter().collect(),
            Told::SessionStarted(..)
            | Told::Admitted(_)
            | Told::SessionEvent(..)
            | Told::SessionEnded(_)
            | Told::Line(..)
            | Told::Rejected(_)
            | Told::Snapshot(_) => Vec::new(),
        }
    }

    /// Tells of an outage when it begins and when it is over, and of no record between.
    fn judge(&mut self, result: Result<(), AuditFault>) -> Taken {
        match (result, self.outage) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(before)) => {
                self.outage = None;
                tracing::warn!(target: "openrtc.audit", path = %self.chain.path().display(),
                    lost = self.chain.lost() - before, "audit log is written again");
                Ok(())
            }
            (Err(_), Some(_)) => Err(ObserverError::Told),
            (Err(fault), None) => {
                self.outage = Some(self.chain.lost().saturating_sub(1));
                tracing::error!(target: "openrtc.audit", error = &fault as &dyn Error,
                    "audit log takes no more records: they are lost and counted until it does; make room");
                Err(ObserverError::Told)
            }
        }
    }
}

impl Observer for AuditObserver {
    fn name(&self) -> &str {
        NAME
    }

    fn hears(told: &Told) -> bool {
        match told {
            Told::Audit(_) | Told::HostUp { .. } | Told::HostDown { .. } => true,
            Told::Notice(notice) => events::is_recorded(notice),
            Told::SessionStarted(..)
            | Told::Admitted(_)
            | Told::SessionEvent(..)
            | Told::SessionEnded(_)
            | Told::Line(..)
            | Told::Rejected(_)
            | Told::Snapshot(_) => false,
        }
    }

    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        let mut taken = Ok(());
        for entry in self.entries(told) {
            let result = self.chain.append(&entry, at_unix_ms);
            taken = taken.and(self.judge(result));
        }
        taken
    }

    async fn flush(&mut self) -> Taken {
        match self.chain.sync() {
            Ok(()) => {
                self.unsynced = false;
                Ok(())
            }
            Err(fault) => {
                if !std::mem::replace(&mut self.unsynced, true) {
                    tracing::error!(target: "openrtc.audit", error = &fault as &dyn Error,
                        "audit log may lose its last records when the power fails");
                }
                Err(ObserverError::Told)
            }
        }
    }
}
