//! The end of a host: evidence, its tree, reaping, and the name of what it died of.
//!
//! Owns: the order in which a death is looked at. Never: reaps before the counters were read, or leaves a process of the
//! tree behind unsaid.

use std::error::Error;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openrtc_policy::bounds::TREE_KILL_MS;
use openrtc_policy::{Exit, Intent, attribute};

use super::output::OutputTail;
use super::reap::{self, Death};
use super::task::{HostTask, SharedWall};
use super::tree::{self, Swept};
use super::work_dir;
use crate::spawn::Process;
use crate::wall::{Counters, Raised, Swept as Emptied};

/// Looks at a host that has ended, kills what hung on it, reaps it and names its death.
pub async fn bury(task: &HostTask, output: Option<OutputTail>) -> Exit {
    let HostTask { context, plan, record, .. } = task;
    let (wall, corpse) = (Arc::clone(&task.wall), task.process.clone());
    let looked = tokio::task::spawn_blocking(move || look(&wall, &corpse)).await;
    let (death, counters, swept) = looked.unwrap_or((Death::UNREADABLE, Counters::default(), Swept::default()));
    if swept.left > 0 {
        tracing::error!(host = %plan.host, tenant = %plan.tenant, left = swept.left, "processes could not be killed");
    }
    let last_stderr = match output {
        Some(output) => output.finish().await,
        None => None,
    };
    let evidence = death.evidence(record.intent(), counters, last_stderr);
    let exit = attribute(&evidence);
    context.morgue.lay(plan.host, evidence);
    context.registry.leave(plan.host);
    if let Err(error) = work_dir::remove(&task.work_dir) {
        tracing::warn!(host = %plan.host, error = &error as &dyn Error, "remove the host's directory");
    }
    exit
}

/// The tree first, for the counters may grow until it is gone; the reaping last, for the pid is its own until then.
fn look(wall: &SharedWall, process: &Process) -> (Death, Counters, Swept) {
    let mut wall = wall.lock().unwrap_or_else(PoisonError::into_inner);
    let kill_cgroup = wall.as_ref().map(|raised| {
        || match raised.kill_all() {
            Emptied::NoGroup | Emptied::Empty => Ok(()),
            Emptied::SomeLeft => Err(std::io::ErrorKind::TimedOut.into()),
        }
    });
    let swept = tree::kill_tree(process, kill_cgroup, Duration::from_millis(TREE_KILL_MS));
    let counters = wall.as_ref().map(|raised| raised.counters()).unwrap_or_default();
    let death = reap::reap(process).unwrap_or(Death::UNREADABLE);
    if let Some(Err(error)) = wall.take().map(Raised::remove) {
        tracing::warn!(pid = process.pid(), error = &error as &dyn Error, "remove the host's cgroup");
    }
    (death, counters, swept)
}

/// Says of silence whether the process was stopped.
pub fn sharpen(intent: Intent, pid: i32) -> Intent {
    match intent {
        Intent::Heartbeat { silent_ms } if is_stopped(pid) => Intent::Stopped { silent_ms },
        intent => intent,
    }
}

fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    matches!(stat.rsplit_once(") ").and_then(|(_, rest)| rest.bytes().next()), Some(b'T' | b't'))
}
