//! Becoming the tenant's own user, and entering its directory.
//!
//! Owns: uid, gid, groups, working directory. Never: chooses an identity; the supervisor does.

use std::path::Path;

use nix::unistd::{Gid, Uid, chdir, geteuid, setgroups, setresgid, setresuid};
use openrtc_ipc::{Identity, SetupStep, Wall, WallReport, WallState};

use super::LockdownError;

/// Takes the identity for good: real, effective and saved; no supplementary groups.
pub(super) fn take(identity: Option<Identity>) -> Result<WallReport, LockdownError> {
    let Some(Identity { uid, gid }) = identity else {
        let state = WallState::Absent(format!("uid {}, as the supervisor", geteuid()));
        return Ok(WallReport { wall: Wall::Uid, state });
    };
    let failed = |call: &str, errno| LockdownError::new(SetupStep::Identity, errno, format!("{call} for uid {uid}"));
    let (new_uid, new_gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[]).map_err(|errno| failed("setgroups([])", errno))?;
    setresgid(new_gid, new_gid, new_gid).map_err(|errno| failed("setresgid", errno))?;
    setresuid(new_uid, new_uid, new_uid).map_err(|errno| failed("setresuid", errno))?;
    Ok(WallReport { wall: Wall::Uid, state: WallState::Kernel(format!("uid {uid}")) })
}

/// Goes to the host's own directory, with the rights of its own user.
pub(super) fn enter(work_dir: &Path) -> Result<(), LockdownError> {
    chdir(work_dir)
        .map_err(|errno| LockdownError::new(SetupStep::WorkDir, errno, format!("chdir to {}", work_dir.display())))
}
