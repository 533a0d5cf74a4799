//! The end of a host's process: noticed, read while it is still a zombie, then reaped.
//!
//! Owns: waiting on one pidfd, and what the kernel says of a death. Never: names it (that is
//! `openrtc_policy::attribute`), waits for any child, or signals.

use std::io;

use openrtc_policy::{Evidence, Intent, WaitStatus};

use crate::spawn::{ChildTable, Process};
use crate::sys::process::{self, Corpse, Ended, Found, Whom};
use crate::wall::Counters;

/// A death as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// How it ended.
    pub wait: WaitStatus,
    /// CPU used by it and those of its children that it waited for, in microseconds; `None` when it could not be read.
    pub cpu_micros: Option<u64>,
}

impl Death {
    /// Joined with what else is known. The cgroup's counters are to be read after the death; default where there is none.
    pub fn evidence(self, intent: Option<Intent>, counters: Counters, last_stderr: Option<String>) -> Evidence {
        Evidence {
            intent,
            wait: self.wait,
            oom_kills: counters.oom_kills,
            ancestor_oom_kills: counters.ancestor_oom_kills,
            pids_hit: counters.pids_hit,
            memory_peak_bytes: counters.memory_peak_bytes,
            cpu_micros: counters.cpu_micros.or(self.cpu_micros),
            last_stderr,
        }
    }

    const UNREADABLE: Self = Self { wait: WaitStatus::Unknown, cpu_micros: None };
}

impl From<Corpse> for Death {
    fn from(corpse: Corpse) -> Self {
        let wait = match corpse.ended {
            Ended::Exited(code) => WaitStatus::Exited(code),
            Ended::Signalled(signal) => WaitStatus::Signalled(signal),
        };
        Self { wait, cpu_micros: Some(corpse.cpu_micros) }
    }
}

/// Waits until the process, all its threads, has ended. It stays a zombie: its pid, `/proc` entry and cgroup are still
/// its own until [`reap`]. May be abandoned.
///
/// # Errors
///
/// When the runtime cannot watch the descriptor.
pub async fn wait(process: &Process) -> io::Result<()> {
    process::ended(process.pidfd()).await
}

/// Reads how a process ended and leaves it a zombie; `None` while it runs.
pub fn look(process: &Process) -> Option<Death> {
    match process::look(Whom::Pidfd(process.pidfd()), false) {
        Ok(Found::Running) => None,
        Ok(Found::Ended(corpse)) => Some(corpse.into()),
        Err(_) => Some(Death::UNREADABLE),
    }
}

/// Reaps a process that has ended, and takes it out of the table of children; `None` while it runs.
pub fn reap(process: &Process) -> Option<Death> {
    match ChildTable::of_this_process().reap(process) {
        Ok(Found::Running) => None,
        Ok(Found::Ended(corpse)) => Some(corpse.into()),
        Err(_) => Some(Death::UNREADABLE),
    }
}
