//! Which cgroup hierarchies are mounted, and which directory of each is our own.
//!
//! Owns: reading `/proc/self/mountinfo` and `/proc/self/cgroup`. Never: writes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers that we use of v1.
const V1_CONTROLLERS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// Which cgroup of it stands at the mount point: not `/` in a container without a cgroup namespace.
    root: PathBuf,
    at: PathBuf,
}

/// Directories to make groups in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    mount_v2: Option<PathBuf>,
    mounts_v1: BTreeMap<&'static str, PathBuf>,
    /// v2's.
    pub(super) v2: Option<PathBuf>,
    /// v1's, by controller.
    pub(super) v1: BTreeMap<&'static str, PathBuf>,
}

impl Hierarchies {
    /// Our own cgroup in each.
    pub(super) fn of_this_process() -> io::Result<Self> {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
        let cgroup = std::fs::read_to_string("/proc/self/cgroup")?;
        Ok(Self::parse(&mountinfo, &cgroup))
    }

    fn parse(mountinfo: &str, cgroup: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, kind, options)) = parse_mount(line) else { continue };
            match kind {
                "cgroup2" => {
                    found.v2 = own_directory(&mount, own_path(cgroup, |controllers| controllers.is_empty()));
                    found.mount_v2 = Some(mount.at);
                }
                "cgroup" => {
                    for controller in V1_CONTROLLERS {
                        if !options.split(',').any(|option| option == controller) {
                            continue;
                        }
                        let own = own_path(cgroup, |listed| listed.split(',').any(|one| one == controller));
                        if let Some(directory) = own_directory(&mount, own) {
                            found.v1.insert(controller, directory);
                        }
                        found.mounts_v1.insert(controller, mount.at.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The same, under a named cgroup instead of our own.
    pub(super) fn under(mut self, parent: Option<&Path>) -> Self {
        let Some(parent) = parent else { return self };
        let below = |mount: &PathBuf| match parent.strip_prefix(mount) {
            Ok(rest) => mount.join(rest),
            Err(_) => mount.join(parent.strip_prefix("/").unwrap_or(parent)),
        };
        self.v2 = self.mount_v2.as_ref().map(below);
        self.v1 = self.mounts_v1.iter().map(|(controller, mount)| (*controller, below(mount))).collect();
        self
    }
}

/// Mount, type and the super block's options of one line of mountinfo.
fn parse_mount(line: &str) -> Option<(Mount, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let mount = Mount { root: unescape(left.next()?), at: unescape(left.next()?) };
    let mut right = right.split(' ');
    let kind = right.next()?;
    Some((mount, kind, right.nth(1)?))
}

/// mountinfo writes white space and backslashes in octal.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

/// Our path in the hierarchy with such controllers.
fn own_path(cgroup: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let path = parts.next()?;
        wanted(controllers).then_some(path)
    })
}

fn own_directory(mount: &Mount, own: Option<&str>) -> Option<PathBuf> {
    let below = Path::new(own?).strip_prefix(&mount.root).ok()?;
    Some(if below.as_os_str().is_empty() { mount.at.clone() } else { mount.at.join(below) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 21 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn our_own_directory_is_found_in_every_hierarchy() {
        let found = Hierarchies::parse(MOUNTS, "3:memory:/a/b\n2:cpu,cpuacct:/\n0::/c\n");
        assert_eq!(found.v1["memory"], Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(found.v1["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found.v1["cpu"], found.v1["cpuacct"]);
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/c")));
        assert!(!found.v1.contains_key("pids"));
    }

    #[test]
    fn a_container_without_a_cgroup_namespace_finds_itself_below_its_mount() {
        let mounts = "30 24 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(mounts, "0::/docker/abc/x\n");
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/x")));
        assert_eq!(Hierarchies::parse(mounts, "0::/elsewhere\n").v2, None);
    }

    #[test]
    fn a_named_parent_may_be_written_with_or_without_the_mount() {
        let found = Hierarchies::parse(MOUNTS, "0::/c\n");
        for parent in ["/hosts", "/sys/fs/cgroup/unified/hosts", "hosts"] {
            let under = found.clone().under(Some(Path::new(parent)));
            assert_eq!(under.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/hosts")), "{parent}");
        }
    }
}
