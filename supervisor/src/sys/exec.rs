//! What happens in a child between fork and exec.
//!
//! Owns: the only code that runs there, all of it async-signal-safe, and how far it came. Never: allocates, locks or
//! formats after the fork.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::EventfdFlags;

/// Words of the kernel's own `struct sigaction` on x86_64 and aarch64: handler, flags, restorer, mask.
const KERNEL_SIGACTION_WORDS: usize = 4;
/// Signals of Linux.
const KERNEL_SIGNALS: i32 = 64;

/// How far a child came before its exec failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It was never made.
    Nothing,
    /// It was made, and could not arrange its session, signals or descriptors.
    Fork,
    /// All was arranged; the exec itself failed.
    Exec,
}

/// Counts the steps of one child, across the fork. To be kept until after `Command::spawn`.
#[derive(Debug)]
pub struct Journey {
    counter: OwnedFd,
    /// Holds `channel_at` in the parent if it was free: else std's own pipe for the exec's error could get that number,
    /// and the child would overwrite it.
    _placeholder: OwnedFd,
}

impl Journey {
    /// Where it ended. Meaningful after `Command::spawn` has failed.
    pub fn reached(&self) -> Reached {
        let mut count = [0; 8];
        match rustix::io::read(&self.counter, &mut count) {
            Ok(_) if u64::from_ne_bytes(count) >= 2 => Reached::Exec,
            Ok(_) => Reached::Fork,
            Err(_) => Reached::Nothing,
        }
    }
}

/// Makes the child, before its exec: bound to the life of the calling thread, leader of a session of its own, with default
/// signals and nothing blocked, with `channel` (if any) on descriptor `channel_at`, and with every other descriptor above standard error closed by the exec.
pub fn arrange(command: &mut Command, channel: Option<OwnedFd>, channel_at: RawFd) -> io::Result<Journey> {
    let counter = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let steps = rustix::io::fcntl_dupfd_cloexec(&counter, channel_at + 1)?;
    let placeholder = rustix::io::fcntl_dupfd_cloexec(&counter, channel_at)?;
    let journey = Journey { counter, _placeholder: placeholder };
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    let arrange = move || {
        // SAFETY: `before_exec` needs to run in a forked child before its exec, which is what `pre_exec` promises, with
        // descriptors that are open there: the closure owns both.
        unsafe { before_exec(steps.as_raw_fd(), parent, channel.as_ref().map(AsRawFd::as_raw_fd), channel_at) }
    };
    // SAFETY: pre_exec needs a closure that is sound in a child forked from a process with threads: `before_exec` makes
    // plain system calls only, and `io::Error::last_os_error` does not allocate.
    unsafe { command.pre_exec(arrange) };
    Ok(journey)
}

/// # Safety
///
/// Only in a forked child before its exec: it takes over `channel_at` and the dispositions of all signals.
unsafe fn before_exec(steps: RawFd, parent: i32, channel: Option<RawFd>, channel_at: RawFd) -> io::Result<()> {
    step(steps)?;
    // Until it has walled itself in: a change of uid clears this, and the host sets it again (decision W4).
    // SAFETY: PR_SET_PDEATHSIG takes one number; getppid takes nothing.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // SAFETY: as above.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: setsid takes nothing.
    check(unsafe { libc::setsid() })?;
    // Past glibc, which hides the two signals that it keeps for itself: whoever started us may ignore those too.
    let default = [0_u64; KERNEL_SIGACTION_WORDS];
    for signal in 1..=KERNEL_SIGNALS {
        // SAFETY: rt_sigaction reads a kernel sigaction of four words here, all zero, which is SIG_DFL without flags; the
        // old one is not asked for; sets have eight bytes. SIGKILL and SIGSTOP are refused, harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8) };
    }
    // SAFETY: sigset_t is plain data that sigemptyset fills; both pointers are to a live local or null; a forked child
    // has one thread.
    unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()))?;
    }
    let first_closed = match channel {
        Some(channel) if channel == channel_at => {
            // SAFETY: F_SETFD takes two numbers.
            check(unsafe { libc::fcntl(channel, libc::F_SETFD, 0) })?;
            channel_at + 1
        }
        Some(channel) => {
            // SAFETY: dup2 takes two numbers; the caller gives `channel_at` to us.
            check(unsafe { libc::dup2(channel, channel_at) })?;
            channel_at + 1
        }
        None => libc::STDERR_FILENO + 1,
    };
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets a flag on descriptors, and takes three numbers.
    let marked =
        unsafe { libc::syscall(libc::SYS_close_range, first_closed as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(marked as i32)?;
    step(steps)
}

fn step(steps: RawFd) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: write reads eight bytes from a live local.
    let written = unsafe { libc::write(steps, one.as_ptr().cast(), one.len()) };
    check(if written == 8 { 0 } else { -1 })
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
