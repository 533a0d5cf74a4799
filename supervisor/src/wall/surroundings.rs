//! Where the supervisor runs, as far as it decides a remedy (C-16).
//!
//! Owns: the evidence for each place, and what an operator does there. Never: changes the machine.

use std::path::Path;

/// Where the supervisor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// A pod.
    Kubernetes,
    /// A container of Podman's.
    Podman,
    /// A container of Docker's.
    Docker,
    /// A unit of the system's manager.
    SystemdService,
    /// A unit of a user's manager.
    SystemdUser,
    /// None of these.
    Bare,
}

impl Surroundings {
    /// This process's own.
    pub fn detect() -> Self {
        Self::found(Path::new("/"), &|name| std::env::var(name).ok()).0
    }

    /// The same, and what it was told by.
    pub fn detect_with_evidence() -> (Self, String) {
        Self::found(Path::new("/"), &|name| std::env::var(name).ok())
    }

    /// By the files below `root` and by these variables: the innermost place wins, and a pod is one of containers.
    fn found(root: &Path, variable: &dyn Fn(&str) -> Option<String>) -> (Self, String) {
        let cgroup = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let there = |path: &str| root.join(path).exists().then(|| format!("/{path}"));
        let set = |name: &str| variable(name).map(|_| format!("${name}"));
        let container =
            |value: &str| variable("container").filter(|it| it == value).map(|it| format!("$container is {it}"));
        let in_cgroup = |part: &str| cgroup.contains(part).then(|| format!("/proc/self/cgroup names {part}"));
        let kubernetes = set("KUBERNETES_SERVICE_HOST")
            .or_else(|| there("var/run/secrets/kubernetes.io"))
            .or_else(|| in_cgroup("kubepods"));
        let podman = || there("run/.containerenv").or_else(|| container("podman")).or_else(|| in_cgroup("libpod"));
        let docker = || there(".dockerenv").or_else(|| in_cgroup("/docker"));
        if let Some(evidence) = kubernetes {
            (Self::Kubernetes, evidence)
        } else if let Some(evidence) = podman() {
            (Self::Podman, evidence)
        } else if let Some(evidence) = docker() {
            (Self::Docker, evidence)
        } else {
            unit(&cgroup).filter(|_| variable("INVOCATION_ID").is_some()).unwrap_or((Self::Bare, String::new()))
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "Kubernetes",
            Self::Podman => "Podman",
            Self::Docker => "Docker",
            Self::SystemdService => "systemd unit",
            Self::SystemdUser => "systemd user unit",
            Self::Bare => "bare metal, or a shell",
        }
    }

    /// How to get a writable cgroup here.
    pub fn cgroup(self) -> &'static str {
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
            Self::SystemdUser => {
                "systemd: `systemctl --user edit` the unit and write Delegate=yes into its [Service] section"
            }
            Self::Bare => {
                "start it as a systemd service with Delegate=yes, or by systemd-run --user --scope -p Delegate=yes; or as \
                 root; or name a cgroup that you own in [wall.cgroup] parent"
            }
        }
    }

    /// How to become able to give each tenant a uid.
    pub fn setuid(self) -> &'static str {
        match self {
            Self::Kubernetes => "add SETUID, SETGID and SETPCAP to securityContext.capabilities, or run as uid 0",
            Self::Podman | Self::Docker => "run the container as root with --cap-add SETUID,SETGID,SETPCAP",
            Self::SystemdService => "AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_SETPCAP, or no User=",
            Self::SystemdUser => "make it a unit of the system: a user's manager may give it no other uid",
            Self::Bare => "run the supervisor as root; it drops everything for its hosts",
        }
    }

    /// How to open more files.
    pub fn open_files(self, wanted: u64) -> String {
        match self {
            Self::Kubernetes => format!("raise the container runtime's own limit (LimitNOFILE={wanted} of containerd)"),
            Self::Podman | Self::Docker => format!("run with --ulimit nofile={wanted}"),
            Self::SystemdService | Self::SystemdUser => format!("LimitNOFILE={wanted} in the unit's [Service] section"),
            Self::Bare => format!("`ulimit -n {wanted}` before the start, or /etc/security/limits.conf"),
        }
    }

    /// How to get more room for the state directory.
    pub fn space(self) -> &'static str {
        match self {
            Self::Kubernetes => {
                "give the volume of the state directory more room (ephemeral-storage, or a volume claim)"
            }
            Self::Podman | Self::Docker => "mount a volume with more room there (-v)",
            Self::SystemdService | Self::SystemdUser | Self::Bare => {
                "free some room, or set [supervisor] state_dir to another file system"
            }
        }
    }

    /// Whose kernel it is.
    pub fn kernel(self) -> &'static str {
        match self {
            Self::Kubernetes => "update the node's kernel: a pod has none of its own",
            Self::Podman | Self::Docker => "update the machine's kernel: a container has none of its own",
            Self::SystemdService | Self::SystemdUser | Self::Bare => "update the kernel",
        }
    }
}

/// The service whose cgroup this is, if no scope lies between.
fn unit(cgroup: &str) -> Option<(Surroundings, String)> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().rposition(|part| part.ends_with(".service"))?;
    let (name, below) = (parts[at], &parts[at + 1..]);
    if name.starts_with("user@") || below.iter().any(|part| part.ends_with(".scope")) {
        return None;
    }
    let users = parts[..at].iter().any(|part| part.starts_with("user@"));
    Some((if users { Surroundings::SystemdUser } else { Surroundings::SystemdService }, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is found below a root with these files, under these variables.
    fn found(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (Surroundings, String) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Surroundings::found(root.path(), &variable)
    }

    const CGROUP: &str = "proc/self/cgroup";
    const INVOKED: &[(&str, &str)] = &[("INVOCATION_ID", "0123")];

    #[test]
    fn each_place_is_told_by_its_own_evidence() {
        use Surroundings::{Bare, Docker, Kubernetes, Podman, SystemdService, SystemdUser};
        let user = "0::/user.slice/user-1000.slice/user@1000.service";
        type Named<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(Named<'_>, Named<'_>, Surroundings, &str)] = &[
            (&[], &[], Bare, ""),
            (&[(".dockerenv", "")], &[], Docker, "/.dockerenv"),
            (&[(CGROUP, "3:pids:/docker/abc\n")], &[], Docker, "/proc/self/cgroup names /docker"),
            (&[("run/.containerenv", "")], &[], Podman, "/run/.containerenv"),
            (&[], &[("container", "podman")], Podman, "$container is podman"),
            (&[(CGROUP, "0::/machine.slice/libpod-abc.scope\n")], &[], Podman, "/proc/self/cgroup names libpod"),
            (&[], &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], Kubernetes, "$KUBERNETES_SERVICE_HOST"),
            // A pod is one of containers.
            (&[(".dockerenv", ""), (CGROUP, "0::/kubepods/x\n")], &[], Kubernetes, "/proc/self/cgroup names kubepods"),
            (&[(CGROUP, "0::/system.slice/openrtc.service\n")], INVOKED, SystemdService, "openrtc.service"),
            (&[(CGROUP, "0::/system.slice/openrtc.service/supervisor\n")], INVOKED, SystemdService, "openrtc.service"),
            (&[(CGROUP, &format!("{user}/app.slice/rtc.service\n"))], INVOKED, SystemdUser, "rtc.service"),
            // A shell in a terminal has the variable of what started the terminal.
            (&[(CGROUP, &format!("{user}/app.slice/vte-spawn-1.scope\n"))], INVOKED, Bare, ""),
            (&[(CGROUP, "0::/user.slice/user-0.slice/session-2.scope\n")], INVOKED, Bare, ""),
            (&[(CGROUP, "0::/system.slice/ssh.service\n")], &[], Bare, ""),
        ];
        for (files, variables, place, evidence) in cases {
            assert_eq!(found(files, variables), (*place, (*evidence).to_owned()), "{files:?} {variables:?}");
        }
    }

    #[test]
    fn each_place_has_remedies_in_its_own_words() {
        for (place, cgroup, files, setuid) in [
            (Surroundings::Kubernetes, "runtime class", "containerd", "securityContext"),
            (Surroundings::Podman, "unmask=/sys/fs/cgroup", "--ulimit nofile=9", "--cap-add"),
            (Surroundings::Docker, "writable-cgroups=true", "--ulimit nofile=9", "--cap-add"),
            (Surroundings::SystemdService, "Delegate=yes", "LimitNOFILE=9", "AmbientCapabilities="),
            (Surroundings::SystemdUser, "systemctl --user", "LimitNOFILE=9", "unit of the system"),
            (Surroundings::Bare, "systemd-run", "ulimit -n 9", "as root"),
        ] {
            assert!(place.cgroup().contains(cgroup), "{place:?}");
            assert!(place.open_files(9).contains(files), "{place:?}");
            assert!(place.setuid().contains(setuid), "{place:?}");
        }
    }
}
