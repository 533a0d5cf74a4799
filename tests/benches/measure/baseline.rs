//! The bare alternatives: a fork, an exec, a death, without any wall or supervisor.
//!
//! Owns: the only unsafe of the benchmarks. Never: anything of the product.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

/// Forks, and in the child runs `child` on this descriptor and exits.
fn fork(fd: BorrowedFd<'_>, child: impl FnOnce(i32)) -> Pid {
    let fd = fd.as_raw_fd();
    // SAFETY: the child calls only `child`, which makes system calls that are safe after a fork, and `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            child(fd);
            // SAFETY: ends the process at once, without running anything else.
            unsafe { libc::_exit(0) }
        }
        pid => Pid::from_raw(pid).expect("fork"),
    }
}

/// Fork, one byte from the child, its exit and reaping: until the byte, and until it is reaped.
pub(crate) fn fork_and_byte() -> (Duration, Duration) {
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let start = Instant::now();
    let pid = fork(writer.as_fd(), |fd| {
        // SAFETY: one byte of a static, to a descriptor that the child holds.
        unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) };
    });
    rustix::io::read(&reader, &mut [0_u8; 1][..]).expect("a byte");
    let byte = start.elapsed();
    waitpid(Some(pid), WaitOptions::empty()).expect("reap");
    (byte, start.elapsed())
}

/// `std::process::Command` of a program that prints a line: until its first byte, and until it is reaped.
pub(crate) fn exec_and_byte(program: &Path, argument: &str) -> (Duration, Duration) {
    let start = Instant::now();
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("start the program");
    child.stdout.take().expect("its output").read_exact(&mut [0; 1]).expect("a byte");
    let byte = start.elapsed();
    child.wait().expect("reap");
    (byte, start.elapsed())
}

/// From SIGKILL of a bare child until its pidfd tells.
pub(crate) fn death_seen_on_pidfd() -> Duration {
    let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
    let pid = fork(reader.as_fd(), |_| {
        // SAFETY: waits for a signal, which is the one that kills it.
        unsafe { libc::pause() };
    });
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd");
    let (ours, theirs) = rustix::pipe::pipe().expect("pipe");
    let killer = std::thread::spawn(move || {
        rustix::io::read(&ours, &mut [0_u8; 1][..]).expect("a byte");
        let killed = Instant::now();
        pidfd_send_signal(&pidfd, Signal::KILL).expect("kill");
        (killed, pidfd)
    });
    let watched = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd");
    rustix::io::write(&theirs, b"x").expect("write");
    poll(&mut [PollFd::new(&watched, PollFlags::IN)], None).expect("poll");
    let seen = Instant::now();
    let (killed, _pidfd) = killer.join().expect("killer");
    waitpid(Some(pid), WaitOptions::empty()).expect("reap");
    seen - killed
}
