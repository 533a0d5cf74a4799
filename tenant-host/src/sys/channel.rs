//! Taking over the channel descriptor that the parent process left open.
//!
//! Owns: the check that it is a socket. Never: takes a descriptor twice.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};

static ADOPTED: AtomicBool = AtomicBool::new(false);

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The descriptor is not open.
    #[error("find the channel on descriptor {fd}")]
    Closed {
        /// Which.
        fd: RawFd,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is open, and no socket.
    #[error("use descriptor {fd} as the channel: it is no socket")]
    NotASocket {
        /// Which.
        fd: RawFd,
    },
    /// It was taken over before.
    #[error("take over the channel a second time")]
    Taken,
}

/// Takes over an inherited socket and marks it close-on-exec. Works once in a process.
pub fn adopt(fd: RawFd) -> Result<UnixStream, AdoptError> {
    if ADOPTED.swap(true, Ordering::SeqCst) {
        return Err(AdoptError::Taken);
    }
    let closed = |errno: Errno| AdoptError::Closed { fd, source: errno.into() };
    if fd < 0 {
        return Err(closed(Errno::EBADF));
    }
    // SAFETY: `borrow_raw` requires a descriptor that is not -1, answered above, and that is open while it is borrowed.
    // It is borrowed for `fstat` alone, which answers EBADF for one that is not open and touches nothing.
    let status = fstat(unsafe { BorrowedFd::borrow_raw(fd) }).map_err(closed)?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(AdoptError::NotASocket { fd });
    }
    // SAFETY: `from_raw_fd` requires an open descriptor that nothing else owns: `fstat` showed it open, no code of this
    // process opened it (sockets of ours come from owned constructors), and `ADOPTED` lets nobody adopt it again.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(closed)?;
    Ok(UnixStream::from(owned))
}

/// Leaves a descriptor open over an exec, for the program that comes next. `EBADF` when it is not open.
pub fn leave_open(fd: RawFd) -> nix::Result<()> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: `borrow_raw` requires a descriptor that is not -1, answered above, and that is open while it is borrowed.
    // It is borrowed for one `fcntl`, which answers EBADF for one that is not open and only changes its flag.
    fcntl(unsafe { BorrowedFd::borrow_raw(fd) }, FcntlArg::F_SETFD(FdFlag::empty())).map(|_| ())
}
