//! Capabilities: none in any set, for root too (decision W3).
//!
//! Owns: the five sets. Never: keeps one because it might be useful.

use openrtc_ipc::{SetupStep, Wall, WallReport, WallState};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use super::LockdownError;

/// The bits that a capability set can have.
const CAPABILITIES_MAX: u32 = 64;

/// Whether capabilities that exec could give are still in the bounding set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundingKept {
    /// It is empty.
    No,
    /// It needs CAP_SETPCAP, which we never had. Without effect under `no_new_privs`.
    Yes,
}

fn failed(detail: &str) -> impl FnOnce(Errno) -> LockdownError {
    move |errno| LockdownError::new(SetupStep::Capabilities, errno, detail)
}

fn drop_bounding_except(kept: CapabilitySet) -> Result<BoundingKept, LockdownError> {
    for bit in 0..CAPABILITIES_MAX {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(failed("read the bounding set")(errno)),
            Ok(false) => {}
            Ok(true) if kept.contains(capability) => {}
            Ok(true) => match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                Err(Errno::PERM) => return Ok(BoundingKept::Yes),
                Err(errno) => return Err(failed("empty the bounding set")(errno)),
            },
        }
    }
    Ok(BoundingKept::No)
}

/// Empties the bounding set. Before the uid changes, for that takes CAP_SETPCAP away.
pub(super) fn empty_bounding_set() -> Result<BoundingKept, LockdownError> {
    drop_bounding_except(CapabilitySet::empty())
}

/// Empties the other four sets.
pub(super) fn drop_all(bounding: BoundingKept) -> Result<WallReport, LockdownError> {
    clear_ambient_capability_set().map_err(failed("clear the ambient set"))?;
    set(CapabilitySet::empty())?;
    let state = WallState::Kernel(match bounding {
        BoundingKept::No => "none in any set".into(),
        BoundingKept::Yes => "none; bounding set kept (no CAP_SETPCAP), without effect under no_new_privs".into(),
    });
    Ok(WallReport { wall: Wall::Capabilities, state })
}

fn set(kept: CapabilitySet) -> Result<(), LockdownError> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(failed("capset"))
}

/// Keeps, of what this process has, only what a child needs to take another identity (decision P11).
pub(super) fn keep_identity_only() -> Result<(), LockdownError> {
    let wanted = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SETPCAP;
    let kept = capabilities(None).map_err(failed("capget"))?.permitted & wanted;
    drop_bounding_except(kept)?;
    clear_ambient_capability_set().map_err(failed("clear the ambient set"))?;
    set(kept)
}

/// Carries what [`keep_identity_only`] kept over an exec. Root's exec keeps it by itself; anybody else's only what is
/// ambient.
pub(super) fn keep_over_exec() -> Result<(), LockdownError> {
    let kept = capabilities(None).map_err(failed("capget"))?.permitted;
    if nix::unistd::getuid().is_root() || kept.is_empty() {
        return Ok(());
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    set_capabilities(None, sets).map_err(failed("capset"))?;
    for capability in kept.iter() {
        configure_capability_in_ambient_set(capability, true).map_err(failed("raise the ambient set"))?;
    }
    Ok(())
}
