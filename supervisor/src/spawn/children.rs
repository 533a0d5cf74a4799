//! The table of our children that exist on purpose: hosts, zygotes, helpers (decision P7).
//!
//! Owns: the set, the mark "a fork is in flight", the list of threads whose children it is about, and reaping those in
//! it. Never: signals a process; who sweeps asks here what may be swept.
//!
//! There is one for the process, because a process has one set of children. What is a child of the main thread or of a
//! spawner thread and is not in the table, while no fork is in flight, is an escapee of some host's tree.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::spawn::newborn::Process;
use crate::sys::process::{self, Found, Whom};

static CHILDREN: ChildTable = ChildTable {
    state: Mutex::new(State { pids: BTreeSet::new(), forks: 0, sweeps_waiting: 0, spawners: BTreeSet::new() }),
    turn: Condvar::new(),
};

#[derive(Debug)]
struct State {
    pids: BTreeSet<i32>,
    forks: u32,
    sweeps_waiting: u32,
    spawners: BTreeSet<i32>,
}

/// This process's children that exist on purpose.
#[derive(Debug)]
pub struct ChildTable {
    state: Mutex<State>,
    turn: Condvar,
}

impl ChildTable {
    /// The one of this process.
    pub fn of_this_process() -> &'static Self {
        &CHILDREN
    }

    /// Whether this child is known.
    pub fn holds(&self, pid: i32) -> bool {
        self.lock().pids.contains(&pid)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.lock().pids.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.lock().pids.is_empty()
    }

    /// Leaves a child alone that was there before this program began: whoever exec'd us made it.
    pub(crate) fn tolerate(&self, pid: i32) {
        self.lock().pids.insert(pid);
    }

    /// Says that the calling thread makes processes, so that orphans of its children are looked for there too.
    pub(super) fn add_spawner(&self) {
        self.lock().spawners.insert(process::thread_id());
    }

    /// Marks a fork as in flight until the guard is dropped; lets a sweep's pass that runs or waits go first.
    pub(super) fn fork(&self) -> ForkInFlight<'_> {
        let mut state =
            self.turn.wait_while(self.lock(), |state| state.sweeps_waiting > 0).unwrap_or_else(PoisonError::into_inner);
        state.forks += 1;
        ForkInFlight(self)
    }

    /// Reaps a child, and forgets it, as one step. Gives what `look` gives; a child that cannot be waited for is
    /// forgotten too.
    pub fn reap(&self, process: &Process) -> io::Result<Found> {
        let mut state = self.lock();
        let found = process::look(Whom::Pidfd(process.pidfd()), true);
        if !matches!(found, Ok(Found::Running)) {
            state.pids.remove(&process.pid());
        }
        found
    }

    /// Gives up a child without reaping it: from now on it is an escapee, for the next sweep to kill and reap.
    pub(super) fn disown(&self, pid: i32) {
        self.lock().pids.remove(&pid);
    }

    /// Runs `pass` while no fork is in flight and none can begin, and no child is reaped, with a test for "not ours on
    /// purpose" and the threads whose children to look at. `None` when a fork was in flight until the deadline.
    pub(crate) fn while_quiet<R>(
        &self,
        deadline: Instant,
        pass: impl FnOnce(&[i32], &dyn Fn(i32) -> bool) -> R,
    ) -> Option<R> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut state = self.lock();
        state.sweeps_waiting += 1;
        let (mut state, _) =
            self.turn.wait_timeout_while(state, left, |state| state.forks > 0).unwrap_or_else(PoisonError::into_inner);
        state.sweeps_waiting -= 1;
        self.turn.notify_all();
        if state.forks > 0 {
            return None;
        }
        let main = i32::try_from(std::process::id()).unwrap_or_default();
        let threads: Vec<i32> = std::iter::once(main).chain(state.spawners.iter().copied()).collect();
        Some(pass(&threads, &|pid| !state.pids.contains(&pid)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can panic half-way through a change of the sets.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fork that has begun and is not booked yet.
#[derive(Debug)]
pub(super) struct ForkInFlight<'a>(&'a ChildTable);

impl ForkInFlight<'_> {
    /// Books the new child.
    pub(super) fn made(&self, pid: i32) {
        self.0.lock().pids.insert(pid);
    }
}

impl Drop for ForkInFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().forks -= 1;
        self.0.turn.notify_all();
    }
}
