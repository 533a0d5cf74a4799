//! One adapter for cgroups v1 and v2: a fresh group for each host generation.
//!
//! Owns: the trait, its errors, what a group is told, and how everybody in one is killed. Never: uses a group twice
//! (after one `cgroup.kill` every birth into it dies, walls.md finding 3), or puts a tenant's text into a path (C-24).

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use openrtc_ipc::HostId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::sys::proc;

/// Bytes read of a control file. `memory.stat` is the longest that we read, about 1.5 KiB.
const CONTROL_BYTES_MAX: usize = 8 * 1024;
/// Period of a CPU quota, in microseconds: within an audio frame (C-14).
pub(super) const CPU_PERIOD_MICROS: u64 = 20_000;
/// Longest wait for a killed group to be empty.
const KILL_DEADLINE: Duration = Duration::from_secs(2);
/// Longest wait for an empty group to go.
const REMOVE_DEADLINE: Duration = Duration::from_secs(2);

/// A control file that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct CgroupError {
    /// `write "max" to`, `create`, …
    pub doing: String,
    /// Which file or directory.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Which resources a group governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Controllers {
    /// `cgroup v1` or `cgroup v2`.
    pub version: &'static str,
    /// Memory.
    pub memory: bool,
    /// CPU weight and quota.
    pub cpu: bool,
    /// Processes and threads.
    pub pids: bool,
}

/// What a group is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupLimits {
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Percent of one core.
    pub cpu_pct: Option<u32>,
    /// 100 is normal.
    pub cpu_weight: u32,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// How often a CPU quota held the host up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttled {
    /// Periods in which it was held.
    pub periods: u64,
    /// For how long in all, in microseconds.
    pub micros: u64,
}

/// One host's group. Its files stay open from the start, so that they can be read after the host's death.
pub(super) trait Group: Debug + Send {
    /// What it governs.
    fn controllers(&self) -> Controllers;
    /// Sets every limit, then reads it back.
    fn limit(&self, limits: &GroupLimits) -> Result<(), CgroupError>;
    /// Moves a process in; its children are born there. Where it comes there sooner by itself, opens the files that it
    /// writes 0 to (`tenant-host/src/lockdown/cgroup.rs`) and leaves that to it.
    fn attach(&self, pid: i32) -> Result<Vec<OwnedFd>, CgroupError>;
    /// Whether `/proc/PID/cgroup` shows a process in it.
    fn holds(&self, proc_cgroup: &str) -> bool;
    /// Members killed by the kernel because the group was at its own limit.
    fn oom_kills(&self) -> u64;
    /// Members killed by the kernel because a group above, or the machine, was out of memory.
    fn ancestor_oom_kills(&self) -> u64;
    /// Both of these, in one reading.
    fn all_oom_kills(&self) -> u64;
    /// Most memory ever charged, in bytes.
    fn peak(&self) -> Option<u64>;
    /// Memory charged and not to be had back at once (without inactive file cache), in bytes.
    fn usage(&self) -> Option<u64>;
    /// CPU used, in microseconds.
    fn cpu_micros(&self) -> Option<u64>;
    /// Held up by the quota.
    fn throttled(&self) -> Throttled;
    /// Times that a fork was refused.
    fn pids_hit(&self) -> u64;
    /// Processes and threads.
    fn pids(&self) -> Option<u32>;
    /// Kills everybody in it and waits, within two seconds, until it is empty. `false`: somebody is left.
    fn kill_all(&self) -> bool;
    /// Removes it; waits, within two seconds, while the kernel calls it busy.
    fn remove(self: Box<Self>) -> Result<(), CgroupError>;
}

/// A host's group, by whose host it is: groups of several supervisors lie beside each other.
pub(super) fn group_name(owner: &str, host: HostId) -> String {
    format!("{owner}.{host}")
}

/// How a line of `/proc/PID/cgroup` ends for members of a group.
pub(super) fn marker_of(group: &Path) -> String {
    format!("/{}", group.file_name().unwrap_or_default().to_string_lossy())
}

/// A control directory.
#[derive(Debug, Clone)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    /// Makes it, and refuses one that is there.
    pub(super) fn create(path: PathBuf) -> Result<Self, CgroupError> {
        std::fs::create_dir(&path).map_err(|source| failed("create", &path, source))?;
        Ok(Self(path))
    }

    /// Opens a file of it for reading; `None` where this kernel has no such file.
    pub(super) fn open(&self, name: &str) -> Option<File> {
        File::open(self.0.join(name)).ok()
    }

    /// Writes a value.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), CgroupError> {
        let path = self.0.join(name);
        let written = File::options().write(true).open(&path).and_then(|file| file.write_all_at(value.as_bytes(), 0));
        written.map_err(|source| failed(&format!("write {value:?} to"), &path, source))
    }

    /// Opens a file of it for somebody else to write to.
    pub(super) fn open_to_write(&self, name: &str) -> Result<OwnedFd, CgroupError> {
        let path = self.0.join(name);
        let opened = File::options().write(true).open(&path);
        opened.map(OwnedFd::from).map_err(|source| failed("open", &path, source))
    }

    /// Writes a value where this kernel has the file.
    pub(super) fn write_if_there(&self, name: &str, value: &str) -> Result<(), CgroupError> {
        match self.write(name, value) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Reads a value.
    pub(super) fn read(&self, name: &str) -> Result<String, CgroupError> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|source| failed("read", &path, source))
    }

    /// Fails unless the file now holds this number, or less: the kernel rounds down to pages.
    pub(super) fn assert_at_most(&self, name: &str, number: u64) -> Result<(), CgroupError> {
        match proc::leading_number(&self.read(name)?) {
            Some(found) if found <= number => Ok(()),
            _ => Err(failed(
                &format!("read back {number} from"),
                &self.0.join(name),
                io::Error::from(io::ErrorKind::InvalidData),
            )),
        }
    }

    /// Removes it, waiting while it is busy (C-21).
    pub(super) fn remove(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + REMOVE_DEADLINE;
        let mut wait = Duration::from_millis(1);
        loop {
            match std::fs::remove_dir(&self.0) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                    pause(wait);
                    wait = (wait * 2).min(Duration::from_millis(100));
                }
                Err(error) => return Err(failed("remove", &self.0, error)),
            }
        }
    }
}

/// Waits where the kernel offers nothing to wait on. On a pool thread only.
fn pause(time: Duration) {
    let milliseconds = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
    // Waiting for nothing at all; an early return by a signal only makes the next attempt come sooner.
    let _ = poll(&mut [], PollTimeout::from(milliseconds));
}

pub(super) fn failed(doing: &str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError { doing: doing.to_owned(), path: path.to_owned(), source }
}

/// The number after a key in a file of `key value` lines.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == key).then(|| proc::leading_number(value)).flatten()
    })
}

/// The number after a key in an open file; 0 where there is none.
pub(super) fn field_of(file: Option<&File>, key: &str) -> u64 {
    with_text(file, |text| field(text, key)).unwrap_or(0)
}

/// The number in an open file.
pub(super) fn number_of(file: Option<&File>) -> Option<u64> {
    with_text(file, proc::leading_number)
}

fn with_text<T>(file: Option<&File>, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; CONTROL_BYTES_MAX];
    read(proc::reread(file?, &mut buffer).ok()?)
}

/// The pids listed in a `cgroup.procs`; 0 stands for one outside our pid namespace.
fn members(procs: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(procs).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// Kills one by one until nobody is listed, each only after checking, with its pidfd held, that it still belongs here.
pub(super) fn kill_one_by_one(procs: &Path, marker: &str) -> bool {
    let deadline = Instant::now() + KILL_DEADLINE;
    loop {
        let pids = members(procs);
        if pids.is_empty() {
            return true;
        }
        let killed: Vec<_> = pids.iter().filter_map(|pid| kill_member(*pid, marker)).collect();
        if Instant::now() >= deadline {
            return false;
        }
        match killed.first() {
            Some(pidfd) => wait_for(pidfd, PollFlags::POLLIN, deadline),
            None => pause(Duration::from_millis(1)),
        }
    }
}

fn kill_member(pid: i32, marker: &str) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let belongs = proc::cgroup(pid).ok()?.lines().any(|line| line.ends_with(marker));
    if !belongs {
        return None;
    }
    pidfd_send_signal(&pidfd, Signal::KILL).ok()?;
    Some(pidfd)
}

/// Waits for an event on a file, or the deadline; the caller looks again either way.
pub(super) fn wait_for(file: &impl AsFd, events: PollFlags, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis().min(100);
    let timeout = PollTimeout::from(u16::try_from(left).unwrap_or(100));
    let _ = poll(&mut [PollFd::new(file.as_fd(), events)], timeout);
}

/// The deadline for a group to be empty.
pub(super) fn kill_deadline() -> Instant {
    Instant::now() + KILL_DEADLINE
}
