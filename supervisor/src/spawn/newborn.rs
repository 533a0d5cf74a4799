//! A process that was just made, and the handle by which it is held for the rest of its life.
//!
//! Owns: pid and pidfd together, so that no signal ever goes to a stranger with the same number. Never: reaps (that is
//! `host/reap.rs`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::HostId;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::spawn::children::ChildTable;
use crate::spawn::state::Absence;

/// How a host is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Fork and exec of the host program.
    Cold,
    /// Fork of a warm zygote, ahead or at once; cold where there is none.
    Zygote,
    /// Fork of a warm zygote, before it was needed; not to be asked for.
    Ahead,
}

impl How {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Zygote => "zygote",
            Self::Ahead => "ahead",
        }
    }
}

/// A child of ours. Clones hold the same process.
#[derive(Debug, Clone)]
pub struct Process {
    pid: i32,
    pidfd: Arc<OwnedFd>,
}

impl Process {
    /// From a pid and its pidfd.
    pub(super) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd: Arc::new(pidfd) }
    }

    /// From the pid of a child that was not reaped.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let named = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self::new(pid, rustix::process::pidfd_open(named, PidfdFlags::empty())?))
    }

    /// Its pid. It names this process until it is reaped.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its pidfd: readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Signals it. `ESRCH` once it was reaped; a zombie takes any signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// SIGTERM, and SIGCONT, so that a stopped process hears it.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// SIGKILL of this process alone; `host/tree.rs` kills all that hangs on it.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGKILL of this process and of its group. To be called before it is reaped: until then the group's number is its
    /// own.
    pub(super) fn kill_group(&self) {
        if let Some(group) = Pid::from_raw(self.pid) {
            // It fails where the child has not come to its `setsid` yet; then there is no group but itself.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.kill();
    }
}

/// A host that was just made: our own code, waiting to be welcomed. Nothing of a tenant's runs in it, nor will before the
/// green light.
#[derive(Debug)]
pub struct Newborn {
    /// Which host it is to be.
    pub host: HostId,
    /// The process: a child of the supervisor, leader of a session of its own, in the table of children until it is
    /// reaped by `host/reap.rs`.
    pub process: Process,
    /// Our end of its channel, non-blocking.
    pub channel: UnixStream,
    /// What it writes to standard output, non-blocking.
    pub stdout: OwnedFd,
    /// What it writes to standard error, non-blocking.
    pub stderr: OwnedFd,
    /// How it was really made.
    pub how: How,
    /// Why it is cold, where a zygote was asked for.
    pub why_cold: Option<Absence>,
    /// From taking the request to holding the process.
    pub took: Duration,
}

/// Something made for somebody who may have stopped waiting for it: then its process is killed and disowned.
#[derive(Debug)]
pub(super) struct Unclaimed<T>(Option<(Process, T)>);

impl<T> Unclaimed<T> {
    /// Holds `made` until it is claimed.
    pub(super) fn new(process: &Process, made: T) -> Self {
        Self(Some((process.clone(), made)))
    }

    /// Hands it over.
    pub(super) fn claim(mut self) -> Option<T> {
        self.0.take().map(|(_, made)| made)
    }
}

impl<T> Drop for Unclaimed<T> {
    fn drop(&mut self) {
        if let Some((process, _)) = &self.0 {
            process.kill_group();
            ChildTable::of_this_process().disown(process.pid());
        }
    }
}
