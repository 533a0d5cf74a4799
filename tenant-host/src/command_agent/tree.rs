//! The process trees of agents' programs, and the end of whatever escapes from them.
//!
//! Owns: which children of this host are programs that run. Never: signals a process whose number may have been given
//! to another: a leader is in the table exactly as long as it was not reaped.
//!
//! The host is a subreaper, so every orphan of a program becomes the host's child. A child that is in no table is such
//! an orphan: it is killed and reaped. Killing from the top down makes orphans of the next row, until none is left.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::sys::signals::arrivals;

/// How long a sweep goes on while orphans are left. One in an uninterruptible call is left to the supervisor.
const SWEEP: Duration = Duration::from_secs(2);
/// Between two rounds of a sweep, for the kernel to let the killed die.
const ROUND: Duration = Duration::from_millis(1);
/// Rounds in a row that must find nothing: the kernel's list may skip a child while another one dies.
const QUIET_ROUNDS: u32 = 2;

/// The programs that run, and the kernel's list of this host's children.
#[derive(Debug)]
pub(crate) struct Trees {
    children: RefCell<io::Result<File>>,
    leaders: RefCell<BTreeSet<i32>>,
}

impl Trees {
    /// Opens the list of children and makes this process the parent of its orphans. Must come before the walls, which
    /// forbid the opening, and in the process itself, not before a fork.
    pub(crate) fn open() -> Self {
        let children =
            nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from).and_then(|()| open_children());
        Self { children: RefCell::new(children), leaders: RefCell::default() }
    }

    /// Why orphans cannot be found, if so; they then live until the host's own tree is killed.
    pub(crate) fn fault(&self) -> Option<String> {
        let children = self.children.borrow();
        let error = children.as_ref().err()?;
        Some(format!("orphans of agents' programs cannot be found before the host ends: {error}"))
    }

    /// Notes a program that was just started.
    pub(crate) fn add(&self, leader: Pid) {
        self.leaders.borrow_mut().insert(leader.as_raw());
    }

    /// Signals a program's process group. Nothing happens when the program is no longer in the table.
    pub(crate) fn signal(&self, leader: Pid, signal: Signal) {
        if self.leaders.borrow().contains(&leader.as_raw()) {
            // A group that is gone already is as good as signalled.
            let _ = killpg(leader, signal);
        }
    }

    /// Kills what is left of a program's group, reaps the program and forgets it. `None` if it does not die at once.
    pub(crate) fn reap(&self, leader: Pid) -> Option<WaitStatus> {
        self.signal(leader, Signal::SIGKILL);
        let status = waitpid(leader, Some(WaitPidFlag::WNOHANG)).unwrap_or(WaitStatus::StillAlive);
        if status == WaitStatus::StillAlive {
            return None;
        }
        self.forget(leader);
        Some(status)
    }

    /// Takes a program out of the table: from now on it is an orphan.
    pub(crate) fn forget(&self, leader: Pid) {
        self.leaders.borrow_mut().remove(&leader.as_raw());
    }

    /// Kills every program and sweeps until no child is left.
    pub(crate) async fn kill_all(&self) {
        for leader in std::mem::take(&mut *self.leaders.borrow_mut()) {
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
        self.sweep().await;
    }

    /// Sweeps whenever a child ends.
    pub(crate) async fn sweep_for_ever(&self) {
        let Ok(ended) = arrivals(Signal::SIGCHLD) else { return };
        while ended.next().await.is_ok() {
            self.sweep().await;
        }
    }

    /// Kills and reaps orphans until none is left.
    pub(crate) async fn sweep(&self) {
        let deadline = Instant::now() + SWEEP;
        let mut quiet = 0;
        while quiet < QUIET_ROUNDS && Instant::now() < deadline {
            if self.sweep_once() == 0 {
                quiet += 1;
                tokio::task::yield_now().await;
            } else {
                quiet = 0;
                sleep(ROUND).await;
            }
        }
    }

    /// One round; gives how many orphans it found.
    fn sweep_once(&self) -> usize {
        let orphans = self.orphans();
        for orphan in &orphans {
            let _ = kill(*orphan, Signal::SIGKILL);
            while waitpid(*orphan, Some(WaitPidFlag::WNOHANG)) == Err(Errno::EINTR) {}
        }
        orphans.len()
    }

    fn orphans(&self) -> Vec<Pid> {
        let mut list = String::new();
        let mut children = self.children.borrow_mut();
        let Ok(file) = children.as_mut() else { return Vec::new() };
        if let Err(error) = file.rewind().and_then(|()| file.read_to_string(&mut list)) {
            *children = Err(error);
            return Vec::new();
        }
        let leaders = self.leaders.borrow();
        let pids = list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        pids.filter(|pid| !leaders.contains(pid)).map(Pid::from_raw).collect()
    }
}

fn open_children() -> io::Result<File> {
    File::open("/proc/thread-self/children")
}
