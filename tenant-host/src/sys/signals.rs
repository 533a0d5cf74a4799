//! Signals that this process takes as events, and dispositions that a program must not inherit.
//!
//! Owns: both. Never: installs a handler. The event loop's own signal support would, and holds three sockets and a
//! channel for each of the 64 signals: 30 kB more for every idle host.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Highest signal number on Linux.
const SIGNAL_MAX: i32 = 64;

/// Gives every signal its default action and unblocks all, as a program expects to find them. Safe between fork and
/// exec: it makes system calls only.
pub fn reset() {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: `signal` has no memory requirements; for numbers that cannot be changed it answers EINVAL, which is
        // what we want. The default action is no handler, so no code of ours can run in a signal because of it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// One signal, taken as it comes.
#[derive(Debug)]
pub struct Arrivals(AsyncFd<SignalFd>);

/// Blocks a signal for this thread and takes it as events from now on. Other threads must not exist, or have it blocked
/// too. Needs a runtime.
pub fn arrivals(signal: Signal) -> io::Result<Arrivals> {
    let mut set = SigSet::empty();
    set.add(signal);
    set.thread_block()?;
    let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // SAFETY: `register_with_interest` requires a descriptor that stays open, and the same, as long as it is
    // registered. `AsyncFd` owns this one, nothing else knows its number, and a `SignalFd` never changes it.
    Ok(Arrivals(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?))
}

impl Arrivals {
    /// Waits for the signal. Several that came together are one. Nothing is lost when the future is dropped.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.get_inner().read_signal() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
