//! What this machine can do for walls: found once, for the supervisor's life.
//!
//! Owns: the facts, and the states that follow from them. Never: knows a host.

use openrtc_ipc::{DataMax, WallSpec, WallState};

use super::cgroup::Controllers;
use super::cpu::{self, Means};
use super::identity::Identities;
use super::place::{Place, Touch};
use super::rlimits::Nproc;
use crate::config::wall::{CgroupMode, CgroupSettings, UidSettings};
use crate::sys::{landlock, proc};

const CAP_SYS_NICE: u32 = 23;

/// The facts.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) place: Place,
    pub(super) cgroup_mode: CgroupMode,
    pub(super) identities: Identities,
    pub(super) landlock_abi: u32,
    pub(super) cores: u32,
    pub(super) cpu_means: Result<Means, String>,
}

impl Machine {
    pub(super) fn detect(cgroup: &CgroupSettings, uids: &UidSettings, touch: Touch) -> Self {
        let own = proc::status(i32::try_from(std::process::id()).unwrap_or(0)).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        Self {
            place: Place::find(cgroup, touch),
            cgroup_mode: cgroup.mode,
            identities: Identities::detect(*uids),
            landlock_abi: landlock::abi(),
            cores,
            cpu_means: Means::detect(own.capabilities[2] & (1 << CAP_SYS_NICE) != 0),
        }
    }

    /// Why there are no cgroups.
    pub(super) fn no_cgroup(&self) -> &str {
        match &self.place {
            Place::Absent(reason) => reason,
            Place::V1 { .. } | Place::V2 { .. } => "this controller is not delegated to us",
        }
    }

    /// Whether processes must be counted by uid too.
    pub(super) fn nproc(&self, controllers: Option<Controllers>) -> Nproc {
        if controllers.is_some_and(|has| has.pids) { Nproc::NotNeeded } else { Nproc::Backstop }
    }

    /// The memory wall.
    pub(super) fn memory(&self, controllers: Option<Controllers>, spec: &WallSpec) -> WallState {
        let Some(bytes) = spec.memory_bytes_max else { return WallState::Absent("NO MEMORY WALL: turned off".into()) };
        let mib = bytes >> 20;
        match controllers {
            Some(has) if has.memory => WallState::Kernel(format!("{}: {mib} MiB", has.version)),
            _ => {
                let backstop = if spec.data_max == DataMax::Off { "" } else { "; RLIMIT_DATA behind it" };
                WallState::Sampled(format!("{mib} MiB of the tree's own, every {} ms{backstop}", spec.sample_ms))
            }
        }
    }

    /// The CPU wall.
    pub(super) fn cpu(&self, controllers: Option<Controllers>, spec: &WallSpec) -> WallState {
        let percent = cpu::share_max(spec, self.cores);
        match (controllers.filter(|has| has.cpu), percent, &self.cpu_means) {
            (Some(has), None, _) => WallState::Kernel(format!("{}: weight {}", has.version, spec.cpu_weight)),
            (Some(has), Some(percent), _) => {
                WallState::Kernel(format!("{}: weight {}, {percent} %", has.version, spec.cpu_weight))
            }
            (None, None, _) => WallState::Absent("NO CPU WALL: no quota, and no cgroup for a weight".into()),
            (None, Some(percent), Ok(means)) => {
                WallState::Sampled(format!("{percent} %, then behind all others by {}", means.name()))
            }
            (None, Some(_), Err(reason)) => WallState::Absent(reason.clone()),
        }
    }

    /// The wall on processes and threads.
    pub(super) fn pids(&self, controllers: Option<Controllers>, spec: &WallSpec, own_uid: Option<u32>) -> WallState {
        let Some(pids) = spec.pids_max else { return WallState::Absent("NO PIDS WALL: turned off".into()) };
        match (controllers.filter(|has| has.pids), own_uid) {
            (Some(has), _) => WallState::Kernel(format!("{}: {pids}", has.version)),
            // The kernel ignores RLIMIT_NPROC for root.
            (None, None) if self.identities.own_uid() == 0 => {
                WallState::Sampled(format!("{pids} counted every {} ms", spec.sample_ms))
            }
            (None, _) => {
                WallState::Sampled(format!("{pids} counted every {} ms; RLIMIT_NPROC behind it", spec.sample_ms))
            }
        }
    }
}
