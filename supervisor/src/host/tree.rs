//! Killing a host and everything that hangs on it, also what has run away from it (decision P7).
//!
//! Owns: adopting orphans, the order of the kill, and the sweep. Never: touches a child that is in the table, sweeps
//! while a fork is in flight, or blocks longer than its bound. It does block: call it on a pool thread.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::spawn::{ChildTable, Process};
use crate::sys::process::{self, Found, Whom};

/// What killing a tree came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that had run away from their host, and were killed and reaped.
    pub escapees: u32,
    /// Processes that were still there when the time was over; 0 when all went well.
    pub left: u32,
    /// Whether the host itself has ended. It is left to `host/reap.rs`.
    pub ended: bool,
}

/// Makes this process the parent of every orphan below it. To be called once, by `main`, before the first spawn. Children
/// that are there already (of a shell that exec'd us, say) are left alone for ever.
pub fn become_subreaper() -> io::Result<()> {
    for pid in children_of(rustix::process::getpid().as_raw_nonzero().get()) {
        ChildTable::of_this_process().tolerate(pid);
    }
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Kills a host's whole tree: the host itself, its cgroup where it has one, then every escapee. Right also after the host
/// has ended by itself. The host stays a zombie, to be read and reaped by `host/reap.rs`.
pub fn kill_tree<F>(process: &Process, kill_cgroup: Option<F>, limit: Duration) -> Swept
where
    F: FnOnce() -> io::Result<()>,
{
    let deadline = Instant::now() + limit;
    // ESRCH: it was reaped already.
    let _ = process.kill();
    if let Some(Err(error)) = kill_cgroup.map(|kill| kill()) {
        tracing::warn!(
            pid = process.pid(),
            error = &error as &dyn std::error::Error,
            "cgroup was not killed; sweeping"
        );
    }
    // Its children become ours when it ends, and not before.
    let ended = ends_before(process, deadline);
    Swept { ended, ..sweep(deadline) }
}

/// Kills and reaps every child of ours that is in no table, and theirs as they become ours, until none is left.
pub fn sweep(deadline: Instant) -> Swept {
    let children = ChildTable::of_this_process();
    let mut swept = Swept::default();
    let mut clean_passes = 0;
    // The kernel's list may miss one that appears while it is read: only two empty passes in a row count.
    while clean_passes < 2 {
        let pass = children.while_quiet(deadline, |threads, stranger| pass(threads, stranger));
        let Some(pass) = pass else { break };
        swept.escapees += pass.reaped;
        swept.left = pass.dying.len() as u32;
        clean_passes = if pass.reaped == 0 && pass.dying.is_empty() { clean_passes + 1 } else { 0 };
        if Instant::now() >= deadline {
            break;
        }
        await_one(&pass.dying, deadline);
    }
    swept
}

/// One look at our children.
struct Pass {
    /// Pids that are gone.
    reaped: u32,
    /// Those that were killed and are not dead yet.
    dying: Vec<Pid>,
}

fn pass(threads: &[i32], stranger: &dyn Fn(i32) -> bool) -> Pass {
    let mut pass = Pass { reaped: 0, dying: Vec::new() };
    for pid in threads.iter().flat_map(|thread| children_of(*thread)).filter(|pid| stranger(*pid)) {
        let Some(named) = Pid::from_raw(pid) else { continue };
        // By number: it is a child of ours that nobody but us reaps, so the number is still its own.
        let _ = rustix::process::kill_process(named, Signal::KILL);
        match process::look(Whom::Pid(pid), true) {
            Ok(Found::Ended(_)) => pass.reaped += 1,
            Ok(Found::Running) => pass.dying.push(named),
            Err(_) => {}
        }
    }
    pass
}

/// The kernel's list of a thread's children; where the kernel has none, those of the whole process.
fn children_of(thread: i32) -> Vec<i32> {
    let parse = |text: String| text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    match fs::read_to_string(format!("/proc/self/task/{thread}/children")) {
        Ok(list) => parse(list),
        Err(_) if fs::exists(format!("/proc/self/task/{thread}")).unwrap_or(true) => children_by_scan(),
        Err(_) => Vec::new(),
    }
}

/// Every process whose parent we are, from `/proc/PID/stat`: for kernels without `CONFIG_PROC_CHILDREN`.
fn children_by_scan() -> Vec<i32> {
    let me = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // "pid (name) state ppid …"; the name may hold anything, a parenthesis too.
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)) == Some(me.as_str())
    })
    .collect()
}

fn ends_before(process: &Process, deadline: Instant) -> bool {
    let mut ended = [PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN)];
    matches!(rustix::event::poll(&mut ended, Some(&left(deadline))), Ok(1))
}

/// Waits until the first of them is dead, or a millisecond is over: long enough not to spin, short enough to meet what
/// it may have forked.
fn await_one(dying: &[Pid], deadline: Instant) {
    let Some(pidfd) = dying.first().and_then(|pid| rustix::process::pidfd_open(*pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    let limit = deadline.min(Instant::now() + Duration::from_millis(1));
    let _ = rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left(limit)));
}

fn left(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
}
