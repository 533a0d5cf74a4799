//! Which walls a host would have here, before there is one: for the start-up report and `doctor`.
//!
//! Owns: the prospect. Never: stands for an attestation; a host's own walls are read back when they are up.

use openrtc_ipc::{DataMax, Evidence, RunAs, Wall, WallSpec, WallState, WallStatus};

use super::machine::Machine;
use super::remedy;
use super::surroundings::Surroundings;

/// First Landlock ABI with scopes.
const SCOPES_SINCE: u32 = 6;

/// Every wall but the zygote, in order, each with what to do if it does not stand by the kernel.
pub(super) fn of(machine: &Machine, spec: &WallSpec) -> Vec<(WallStatus, Option<String>)> {
    let here = Surroundings::detect();
    let controllers = machine.place.controllers();
    let uid = uid(machine, spec);
    let own_uid = match (&uid, spec.run_as) {
        (WallState::Kernel(_), RunAs::Fixed { uid, .. }) => Some(uid),
        (WallState::Kernel(_), _) => Some(machine.identities.first_uid()),
        _ => None,
    };
    let fixed = |text: &str| WallState::Kernel(text.to_owned());
    let [landlock, scope] = landlock(machine.landlock_abi);
    let walls = [
        (Wall::Memory, machine.memory(controllers, spec), Evidence::Observed),
        (Wall::Cpu, machine.cpu(controllers, spec), Evidence::Observed),
        (Wall::Pids, machine.pids(controllers, spec, own_uid), Evidence::Observed),
        (Wall::Rlimits, fixed(&rlimits(spec)), Evidence::Observed),
        (Wall::Uid, uid, Evidence::Observed),
        (Wall::Capabilities, fixed("none in any set"), Evidence::Observed),
        (Wall::NoNewPrivs, fixed("no_new_privs"), Evidence::Observed),
        (Wall::Dumpable, fixed("PR_SET_DUMPABLE 0"), Evidence::Reported),
        (Wall::Landlock, landlock, Evidence::Reported),
        (Wall::Scope, scope, Evidence::Reported),
        (Wall::Seccomp, fixed("deny filter, two parts"), Evidence::Observed),
        (Wall::ParentDeath, fixed("SIGKILL at the supervisor's death"), Evidence::Reported),
        (Wall::Network, WallState::Absent("hosts share the machine's network".into()), Evidence::Observed),
    ];
    walls
        .into_iter()
        .map(|(wall, state, evidence)| {
            let remedy = remedy::of(wall, &state, here);
            (WallStatus { wall, state, evidence }, remedy)
        })
        .collect()
}

fn uid(machine: &Machine, spec: &WallSpec) -> WallState {
    match (spec.run_as, machine.identities.refused()) {
        (RunAs::Auto, None) => WallState::Kernel("a uid per tenant, where it can reach the program".into()),
        (RunAs::Fixed { uid, .. }, None) if uid != machine.identities.own_uid() => {
            WallState::Kernel(format!("uid {uid}"))
        }
        _ => WallState::Absent(machine.identities.why_not(spec, std::iter::empty())),
    }
}

fn landlock(abi: u32) -> [WallState; 2] {
    if abi == 0 {
        let absent = || WallState::Absent("the kernel has no Landlock, or it is not enabled".into());
        return [absent(), absent()];
    }
    let scope = if abi >= SCOPES_SINCE {
        WallState::Kernel(format!("landlock abi {abi}: signals, abstract sockets"))
    } else {
        WallState::Absent(format!("landlock abi {abi} has no scopes (Linux 6.12 or newer)"))
    };
    [WallState::Kernel(format!("landlock abi {abi}: files")), scope]
}

/// The limits that do not depend on the process, as they will be read back.
fn rlimits(spec: &WallSpec) -> String {
    let files = spec.open_files_max.map_or_else(|| "NOFILE off".to_owned(), |max| format!("NOFILE {max}"));
    let core = if spec.core_dump { "CORE allowed" } else { "CORE 0" };
    let data = match spec.data_max {
        DataMax::Auto => "DATA twice the memory wall".to_owned(),
        DataMax::Off => "DATA off".to_owned(),
        DataMax::Bytes(bytes) => format!("DATA {bytes}"),
    };
    format!("{files}, {core}, {data}")
}
