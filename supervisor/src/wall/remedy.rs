//! What an operator can do about a wall that does not stand, by where the supervisor runs (C-16).
//!
//! Owns: the sentences. Never: changes the machine.

use std::path::Path;

use openrtc_ipc::{Wall, WallState};

/// Where the supervisor runs, as far as it decides the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surroundings {
    Kubernetes,
    Podman,
    Docker,
    SystemdService,
    Bare,
}

impl Surroundings {
    pub(super) fn detect() -> Self {
        let set = |variable| std::env::var_os(variable).is_some();
        if set("KUBERNETES_SERVICE_HOST") {
            Self::Kubernetes
        } else if Path::new("/run/.containerenv").exists() {
            Self::Podman
        } else if Path::new("/.dockerenv").exists() {
            Self::Docker
        } else if set("INVOCATION_ID") {
            Self::SystemdService
        } else {
            Self::Bare
        }
    }

    /// How to get a writable cgroup here.
    pub(super) fn cgroup(self) -> &'static str {
        match self {
            Self::Kubernetes => {
                "Kubernetes: containerd 2.1 or newer with cgroup_writable = true in the runtime class (CRI-O: its cgroup2 \
                 mount annotation); otherwise the container's own limit bounds the sum of all hosts"
            }
            Self::Podman => "Podman: run with --security-opt unmask=/sys/fs/cgroup",
            Self::Docker => {
                "Docker: Engine 28 or newer with --security-opt writable-cgroups=true (older: --privileged)"
            }
            Self::SystemdService => {
                "systemd: Delegate=yes in the unit's [Service] section (and DelegateSubgroup=supervisor from version 254)"
            }
            Self::Bare => {
                "start it as a systemd service with Delegate=yes, or by systemd-run --user --scope -p Delegate=yes; or as \
                 root; or name a cgroup that you own in [wall.cgroup] parent"
            }
        }
    }

    fn setuid(self) -> &'static str {
        match self {
            Self::Kubernetes => "add SETUID, SETGID and SETPCAP to securityContext.capabilities, or run as uid 0",
            Self::Podman | Self::Docker => "run the container as root with --cap-add SETUID,SETGID,SETPCAP",
            Self::SystemdService => "AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_SETPCAP, or no User=",
            Self::Bare => "run the supervisor as root; it drops everything for its hosts",
        }
    }
}

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
