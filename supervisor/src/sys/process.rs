//! Waiting for one process by its pidfd or its pid, whichever way it was made.
//!
//! Owns: `waitid`, and the default disposition of `SIGCHLD`. Never: waits for any child, only for a named one.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which process to wait for.
#[derive(Debug, Clone, Copy)]
pub enum Whom<'a> {
    /// The one behind this pidfd.
    Pidfd(BorrowedFd<'a>),
    /// The child with this pid.
    Pid(i32),
}

/// How a process ended, as the kernel tells its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `exit(code)`.
    Exited(i32),
    /// By this signal, with or without a core dump.
    Signalled(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A process that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corpse {
    /// How.
    pub ended: Ended,
    /// CPU used by it and by its children that it waited for, in microseconds.
    pub cpu_micros: u64,
}

/// What waiting found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It still runs.
    Running,
    /// It has ended.
    Ended(Corpse),
}

/// Looks whether a child has ended, without blocking; `reap` also takes it out of the process table.
///
/// # Errors
///
/// `ECHILD` when it is no child of this process, or was reaped before.
pub fn look(whom: Whom<'_>, reap: bool) -> io::Result<Found> {
    let (kind, id) = match whom {
        Whom::Pidfd(pidfd) => (libc::P_PIDFD, pidfd.as_fd().as_raw_fd()),
        Whom::Pid(pid) => (libc::P_PID, pid),
    };
    // __WALL: a host forked by a zygote asked for exit signal 0, and counts as a "clone" child where the kernel heeds
    // that (with CLONE_PARENT, kernels up to 6.18 give it the zygote's own signal).
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | if reap { 0 } else { libc::WNOWAIT };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: waitid(2) takes five arguments (glibc's wrapper has four): two numbers, pointers to a writable
        // siginfo_t and rusage, both live locals of those types, and flags.
        let result =
            unsafe { libc::syscall(libc::SYS_waitid, kind, id, info.as_mut_ptr(), options, usage.as_mut_ptr()) };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: both are plain data, zeroed at first, and filled by the kernel where it had something to say.
    let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
    // SAFETY: waitid fills the child fields, or leaves all zero when nothing has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(Found::Running);
    }
    let ended = if info.si_code == libc::CLD_EXITED { Ended::Exited(status) } else { Ended::Signalled(status) };
    Ok(Found::Ended(Corpse { ended, cpu_micros: micros(usage.ru_utime) + micros(usage.ru_stime) }))
}

/// Waits until the process behind a pidfd, all its threads, has ended. It stays a zombie. May be abandoned.
///
/// # Errors
///
/// When the runtime cannot watch the descriptor.
pub async fn ended(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // A duplicate, because a runtime watches one number only once, and several tasks may wait.
    let pidfd: OwnedFd = pidfd.try_clone_to_owned()?;
    // SAFETY: register needs an open descriptor that stays the same until the `AsyncFd` is dropped: an `OwnedFd` that it
    // owns and that nothing else reaches.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
    watched.readable().await?.retain_ready();
    Ok(())
}

fn micros(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// Puts `SIGCHLD` back to its default if whoever started us ignores it: the kernel would reap our children itself, and
/// no end of a host could be read.
pub fn keep_ended_children() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action, sigaction only writes the present one to a live local of its type.
    let known = unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: plain data, zeroed at first.
    let action = unsafe { action.assume_init() };
    if known && action.sa_sigaction == libc::SIG_IGN {
        // SAFETY: SIG_DFL is valid for SIGCHLD; no handler of ours is lost, for it was ignored.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    }
}

/// The calling thread's id.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
