//! Landlock: files and TCP ports by grant, no signal and no abstract socket out of the host.
//!
//! Owns: the translation of grants into rules. Never: demands more than the kernel has; it reports what it got.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use openrtc_ipc::{FileAccess, FileGrant, SetupStep, Wall, WallReport, WallState};

use super::LockdownError;

/// The newest set of rights that is asked for and tested (7 adds nothing but logging to 6).
const NEWEST: ABI = ABI::V7;
/// First with scopes (Linux 6.12).
const SCOPES_SINCE: ABI = ABI::V6;
/// First with TCP rules (Linux 6.7).
const TCP_SINCE: ABI = ABI::V4;

fn rights(access: FileAccess) -> BitFlags<AccessFs> {
    match access {
        FileAccess::List => AccessFs::ReadDir.into(),
        FileAccess::Read => AccessFs::from_read(NEWEST),
        FileAccess::Write => {
            AccessFs::from_all(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
        }
        FileAccess::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
    }
}

fn enforce(grants: &[FileGrant], connect_ports: Option<&[u16]>) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(NEWEST))?;
    if connect_ports.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut rules = ruleset.scope(Scope::from_all(NEWEST))?.create()?;
    for grant in grants {
        // A path that is missing or out of this user's reach is passed over: it could not be used anyway.
        rules = rules.add_rules(path_beneath_rules([&grant.path], rights(grant.access)))?;
    }
    for port in connect_ports.unwrap_or_default() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()
}

fn states(status: &RestrictionStatus, connect_ports: Option<&[u16]>) -> [WallState; 2] {
    let abi = match status.landlock {
        LandlockStatus::NotEnabled => return absent("Landlock is built in but not enabled (boot with lsm=landlock,…)"),
        LandlockStatus::NotImplemented => return absent("the kernel has no Landlock (Linux 5.13 or newer)"),
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return absent("Landlock took no rule");
    }
    let number = abi as i32;
    let ports = match connect_ports {
        None => "",
        Some(_) if abi >= TCP_SINCE => ", TCP ports",
        Some(_) => "; connect_ports not enforced, needs Linux 6.7",
    };
    let scope = if abi >= SCOPES_SINCE {
        WallState::Kernel(format!("landlock abi {number}: signals, abstract sockets"))
    } else {
        WallState::Absent(format!("landlock abi {number} has no scopes (Linux 6.12 or newer)"))
    };
    [WallState::Kernel(format!("landlock abi {number}: files{ports}")), scope]
}

fn absent(reason: &str) -> [WallState; 2] {
    [WallState::Absent(reason.into()), WallState::Absent(reason.into())]
}

/// Confines this thread and all it will start; gives the walls Landlock and Scope.
pub(super) fn restrict(grants: &[FileGrant], connect_ports: Option<&[u16]>) -> Result<[WallReport; 2], LockdownError> {
    let status = enforce(grants, connect_ports)
        .map_err(|error| LockdownError::new(SetupStep::Landlock, std::io::Error::last_os_error(), error.to_string()))?;
    let [landlock, scope] = states(&status, connect_ports);
    Ok([WallReport { wall: Wall::Landlock, state: landlock }, WallReport { wall: Wall::Scope, state: scope }])
}
