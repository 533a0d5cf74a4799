//! Descriptors that a program was started with.
//!
//! Owns: taking them over, each once. Never: touches one that the program opened itself, if called before it opens any.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Which of the first 64 descriptors were taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes over a descriptor with this number, from 3 to 63, that the program inherited.
///
/// To be called first thing in `main`, before anything else could have been given that number.
///
/// # Errors
/// `InvalidInput` outside the range, `AlreadyExists` the second time, and `EBADF` if there is none.
pub fn take(fd: RawFd) -> io::Result<OwnedFd> {
    if !(3..64).contains(&fd) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: F_GETFD reads a flag of the descriptor table and has no memory arguments; a bad number gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let bit = 1 << fd;
    if TAKEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: from_raw_fd requires an open descriptor that nothing else owns: it is open (just asked), it was taken by
    // nobody before (the bit), and the caller has opened nothing yet that could own it (this function's contract).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_outside_the_range_or_not_open_is_an_error() {
        assert_eq!(take(2).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(take(64).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(take(63).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
