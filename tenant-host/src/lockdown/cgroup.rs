//! Entering the cgroups that the supervisor has made for this host, where the kernel lets oneself do it sooner.
//!
//! Owns: writing oneself into the files that came with the welcome, and closing them. Never: keeps one: whoever holds it
//! can put any process of the machine into the host's group.
//!
//! On v1 a thread that moves itself, and itself alone, is moved at once. One that is moved by another, or with its whole
//! process, waits for a grace period of the kernel (3 to 17 ms).

use std::os::fd::OwnedFd;

use openrtc_ipc::SetupStep;

use super::LockdownError;

/// Myself, in a file `tasks`.
const MYSELF: &[u8] = b"0";

/// Moves this process, which must have one thread, into each group, and closes the files. That it came there is read back
/// by the supervisor.
pub(super) fn enter(tasks: Vec<OwnedFd>) -> Result<(), LockdownError> {
    for file in tasks {
        rustix::io::write(&file, MYSELF)
            .map_err(|errno| LockdownError::new(SetupStep::Cgroup, errno, "write 0 to a cgroup's tasks"))?;
    }
    Ok(())
}
