//! cgroup v2: one directory with every controller.
//!
//! Owns: v2's files. Never: sets `memory.high`: at its mark the kernel stalls a host for seconds, and a stalled host is a
//! broken call (C-19). Warning before the wall is the sampler's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::poll::PollFlags;
use openrtc_ipc::HostId;

use super::cgroup::{
    CPU_PERIOD_MICROS, CgroupError, Controllers, Directory, Group, GroupLimits, Throttled, field_of, group_name,
    kill_deadline, kill_one_by_one, marker_of, number_of, wait_for,
};

/// The directory in which hosts' groups are made, beside each other.
#[derive(Debug, Clone)]
pub(super) struct PlaceV2 {
    /// It.
    pub(super) parent: PathBuf,
    /// What their names begin with.
    pub(super) owner: String,
    /// What is enabled for groups in it.
    pub(super) controllers: Controllers,
}

impl PlaceV2 {
    /// Makes a group for one host generation.
    pub(super) fn create(&self, host: HostId) -> Result<GroupV2, CgroupError> {
        Ok(GroupV2::open(Directory::create(self.parent.join(group_name(&self.owner, host)))?, self.controllers))
    }
}

/// One host's directory.
#[derive(Debug)]
pub(super) struct GroupV2 {
    directory: Directory,
    controllers: Controllers,
    marker: String,
    memory_events: Option<File>,
    memory_peak: Option<File>,
    memory_current: Option<File>,
    memory_stat: Option<File>,
    cpu_stat: Option<File>,
    pids_events: Option<File>,
    pids_current: Option<File>,
    events: Option<File>,
}

impl GroupV2 {
    /// Opens the files of a directory that was just made.
    pub(super) fn open(directory: Directory, controllers: Controllers) -> Self {
        Self {
            marker: marker_of(&directory.0),
            // Its own counters, where the kernel keeps them apart from those of groups below (5.2).
            memory_events: directory.open("memory.events.local").or_else(|| directory.open("memory.events")),
            memory_peak: directory.open("memory.peak"),
            memory_current: directory.open("memory.current"),
            memory_stat: directory.open("memory.stat"),
            cpu_stat: directory.open("cpu.stat"),
            pids_events: directory.open("pids.events"),
            pids_current: directory.open("pids.current"),
            events: directory.open("cgroup.events"),
            directory,
            controllers,
        }
    }

    /// Members killed, whoever was out of memory; `None` while nobody was, so that no more is read in good times.
    fn members_killed(&self) -> Option<u64> {
        Some(field_of(self.memory_events.as_ref(), "oom_kill")).filter(|kills| *kills > 0)
    }

    /// `oom` counts allocations that failed at this group's own limit; `oom_kill` its members, whoever was out of memory.
    fn met_own_limit(&self) -> bool {
        field_of(self.memory_events.as_ref(), "oom") > 0
    }

    fn empty(&self) -> bool {
        field_of(self.events.as_ref(), "populated") == 0
    }

    fn await_empty(&self) -> bool {
        let deadline = kill_deadline();
        while !self.empty() {
            if Instant::now() >= deadline {
                return false;
            }
            if let Some(events) = &self.events {
                wait_for(events, PollFlags::POLLPRI, deadline);
            }
        }
        true
    }
}

impl Group for GroupV2 {
    fn controllers(&self) -> Controllers {
        self.controllers
    }

    fn limit(&self, limits: &GroupLimits) -> Result<(), CgroupError> {
        if let (true, Some(bytes)) = (self.controllers.memory, limits.memory_bytes) {
            self.directory.write("memory.max", &bytes.to_string())?;
            self.directory.assert_at_most("memory.max", bytes)?;
            // Otherwise a hog becomes a swap storm.
            self.directory.write_if_there("memory.swap.max", "0")?;
        }
        if self.controllers.memory {
            // A host that lost one of its processes is no host any more.
            self.directory.write("memory.oom.group", "1")?;
        }
        if self.controllers.cpu {
            self.directory.write("cpu.weight", &limits.cpu_weight.clamp(1, 10_000).to_string())?;
        }
        if let (true, Some(pct)) = (self.controllers.cpu, limits.cpu_pct) {
            let quota = u64::from(pct) * CPU_PERIOD_MICROS / 100;
            self.directory.write("cpu.max", &format!("{quota} {CPU_PERIOD_MICROS}"))?;
            self.directory.assert_at_most("cpu.max", quota)?;
        }
        if let (true, Some(pids)) = (self.controllers.pids, limits.pids) {
            self.directory.write("pids.max", &pids.to_string())?;
            self.directory.assert_at_most("pids.max", u64::from(pids))?;
        }
        Ok(())
    }

    fn attach(&self, pid: i32) -> Result<Vec<OwnedFd>, CgroupError> {
        self.directory.write("cgroup.procs", &pid.to_string()).map(|()| Vec::new())
    }

    fn holds(&self, proc_cgroup: &str) -> bool {
        proc_cgroup.lines().any(|line| line.starts_with("0::") && line.ends_with(&self.marker))
    }

    fn oom_kills(&self) -> u64 {
        self.members_killed().filter(|_| self.met_own_limit()).unwrap_or(0)
    }

    fn ancestor_oom_kills(&self) -> u64 {
        self.members_killed().filter(|_| !self.met_own_limit()).unwrap_or(0)
    }

    fn all_oom_kills(&self) -> u64 {
        self.members_killed().unwrap_or(0)
    }

    fn peak(&self) -> Option<u64> {
        number_of(self.memory_peak.as_ref())
    }

    fn usage(&self) -> Option<u64> {
        let charged = number_of(self.memory_current.as_ref())?;
        Some(charged.saturating_sub(field_of(self.memory_stat.as_ref(), "inactive_file")))
    }

    fn cpu_micros(&self) -> Option<u64> {
        self.cpu_stat.as_ref().map(|file| field_of(Some(file), "usage_usec"))
    }

    fn throttled(&self) -> Throttled {
        let of = |key| field_of(self.cpu_stat.as_ref(), key);
        Throttled { periods: of("nr_throttled"), micros: of("throttled_usec") }
    }

    fn pids_hit(&self) -> u64 {
        field_of(self.pids_events.as_ref(), "max")
    }

    fn pids(&self) -> Option<u32> {
        number_of(self.pids_current.as_ref()).map(|pids| u32::try_from(pids).unwrap_or(u32::MAX))
    }

    fn kill_all(&self) -> bool {
        // Linux 5.14; before, one by one with nobody able to fork.
        if self.directory.write("cgroup.kill", "1").is_ok() {
            return self.await_empty();
        }
        let _ = self.directory.write_if_there("pids.max", "0");
        kill_one_by_one(&self.directory.0.join("cgroup.procs"), &self.marker)
    }

    fn remove(self: Box<Self>) -> Result<(), CgroupError> {
        self.directory.remove()
    }
}

/// Kills whoever is left in a dead supervisor's group and removes it.
pub(super) fn sweep(group: &Path) -> Result<(), CgroupError> {
    let controllers = Controllers { version: "cgroup v2", memory: false, cpu: false, pids: false };
    let group = GroupV2::open(Directory(group.to_owned()), controllers);
    group.kill_all();
    Box::new(group).remove()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    const ALL: Controllers = Controllers { version: "cgroup v2", memory: true, cpu: true, pids: true };
    const NONE: Controllers = Controllers { version: "cgroup v2", memory: false, cpu: false, pids: false };

    /// A directory with files as the kernel would make them.
    fn fake() -> (tempfile::TempDir, GroupV2) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("ort-1-2.h3.1");
        fs::create_dir_all(&path).unwrap();
        let files = [
            ("memory.max", "max"),
            ("memory.oom.group", "0"),
            ("memory.high", "max"),
            ("memory.peak", "777"),
            ("memory.current", "5000"),
            ("memory.stat", "anon 4000\ninactive_file 1000\n"),
            ("memory.events.local", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n"),
            ("cpu.weight", "100"),
            ("cpu.max", "max 100000"),
            ("cpu.stat", "usage_usec 42\nnr_periods 9\nnr_throttled 3\nthrottled_usec 12\n"),
            ("pids.max", "max"),
            ("pids.events", "max 7\n"),
            ("pids.current", "5"),
            ("cgroup.procs", ""),
        ];
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        let group = GroupV2::open(Directory(path), ALL);
        (root, group)
    }

    fn limits() -> GroupLimits {
        GroupLimits { memory_bytes: Some(1 << 30), cpu_pct: Some(150), cpu_weight: 200, pids: Some(512) }
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let (_root, group) = fake();
        // A fake file keeps what was longer; the kernel replaces it. So each is made empty first.
        for name in ["memory.max", "memory.oom.group", "cpu.weight", "cpu.max", "pids.max"] {
            fs::write(group.directory.0.join(name), "").unwrap();
        }
        group.limit(&limits()).unwrap();
        group.attach(4321).unwrap();
        let read = |name: &str| fs::read_to_string(group.directory.0.join(name)).unwrap();
        assert_eq!(read("memory.max"), "1073741824");
        assert_eq!(read("memory.oom.group"), "1");
        assert_eq!(read("cpu.weight"), "200");
        assert_eq!(read("cpu.max"), "30000 20000", "150 % with a period of one audio frame");
        assert_eq!(read("pids.max"), "512");
        assert_eq!(read("cgroup.procs"), "4321");
        assert_eq!(read("memory.high"), "max", "it would stall a call (C-19)");
    }

    #[test]
    fn a_limit_that_did_not_take_is_an_error() {
        let (_root, group) = fake();
        let path = group.directory.0.join("pids.max");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(group.limit(&limits()).is_err());
    }

    #[test]
    fn counters_tell_the_groups_own_limit_from_one_above() {
        let (_root, group) = fake();
        assert_eq!((group.oom_kills(), group.ancestor_oom_kills()), (1, 0));
        fs::write(group.directory.0.join("memory.events.local"), "oom 0\noom_kill 1\n").unwrap();
        assert_eq!((group.oom_kills(), group.ancestor_oom_kills()), (0, 1));
        assert_eq!(group.usage(), Some(4000), "file cache that can be had back does not count");
        assert_eq!((group.peak(), group.cpu_micros(), group.pids()), (Some(777), Some(42), Some(5)));
        assert_eq!((group.pids_hit(), group.throttled()), (7, Throttled { periods: 3, micros: 12 }));
        assert!(group.holds("0::/a/ort-1-2.h3.1\n"));
        assert!(!group.holds("0::/a/ort-1-2.h3.10\n") && !group.holds("0::/a/h3.1\n"));
    }

    /// A group on this machine's own v2 hierarchy, which needs no controller to kill.
    fn real(name: &str) -> Option<GroupV2> {
        let mount = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let mount = mount.iter().map(Path::new).find(|mount| mount.join("cgroup.procs").exists())?;
        let owner = format!("ort-test-{}-{name}", std::process::id());
        PlaceV2 { parent: mount.to_owned(), owner, controllers: NONE }.create(HostId { index: 1, generation: 1 }).ok()
    }

    fn dies_whole(name: &str, kill: impl Fn(&GroupV2) -> bool) {
        let Some(group) = real(name) else { return println!("SKIP: no cgroup v2 that we may write") };
        let mut command = Command::new("sh");
        command.args(["-c", "read line; exec sh -c \"$line\""]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        group.attach(i32::try_from(child.id()).unwrap()).unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"sleep 600 & sleep 600 & setsid sleep 600 & wait\n").unwrap();
        let procs = group.directory.0.join("cgroup.procs");
        let deadline = Instant::now() + std::time::Duration::from_secs(20);
        while fs::read_to_string(&procs).unwrap().lines().count() < 4 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(!group.empty());
        assert!(kill(&group));
        assert!(group.empty());
        child.wait().unwrap();
        Box::new(group).remove().unwrap();
    }

    #[test]
    fn a_real_group_is_killed_at_once_and_removed() {
        dies_whole("kill", Group::kill_all);
    }

    #[test]
    fn without_cgroup_kill_its_members_are_killed_one_by_one() {
        dies_whole("loop", |group| kill_one_by_one(&group.directory.0.join("cgroup.procs"), &group.marker));
    }
}
