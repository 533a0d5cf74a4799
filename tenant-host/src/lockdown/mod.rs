//! The walls that only oneself can raise, in the order of decision W4.
//!
//! Owns: the sequence, and what is reported of it. Never: runs tenant code, or goes on after a step that failed.
//!
//! ```text
//! one thread → cgroup → bounding set → uid and gid → capabilities → working directory → death signal + parent → no_new_privs
//!            → not dumpable, subreaper → Landlock → system call filter
//! ```

pub mod capabilities;
pub mod cgroup;
pub mod identity;
pub mod landlock;
pub mod parent_death;
pub mod privileges;
pub mod seccomp;

use std::os::fd::OwnedFd;

use openrtc_ipc::{Lockdown, SetupStep, WallReport};

/// What the process already has from its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherited {
    /// Nothing: it was exec'd by the supervisor.
    Nothing,
    /// `no_new_privs` and the inherited part of the filter: it was forked by a zygote that called [`preset_zygote`].
    Zygote,
}

/// The step that failed. The host must report it and exit.
#[derive(Debug, thiserror::Error)]
#[error("raise a wall from inside at step {step:?}: {detail} (errno {errno})")]
pub struct LockdownError {
    /// Which.
    pub step: SetupStep,
    /// The system's error number, or 0.
    pub errno: i32,
    /// What was being done.
    pub detail: String,
}

impl LockdownError {
    fn new(step: SetupStep, errno: impl Into<std::io::Error>, detail: impl Into<String>) -> Self {
        Self { step, errno: errno.into().raw_os_error().unwrap_or(0), detail: detail.into() }
    }
}

/// Raises every wall that only this process can raise, and says how each stands. `cgroups` are the files that came with the
/// welcome (`cgroup.rs`), and are closed here.
///
/// Must be called by the only thread: capabilities, `no_new_privs`, Landlock and the filter are properties of a thread.
/// A kernel without Landlock is no error: that wall is reported absent, and the supervisor decides.
pub fn apply(
    lockdown: &Lockdown,
    cgroups: Vec<OwnedFd>,
    inherited: Inherited,
) -> Result<Vec<WallReport>, LockdownError> {
    privileges::assert_one_thread()?;
    cgroup::enter(cgroups)?;
    let bounding_kept = capabilities::empty_bounding_set()?;
    let uid = identity::take(lockdown.identity)?;
    let capabilities = capabilities::drop_all(bounding_kept)?;
    identity::enter(&lockdown.work_dir)?;
    let parent_death = parent_death::bind(lockdown.parent_pid)?;
    let no_new_privs = privileges::no_new_privs()?;
    let dumpable = privileges::not_dumpable()?;
    parent_death::adopt_orphans()?;
    let [landlock, scope] = landlock::restrict(&lockdown.grants, lockdown.connect_ports.as_deref())?;
    let seccomp = seccomp::restrict(inherited, lockdown.unix_sockets)?;
    Ok(vec![uid, capabilities, no_new_privs, dumpable, landlock, scope, seccomp, parent_death])
}

/// What a zygote does to itself before it says that it is ready (decisions W2, W4, P11): no core dumps, `no_new_privs`,
/// the inherited part of the filter, and of its capabilities only those that give a child its own uid.
///
/// Those are kept only where the zygote holds them; an unprivileged one keeps nothing. Its children must pass
/// [`Inherited::Zygote`] to [`apply`].
pub fn preset_zygote() -> Result<(), LockdownError> {
    privileges::assert_one_thread()?;
    privileges::no_core()?;
    capabilities::keep_identity_only()?;
    privileges::no_new_privs()?;
    seccomp::preset()
}

/// Whether [`preset_zygote`] was called in this process, or before it was exec'd.
pub fn is_preset() -> bool {
    privileges::has_no_new_privs() && seccomp::is_preset()
}

/// What a zygote does last before it becomes an interpreter: the capabilities that [`preset_zygote`] left it are left to
/// the interpreter too, and by it to the hosts, which drop them.
pub fn keep_identity_over_exec() -> Result<(), LockdownError> {
    capabilities::keep_over_exec()
}
