//! Not to outlive the supervisor, nor to leave orphans to it.
//!
//! Owns: the death signal with its check, and being the reaper of one's descendants. Never: set before the uid change,
//! which clears it (C-8).

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use openrtc_ipc::{SetupStep, Wall, WallReport, WallState};

use super::LockdownError;

/// Dies with the thread that made this process, and refuses to go on if that is gone already.
pub(super) fn bind(parent_pid: u32) -> Result<WallReport, LockdownError> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| LockdownError::new(SetupStep::ParentDeath, errno, "prctl(PR_SET_PDEATHSIG)"))?;
    let parent = getppid();
    if u32::try_from(parent.as_raw()) != Ok(parent_pid) {
        return Err(LockdownError {
            step: SetupStep::ParentDeath,
            errno: 0,
            detail: format!("parent is {parent}, not {parent_pid}: the supervisor is gone"),
        });
    }
    let state = WallState::Kernel("SIGKILL at the supervisor's death; its own children by their own walls".into());
    Ok(WallReport { wall: Wall::ParentDeath, state })
}

/// Orphans of descendants become this process's children, so that they stay in its tree.
pub(super) fn adopt_orphans() -> Result<(), LockdownError> {
    prctl::set_child_subreaper(true)
        .map_err(|errno| LockdownError::new(SetupStep::ParentDeath, errno, "prctl(PR_SET_CHILD_SUBREAPER)"))
}
