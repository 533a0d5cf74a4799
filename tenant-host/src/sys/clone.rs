//! Forking a host from a single-threaded zygote, as the child of the zygote's own parent.
//!
//! Owns: the raw `clone3` and the descriptors of the new process. Never: checks that there is one thread; `zygote.rs`
//! has done so, and that is what makes the fork sound.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use openrtc_ipc::CHANNEL_FD;

/// `struct clone_args` as far as Linux 5.3 has it (64 bytes, `CLONE_ARGS_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Signals whose handler, if there is one, only describes a crash.
const OF_A_CRASH: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The zygote: the new process and its pidfd. It is not the zygote's child.
    Zygote {
        /// Its pid.
        pid: i32,
        /// Its pidfd, close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Forks a process whose parent is the caller's parent (`CLONE_PARENT`), and of whose end nobody is signalled.
///
/// The caller must be the only thread of its process: the child has that thread and no other, so a lock held by another
/// would stay held for ever.
pub fn fork_sibling() -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: (libc::CLONE_PARENT | libc::CLONE_PIDFD) as u64,
        pidfd: &raw mut pidfd as u64,
        ..CloneArgs::default()
    };
    // glibc keeps the thread's id in its control block; a raw clone would leave the zygote's there, and locks that
    // name their owner by it would never unlock (decision P3). The kernel knows the address and fills it in.
    if let Some(address) = thread_id_address() {
        args.flags |= (libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID) as u64;
        args.child_tid = address;
    }
    // SAFETY: clone3 needs a pointer to `size` readable bytes: `args` lives here and is of the size passed. Without
    // CLONE_VM and with stack 0 both sides go on with their own copy of this stack. `pidfd` and `child_tid` must be
    // writable for four bytes: a local, and the word that the kernel itself was told to clear at this thread's end.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel stored a descriptor that it has just opened for us; nobody else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Zygote { pid: pid as i32, pidfd })
        }
    }
}

/// Where glibc keeps this thread's id; `None` on kernels built without checkpoint/restore.
fn thread_id_address() -> Option<u64> {
    let mut address: usize = 0;
    // SAFETY: PR_GET_TID_ADDRESS stores one pointer where its second argument points: a live local of that size.
    let result = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut address, 0, 0, 0) };
    (result == 0 && address != 0).then_some(address as u64)
}

/// Makes the new process what a cold host is right after its exec: a session of its own, default signals, the channel on
/// [`CHANNEL_FD`], its output on 1 and 2, and no other descriptor but standard input.
pub fn become_host(channel: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<UnixStream> {
    // SAFETY: setsid takes nothing and touches no memory of ours.
    check(unsafe { libc::setsid() })?;
    reset_signals()?;
    // All three were received while 0 to 3 were open, so they lie above; close_range below closes the originals, which
    // must therefore not be dropped.
    let [channel, stdout, stderr] = [channel, stdout, stderr].map(IntoRawFd::into_raw_fd);
    for (from, to) in [(stdout, 1), (stderr, 2), (channel, CHANNEL_FD)] {
        // SAFETY: dup2 takes two numbers. What 1, 2 and 3 were in the zygote is nobody's in this process: the zygote
        // holds them as numbers only (`zygote.rs`).
        check(unsafe { libc::dup2(from, to) })?;
    }
    close_from(CHANNEL_FD + 1)?;
    // SAFETY: the descriptor was made by dup2 just now and has no other owner in this process.
    Ok(unsafe { UnixStream::from_raw_fd(CHANNEL_FD) })
}

/// Empties the signal mask and resets dispositions, as an exec'd program has them: all default, `SIGPIPE` ignored, and
/// those that a crash raises with the runtime's own handler: Rust's for a stack overflow, CPython's `faulthandler`.
fn reset_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP | libc::SIGPIPE) || OF_A_CRASH.contains(&signal) {
            continue;
        }
        // SAFETY: SIG_DFL is a valid disposition for any signal; glibc refuses the two that it keeps for itself.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: sigset_t is plain data that sigemptyset fills; sigprocmask reads it; both pointers are to a live local or
    // null, and there is one thread.
    unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()))?;
    }
    Ok(())
}

/// Closes every descriptor from `first` on. Owners of any of them must have been forgotten.
fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: close_range takes three numbers; what it closes has no owner in Rust left in this process: the received ones
    // were turned into numbers by `become_host`, and a zygote owns nothing else above its socket. What an interpreter's
    // frameworks opened there before the fork (CPython itself keeps nothing) they find closed, with EBADF.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first as u32, u32::MAX, 0) };
    check(result as i32)
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for SIGKILL when the thread that made this process ends.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one number.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })
}

/// The zygote's socket, which the spawner left on [`CHANNEL_FD`]: as a number, because it is never closed, and in a
/// forked child that number is the channel.
#[derive(Debug)]
pub struct ZygoteSocket(RawFd);

impl ZygoteSocket {
    /// Finds it there, or fails with `EBADF`.
    pub fn inherited() -> io::Result<Self> {
        // SAFETY: F_SETFD takes two numbers; it fails on a closed descriptor.
        check(unsafe { libc::fcntl(CHANNEL_FD, libc::F_SETFD, libc::FD_CLOEXEC) })?;
        Ok(Self(CHANNEL_FD))
    }
}

impl AsRawFd for ZygoteSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl std::os::fd::AsFd for ZygoteSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor was found open by `inherited` and nothing in a zygote closes it; a forked child uses
        // this value no more.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0) }
    }
}
