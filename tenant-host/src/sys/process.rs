//! A child process as something to wait for.
//!
//! Owns: the pidfd and its place in the event loop. Never: reaps.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that becomes readable when the child, which was not reaped yet, has ended. Needs a runtime.
pub fn watch(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    // SAFETY: `register_with_interest` requires a descriptor that stays open, and the same, as long as it is
    // registered. `AsyncFd` owns this one, nothing else knows its number, and an `OwnedFd` never changes it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}
