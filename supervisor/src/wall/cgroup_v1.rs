//! cgroup v1: a directory in each controller's hierarchy.
//!
//! Owns: v1's files. Never: counts on `oom.group` or `cgroup.kill`, which v1 has not (decision W8).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use openrtc_ipc::HostId;

use super::cgroup::{
    CPU_PERIOD_MICROS, CgroupError, Controllers, Directory, Group, GroupLimits, Throttled, field_of, group_name,
    kill_one_by_one, marker_of, number_of,
};

/// The kernel charges this much ahead (64 pages), so that a full group's mark may lie so far below its limit.
const CHARGE_BATCH_BYTES: u64 = 64 * 4096;

/// The directory in each hierarchy in which hosts' groups are made, beside each other.
#[derive(Debug, Clone, Default)]
pub(super) struct PlaceV1 {
    /// What their names begin with, in every hierarchy.
    pub(super) owner: String,
    /// Memory.
    pub(super) memory: Option<PathBuf>,
    /// Weight and quota.
    pub(super) cpu: Option<PathBuf>,
    /// Accounting; often the same as `cpu`.
    pub(super) cpuacct: Option<PathBuf>,
    /// Processes and threads.
    pub(super) pids: Option<PathBuf>,
}

impl PlaceV1 {
    pub(super) fn controllers(&self) -> Controllers {
        Controllers {
            version: "cgroup v1",
            memory: self.memory.is_some(),
            cpu: self.cpu.is_some(),
            pids: self.pids.is_some(),
        }
    }

    /// Makes a group for one host generation.
    pub(super) fn create(&self, host: HostId) -> Result<GroupV1, CgroupError> {
        let name = group_name(&self.owner, host);
        let make = |parent: &Option<PathBuf>| -> Result<Option<Directory>, CgroupError> {
            parent.as_ref().map(|parent| Directory::create(parent.join(&name))).transpose()
        };
        let mut group = GroupV1::default();
        let made = (|| {
            group.memory = make(&self.memory)?;
            group.cpu = make(&self.cpu)?;
            group.cpuacct = if self.cpuacct == self.cpu { group.cpu.clone() } else { make(&self.cpuacct)? };
            group.pids = make(&self.pids)?;
            Ok(())
        })();
        if let Err(error) = made {
            // What was made of it must not stay behind; it is empty, so that this cannot wait.
            let _ = Box::new(group).remove();
            return Err(error);
        }
        group.open(format!("/{name}"));
        Ok(group)
    }
}

/// One host's directories.
#[derive(Debug, Default)]
pub(super) struct GroupV1 {
    memory: Option<Directory>,
    cpu: Option<Directory>,
    cpuacct: Option<Directory>,
    pids: Option<Directory>,
    marker: String,
    oom_control: Option<File>,
    fail_counts: [Option<File>; 2],
    limit: Option<File>,
    max_usage: Option<File>,
    usage: Option<File>,
    memory_stat: Option<File>,
    cpu_usage: Option<File>,
    cpu_stat: Option<File>,
    pids_events: Option<File>,
    pids_current: Option<File>,
}

impl GroupV1 {
    fn open(&mut self, marker: String) {
        let of = |directory: &Option<Directory>, name| directory.as_ref().and_then(|directory| directory.open(name));
        self.marker = marker;
        self.oom_control = of(&self.memory, "memory.oom_control");
        self.limit = of(&self.memory, "memory.limit_in_bytes");
        // With both limits equal the kernel asks memory and swap together first, and counts only there.
        self.fail_counts = ["memory.failcnt", "memory.memsw.failcnt"].map(|name| of(&self.memory, name));
        self.max_usage = of(&self.memory, "memory.max_usage_in_bytes");
        self.usage = of(&self.memory, "memory.usage_in_bytes");
        self.memory_stat = of(&self.memory, "memory.stat");
        self.cpu_usage = of(&self.cpuacct, "cpuacct.usage");
        self.cpu_stat = of(&self.cpu, "cpu.stat");
        self.pids_events = of(&self.pids, "pids.events");
        self.pids_current = of(&self.pids, "pids.current");
    }

    /// Each directory once.
    fn directories(&self) -> impl Iterator<Item = &Directory> {
        let cpuacct = self.cpuacct.as_ref().filter(|own| self.cpu.as_ref().is_none_or(|cpu| cpu.0 != own.0));
        [self.memory.as_ref(), self.cpu.as_ref(), cpuacct, self.pids.as_ref()].into_iter().flatten()
    }

    /// Members killed, whoever was out of memory; `None` while nobody was, so that no more is read in good times.
    fn members_killed(&self) -> Option<u64> {
        Some(field_of(self.oom_control.as_ref(), "oom_kill")).filter(|kills| *kills > 0)
    }

    /// v1 counts every member killed, whoever was out of memory; only a group that met its own limit has failures. Newer
    /// kernels have stopped counting those (seen on 6.18): there the high-water mark tells.
    fn met_own_limit(&self) -> bool {
        let failures = self.fail_counts.iter().any(|file| number_of(file.as_ref()).is_some_and(|count| count > 0));
        let at_limit = match (number_of(self.max_usage.as_ref()), number_of(self.limit.as_ref())) {
            (Some(peak), Some(limit)) => peak.saturating_add(CHARGE_BATCH_BYTES) >= limit,
            _ => false,
        };
        failures || at_limit
    }

    fn limit_memory(&self, directory: &Directory, bytes: u64) -> Result<(), CgroupError> {
        directory.write("memory.limit_in_bytes", &bytes.to_string())?;
        directory.assert_at_most("memory.limit_in_bytes", bytes)?;
        // Memory and swap together: no swap beyond the limit, where swap is accounted.
        directory.write_if_there("memory.memsw.limit_in_bytes", &bytes.to_string())
    }

    fn limit_cpu(&self, directory: &Directory, limits: &GroupLimits) -> Result<(), CgroupError> {
        // v1 calls 1024 what is 100 elsewhere, and takes none below 2.
        let shares = u64::from(limits.cpu_weight) * 1024 / 100;
        directory.write("cpu.shares", &shares.max(2).to_string())?;
        let Some(pct) = limits.cpu_pct else { return Ok(()) };
        let quota = u64::from(pct) * CPU_PERIOD_MICROS / 100;
        directory.write("cpu.cfs_period_us", &CPU_PERIOD_MICROS.to_string())?;
        directory.write("cpu.cfs_quota_us", &quota.to_string())?;
        directory.assert_at_most("cpu.cfs_quota_us", quota)
    }
}

impl Group for GroupV1 {
    fn controllers(&self) -> Controllers {
        Controllers {
            version: "cgroup v1",
            memory: self.memory.is_some(),
            cpu: self.cpu.is_some(),
            pids: self.pids.is_some(),
        }
    }

    fn limit(&self, limits: &GroupLimits) -> Result<(), CgroupError> {
        if let (Some(directory), Some(bytes)) = (&self.memory, limits.memory_bytes) {
            self.limit_memory(directory, bytes)?;
        }
        if let Some(directory) = &self.cpu {
            self.limit_cpu(directory, limits)?;
        }
        if let (Some(directory), Some(pids)) = (&self.pids, limits.pids) {
            directory.write("pids.max", &pids.to_string())?;
            directory.assert_at_most("pids.max", u64::from(pids))?;
        }
        Ok(())
    }

    /// A write of ours to `cgroup.procs` would wait for a grace period of the kernel.
    fn attach(&self, _pid: i32) -> Result<Vec<OwnedFd>, CgroupError> {
        self.directories().map(|directory| directory.open_to_write("tasks")).collect()
    }

    fn holds(&self, proc_cgroup: &str) -> bool {
        let places = self.directories().count();
        let found = proc_cgroup.lines().filter(|line| line.ends_with(&self.marker)).count();
        // Controllers that share a hierarchy share a line.
        found >= places.min(1) && found >= places
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
        number_of(self.max_usage.as_ref())
    }

    fn usage(&self) -> Option<u64> {
        let charged = number_of(self.usage.as_ref())?;
        Some(charged.saturating_sub(field_of(self.memory_stat.as_ref(), "total_inactive_file")))
    }

    fn cpu_micros(&self) -> Option<u64> {
        number_of(self.cpu_usage.as_ref()).map(|nanoseconds| nanoseconds / 1000)
    }

    fn throttled(&self) -> Throttled {
        let of = |key| field_of(self.cpu_stat.as_ref(), key);
        Throttled { periods: of("nr_throttled"), micros: of("throttled_time") / 1000 }
    }

    fn pids_hit(&self) -> u64 {
        field_of(self.pids_events.as_ref(), "max")
    }

    fn pids(&self) -> Option<u32> {
        number_of(self.pids_current.as_ref()).map(|pids| u32::try_from(pids).unwrap_or(u32::MAX))
    }

    fn kill_all(&self) -> bool {
        if let Some(pids) = &self.pids {
            // From here on nobody in it can fork; a failure only makes the loop below longer.
            let _ = pids.write("pids.max", "0");
        }
        let Some(any) = [&self.pids, &self.memory, &self.cpu, &self.cpuacct].into_iter().flatten().next() else {
            return true;
        };
        kill_one_by_one(&any.0.join("cgroup.procs"), &self.marker)
    }

    fn remove(self: Box<Self>) -> Result<(), CgroupError> {
        let results: Vec<_> = self.directories().map(Directory::remove).collect();
        results.into_iter().collect()
    }
}

/// Kills whoever is left in a dead supervisor's group and removes it.
pub(super) fn sweep(group: &Path) -> Result<(), CgroupError> {
    let directory = Directory(group.to_owned());
    let _ = directory.write_if_there("pids.max", "0");
    kill_one_by_one(&group.join("cgroup.procs"), &marker_of(group));
    directory.remove()
}
