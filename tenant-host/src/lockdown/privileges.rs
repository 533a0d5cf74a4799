//! What can never be got back: privileges through exec, core dumps, being traced by equals.
//!
//! Owns: `no_new_privs`, `PR_SET_DUMPABLE`, core dumps, and the check for a single thread. Never: touches ids.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use openrtc_ipc::{SetupStep, Wall, WallReport, WallState};

use super::LockdownError;

/// Refuses to go on with more than one thread.
pub(super) fn assert_one_thread() -> Result<(), LockdownError> {
    let names = crate::threads::names()
        .map_err(|error| LockdownError::new(SetupStep::NoNewPrivs, error, "count threads in /proc/self/task"))?;
    if names.len() == 1 {
        return Ok(());
    }
    let threads = names.len();
    let others = names.get(1..).unwrap_or_default().join(", ");
    Err(LockdownError {
        step: SetupStep::NoNewPrivs,
        errno: 0,
        detail: format!("{threads} threads, where walls must be raised by the only one; beside it: {others}"),
    })
}

/// Takes from exec its power to give privileges.
pub(super) fn no_new_privs() -> Result<WallReport, LockdownError> {
    prctl::set_no_new_privs()
        .map_err(|errno| LockdownError::new(SetupStep::NoNewPrivs, errno, "prctl(PR_SET_NO_NEW_PRIVS)"))?;
    Ok(WallReport { wall: Wall::NoNewPrivs, state: WallState::Kernel("no_new_privs".into()) })
}

/// Whether exec has lost that power already.
pub(super) fn has_no_new_privs() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// Makes the process untraceable for equals and its `/proc` files root's.
pub(super) fn not_dumpable() -> Result<WallReport, LockdownError> {
    prctl::set_dumpable(false)
        .map_err(|errno| LockdownError::new(SetupStep::Dumpable, errno, "prctl(PR_SET_DUMPABLE, 0)"))?;
    let state = WallState::Kernel("PR_SET_DUMPABLE 0, until an exec; then Landlock keeps equals out".into());
    Ok(WallReport { wall: Wall::Dumpable, state })
}

/// Forbids core dumps, for this process and all it forks.
pub(super) fn no_core() -> Result<(), LockdownError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| LockdownError::new(SetupStep::Rlimits, errno, "setrlimit(RLIMIT_CORE, 0)"))
}
