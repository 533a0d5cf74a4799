//! Who is at the other end of a Unix socket.
//!
//! Owns: `SO_PEERGROUPS`, which no library wraps. Never: trusts a word that came over it.

use std::os::fd::{AsFd, AsRawFd};

/// More groups than a user has; of more, those that do not fit do not count.
const GROUPS_MAX: usize = 1024;

/// The supplementary groups of who connected; none where the system does not tell.
pub fn groups(socket: &impl AsFd) -> Vec<u32> {
    let mut groups = vec![0_u32; GROUPS_MAX];
    let mut length = (GROUPS_MAX * size_of::<u32>()) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a buffer of as many, and says how many there were.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    groups.truncate(if result == 0 { length as usize / size_of::<u32>() } else { 0 });
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_groups_are_told() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut told = groups(&ours);
        let mut own: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(|gid| gid.as_raw()).collect();
        told.sort_unstable();
        own.sort_unstable();
        assert_eq!(told, own);
    }
}
