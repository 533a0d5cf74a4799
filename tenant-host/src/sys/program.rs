//! Between fork and exec of an agent's program.
//!
//! Owns: the descriptors, the session and the signals that the program starts with. Never: allocates there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::sys::signals;

/// Descriptor on which a program writes its events.
pub const EVENTS_FD: RawFd = 3;
/// Descriptor on which it finds the recording, if there is one.
pub const INPUT_FD: RawFd = 4;
/// Where descriptors are put aside while 3 and 4 are filled.
const ASIDE_FD: RawFd = 10;

/// Arranges for the program: a session of its own, death with this host, default signals, `events` as descriptor 3,
/// `input` as descriptor 4, and nothing else open above standard error.
///
/// Descriptors 3 and 4 must be open in this process (to whatever, close-on-exec) until the program was spawned, so
/// that the standard library's own pipe does not lie there.
pub fn arrange(command: &mut Command, events: BorrowedFd<'_>, input: Option<BorrowedFd<'_>>) {
    let events = events.as_raw_fd();
    let input = input.map(|fd| fd.as_raw_fd());
    let host = std::process::id();
    let set_up = move || {
        signals::reset();
        nix::unistd::setsid()?;
        die_with(host)?;
        place(events, input)
    };
    // SAFETY: the closure runs in the child of a fork, where only async-signal-safe calls are allowed: it captures
    // plain numbers, and makes system calls only (`signal`, `sigprocmask`, `setsid`, `prctl`, `getppid`, `fcntl`,
    // `dup2`, `close_range`), without allocation, locks or panics.
    unsafe { command.pre_exec(set_up) };
}

/// Has the kernel kill this process when its parent dies; fails when it died before.
fn die_with(host: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if nix::unistd::getppid().as_raw() as u32 == host { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Puts the descriptors in their places and marks every other above standard error close-on-exec.
fn place(events: RawFd, input: Option<RawFd>) -> io::Result<()> {
    // SAFETY: none of these calls has memory requirements; a descriptor that is not open gives EBADF. The arguments of
    // `close_range` are two descriptor numbers and a flag, and it closes nothing now, so that the standard library's
    // pipe for a failed exec, which is above 4 (see `arrange`), still works.
    unsafe {
        let events = check(libc::fcntl(events, libc::F_DUPFD_CLOEXEC, ASIDE_FD))?;
        let input = input.map(|fd| check(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, ASIDE_FD))).transpose()?;
        check(libc::dup2(events, EVENTS_FD))?;
        let above = match input {
            Some(fd) => check(libc::dup2(fd, INPUT_FD))? + 1,
            None => EVENTS_FD + 1,
        };
        check(libc::syscall(libc::SYS_close_range, above, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) as i32)?;
    }
    Ok(())
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
