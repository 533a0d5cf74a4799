//! The processes of one host, found again and again.
//!
//! Owns: walking children, and remembering those that were seen by pid and start time, so that one which slips out of
//! the tree is still counted. Never: signals anybody.

use std::collections::BTreeMap;

use crate::sys::proc::{self, ProcessKey, Stat, Status};

/// Processes that are followed at once; a host has fewer by its pids wall.
const MEMBERS_MAX: usize = 4096;

/// One process of the tree.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its last `stat`.
    pub(super) stat: Stat,
    /// Its last `status`.
    pub(super) status: Status,
    /// Memory its parent had when it was first seen: as much of its own may be inherited.
    pub(super) inherited_bytes_max: u64,
}

/// A host's process and everything that came of it.
#[derive(Debug)]
pub(super) struct Tree {
    root: i32,
    members: BTreeMap<ProcessKey, Member>,
}

impl Tree {
    pub(super) fn new(root: i32) -> Self {
        Self { root, members: BTreeMap::new() }
    }

    /// Looks again. Afterwards [`Self::members`] holds those that are alive.
    pub(super) fn refresh(&mut self) {
        let mut queue = vec![self.root];
        queue.extend(self.members.keys().map(|key| key.pid).filter(|pid| *pid != self.root));
        let mut seen = BTreeMap::new();
        let mut at = 0;
        while at < queue.len() && seen.len() < MEMBERS_MAX {
            let pid = queue[at];
            at += 1;
            if seen.keys().any(|key: &ProcessKey| key.pid == pid) {
                continue;
            }
            let Some((key, member)) = self.look(pid, &seen) else { continue };
            // A remembered pid with another start time is a stranger now.
            let remembered = self.members.keys().find(|known| known.pid == pid);
            if remembered.is_some_and(|known| *known != key) && !self.is_child(&member, &seen) {
                continue;
            }
            seen.insert(key, member);
            proc::children_into(pid, &mut queue);
        }
        self.members = seen;
    }

    fn is_child(&self, member: &Member, seen: &BTreeMap<ProcessKey, Member>) -> bool {
        seen.keys().any(|key| key.pid == member.stat.parent)
    }

    fn look(&self, pid: i32, seen: &BTreeMap<ProcessKey, Member>) -> Option<(ProcessKey, Member)> {
        let stat = proc::stat(pid).ok()?;
        let status = proc::status(pid).ok()?;
        let key = ProcessKey { pid, start_ticks: stat.start_ticks };
        let inherited_bytes_max = match self.members.get(&key) {
            Some(known) => known.inherited_bytes_max,
            None => {
                let parent = seen.iter().find(|(key, _)| key.pid == stat.parent);
                let parent = parent.map_or(0, |(_, parent)| parent.status.memory_bytes());
                parent.min(status.memory_bytes())
            }
        };
        Some((key, Member { stat, status, inherited_bytes_max }))
    }

    /// Those alive, the host's own process first where it is.
    pub(super) fn pids(&self) -> Vec<i32> {
        let others = self.members.keys().map(|key| key.pid).filter(|pid| *pid != self.root);
        std::iter::once(self.root).chain(others).collect()
    }

    /// Those alive.
    pub(super) fn members(&self) -> impl Iterator<Item = (&ProcessKey, &Member)> {
        self.members.iter()
    }

    /// Whether this is the host's own process.
    pub(super) fn is_root(&self, key: &ProcessKey) -> bool {
        key.pid == self.root
    }

    /// Processes and threads.
    pub(super) fn threads(&self) -> u32 {
        self.members.values().map(|member| member.status.threads.max(1)).sum()
    }

    /// CPU of those alive and of the children they have waited for, in clock ticks.
    pub(super) fn cpu_ticks(&self) -> u64 {
        self.members.values().map(|member| member.stat.cpu_ticks).sum()
    }
}
