//! What an operator can do about a wall that does not stand, by where the supervisor runs (C-16).
//!
//! Owns: the sentences. Never: changes the machine.

use openrtc_ipc::{Wall, WallState};

use super::surroundings::Surroundings;

/// What to do so that this wall stands, or stands by the kernel; `None` when it does, or is off by choice.
pub(super) fn of(wall: Wall, state: &WallState, here: Surroundings) -> Option<String> {
    let reason = match state {
        WallState::Kernel(_) => return None,
        WallState::Sampled(_) => "",
        WallState::Absent(reason) => reason.as_str(),
    };
    if reason.ends_with("turned off") {
        return None;
    }
    match wall {
        Wall::Memory | Wall::Pids | Wall::Cpu => Some(format!("for a wall by the kernel: {}", here.cgroup())),
        Wall::Uid if reason.starts_with("cannot traverse ") => {
            let path = reason.trim_start_matches("cannot traverse ");
            Some(format!("let every user pass: chmod o+x {path}, or move the program to where all may read"))
        }
        Wall::Uid if reason.starts_with("uid_range") => Some("choose a uid_range inside /proc/self/uid_map".into()),
        Wall::Uid if reason.starts_with("no uid") => Some("widen uid_range".into()),
        Wall::Uid if reason.starts_with("run_as") => Some("run_as = \"auto\" for a uid per tenant".into()),
        Wall::Uid => Some(here.setuid().into()),
        Wall::Landlock | Wall::Scope => {
            Some("Linux 6.12 or newer with landlock in the boot parameter lsm=, and not under gVisor".into())
        }
        Wall::Zygote => Some("`openrtc-supervisor snapshot` says how its zygote is, and what to do".into()),
        Wall::Network => Some("not offered yet: connect_ports limits TCP, UDP stays open".into()),
        Wall::Rlimits | Wall::Capabilities | Wall::NoNewPrivs | Wall::Dumpable | Wall::Seccomp | Wall::ParentDeath => {
            Some("every supported kernel has it: please report this machine".into())
        }
    }
}
