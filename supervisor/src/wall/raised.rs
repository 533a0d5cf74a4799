//! One host's walls, from its birth to the end of its cgroup.
//!
//! Owns: the group, the limits that were set, and the sampler. Never: outlives its host by more than the reading of its
//! last counters. Every call blocks, and belongs on a pool thread.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use openrtc_ipc::{Lockdown, WallReport, WallSpec, WallStatus};

use super::attest::{self, Subject};
use super::cgroup::{Group, Throttled};
use super::cpu::Governor;
use super::error::WallError;
use super::machine::Machine;
use super::rlimits::Wanted;
use super::sampler::{Exactness, Sampler, Usage};

/// What a host uses, and which of its walls it has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its own memory, the whole tree's, in bytes.
    pub memory_bytes: u64,
    /// The most of it so far, in bytes.
    pub memory_peak_bytes: u64,
    /// CPU of the whole tree since its birth, in microseconds.
    pub cpu_micros: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Above the memory wall, where the kernel does not stand guard: kill it.
    pub over_memory: bool,
    /// Above the warning mark: no new sessions.
    pub near_memory: bool,
    /// Above the wall on processes, where the kernel does not stand guard: kill it.
    pub over_pids: bool,
    /// Members that the kernel's killer took since the last sample (decision W8): kill the rest.
    pub oom_kill_delta: u64,
    /// Held back by the sampled CPU wall.
    pub cpu_held: bool,
    /// Held up by a CPU quota since its birth.
    pub throttled: Throttled,
}

/// What the kernel counted over a host's life. Read after its death.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Members killed at the host's own memory limit.
    pub oom_kills: u64,
    /// Members killed because a group above, or the machine, was out of memory.
    pub ancestor_oom_kills: u64,
    /// Forks refused.
    pub pids_hit: u64,
    /// Most memory, in bytes, where anybody measured it.
    pub memory_peak_bytes: Option<u64>,
    /// CPU, in microseconds, where anybody measured it.
    pub cpu_micros: Option<u64>,
}

/// What became of everybody in a host's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// There is no group: the caller must walk the tree.
    NoGroup,
    /// Nobody is left.
    Empty,
    /// Somebody did not die within two seconds: uninterruptible sleep.
    SomeLeft,
}

/// The walls around one host.
#[derive(Debug)]
pub struct Raised {
    pub(super) machine: Arc<Machine>,
    pub(super) pid: i32,
    pub(super) spec: WallSpec,
    pub(super) group: Option<Box<dyn Group>>,
    /// What the host enters its group by, until it is handed over.
    pub(super) entrances: Vec<OwnedFd>,
    pub(super) limits: Vec<Wanted>,
    pub(super) sampler: Sampler,
    pub(super) governor: Option<Governor>,
    pub(super) last: Sample,
    pub(super) oom_kills_seen: u64,
}

impl Raised {
    /// The files by which the host enters its group itself, to be sent with its welcome; none where it is in there.
    pub fn take_entrances(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.entrances)
    }

    /// Proves that every wall stands as asked, and from here on counts memory as the host's own.
    ///
    /// # Errors
    /// A wall that does not stand as asked, or one of `require` that does not stand at all: kill the host.
    pub fn attest(&mut self, reports: &[WallReport], expected: &Lockdown) -> Result<Vec<WallStatus>, WallError> {
        let subject = Subject {
            machine: &self.machine,
            pid: self.pid,
            spec: &self.spec,
            group: self.group.as_deref(),
            limits: &self.limits,
            governed: self.governor.as_ref().is_some_and(Governor::works),
        };
        let walls = attest::attest(&subject, reports, expected)?;
        self.sampler.green_light(if self.is_guarded() { Exactness::Estimate } else { Exactness::Measure });
        Ok(walls)
    }

    /// Looks at the host, and holds it to its CPU share where no cgroup does.
    pub fn sample(&mut self) -> Sample {
        let now = Instant::now();
        let group = self.group.as_deref();
        let has = group.map(Group::controllers);
        let by_group = (
            group.filter(|_| has.is_some_and(|has| has.memory)).and_then(Group::usage),
            group.and_then(Group::cpu_micros),
            group.and_then(Group::pids),
        );
        let complete = by_group.0.is_some() && by_group.1.is_some() && by_group.2.is_some();
        let must_walk = !complete || self.governor.is_some();
        let walked = if must_walk { self.sampler.sample(now) } else { Usage::default() };
        let memory_bytes = by_group.0.unwrap_or(walked.memory_bytes);
        let cpu_micros = by_group.1.unwrap_or(walked.cpu_micros);
        let processes = by_group.2.unwrap_or(walked.processes);
        let oom_kills = group.map_or(0, Group::all_oom_kills);
        let over = |value: u64, max: Option<u64>| max.is_some_and(|max| value > max);
        let warn = self.spec.memory_bytes_max.map(|max| max / 100 * u64::from(self.spec.memory_warn_pct));
        let peak = group.and_then(Group::peak).unwrap_or(memory_bytes).max(self.last.memory_peak_bytes);
        let sample = Sample {
            memory_bytes,
            memory_peak_bytes: peak,
            cpu_micros,
            processes,
            over_memory: by_group.0.is_none() && over(memory_bytes, self.spec.memory_bytes_max),
            near_memory: over(memory_bytes, warn),
            over_pids: by_group.2.is_none() && over(processes.into(), self.spec.pids_max.map(u64::from)),
            oom_kill_delta: oom_kills.saturating_sub(self.oom_kills_seen),
            cpu_held: self.govern(now, cpu_micros),
            throttled: self.group.as_deref().map(Group::throttled).unwrap_or_default(),
        };
        self.oom_kills_seen = oom_kills;
        self.last = sample;
        sample
    }

    fn govern(&mut self, now: Instant, cpu_micros: u64) -> bool {
        let pids = self.sampler.pids();
        self.governor.as_mut().is_some_and(|governor| governor.observe(now, cpu_micros, &pids))
    }

    /// The pids of the tree as last sampled, the host's own first.
    pub fn pids(&self) -> Vec<i32> {
        self.sampler.pids()
    }

    /// Whether the kernel holds every wall that is otherwise held by looking: memory, processes and CPU.
    pub fn is_guarded(&self) -> bool {
        let has = self.group.as_deref().map(Group::controllers);
        self.governor.is_none() && has.is_some_and(|has| has.memory && has.cpu && has.pids)
    }

    /// Members killed at the host's own memory limit since its birth.
    pub fn oom_kills(&self) -> u64 {
        self.group.as_deref().map_or(0, Group::oom_kills)
    }

    /// What the kernel counted; also after the host's death, for its files are still open.
    pub fn counters(&self) -> Counters {
        let group = self.group.as_deref();
        let sampled = |value: u64| (value > 0).then_some(value);
        Counters {
            oom_kills: self.oom_kills(),
            ancestor_oom_kills: group.map_or(0, Group::ancestor_oom_kills),
            pids_hit: group.map_or(0, Group::pids_hit),
            memory_peak_bytes: group.and_then(Group::peak).or_else(|| sampled(self.last.memory_peak_bytes)),
            cpu_micros: group.and_then(Group::cpu_micros).or_else(|| sampled(self.last.cpu_micros)),
        }
    }

    /// Kills everybody in the host's group, and waits up to two seconds until it is empty.
    pub fn kill_all(&self) -> Swept {
        match self.group.as_deref().map(Group::kill_all) {
            None => Swept::NoGroup,
            Some(true) => Swept::Empty,
            Some(false) => Swept::SomeLeft,
        }
    }

    /// Removes the group, waiting up to two seconds while the kernel calls it busy. What stays is swept at the next start.
    ///
    /// # Errors
    /// Somebody is still in it.
    pub fn remove(self) -> Result<(), WallError> {
        match self.group {
            Some(group) => Ok(group.remove()?),
            None => Ok(()),
        }
    }
}
