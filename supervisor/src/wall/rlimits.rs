//! The plain resource limits, set from outside by `prlimit` while uids are equal (decision W4), and read back.
//!
//! Owns: which limits a host has. Never: sets one from inside, where it could be forgotten.
//!
//! `RLIMIT_NPROC` counts every process and thread of a uid on the machine, in one number for all its hosts, and is ignored
//! for root. So it is no wall: a limit fit for one host would refuse forks to the first of many. Where no pids cgroup
//! stands it is a backstop far above, for what a fork bomb does between two samples (C-3).

use std::io;

use openrtc_ipc::{DataMax, WallSpec};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::sys::proc::{self, Limit};

/// How many hosts at their full number of processes the backstop leaves room for, above what the machine runs already: of what
/// the machine may still run, half at most.
const NPROC_HOSTS: u64 = 16;

/// How `RLIMIT_NPROC` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nproc {
    /// A pids cgroup stands.
    NotNeeded,
    /// The sampler counts, and this stands behind it.
    Backstop,
}

/// A limit that could not be set.
#[derive(Debug, thiserror::Error)]
#[error("limit {name} to {wanted}")]
pub struct RlimitError {
    /// As `/proc/PID/limits` names it.
    pub name: &'static str,
    /// Soft and hard.
    pub wanted: String,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// One limit: its name in `/proc/PID/limits`, what it limits, soft and hard value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    name: &'static str,
    short: &'static str,
    resource: Resource,
    soft: u64,
    hard: u64,
}

impl Wanted {
    fn both(name: &'static str, short: &'static str, resource: Resource, value: u64) -> Self {
        Self { name, short, resource, soft: value, hard: value }
    }

    /// `NOFILE 1024`.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.short, self.soft)
    }
}

/// Seconds between SIGXCPU and SIGKILL: with one value for both only the latter would ever be seen (C-4).
const CPU_GRACE_S: u64 = 2;

/// What the limits should be, given what the process already has. `vm_data_bytes` is its VmData right after the fork.
pub(super) fn wanted(spec: &WallSpec, nproc: Nproc, vm_data_bytes: u64) -> Vec<Wanted> {
    let mut limits = vec![Wanted::both("Max realtime priority", "RTPRIO", Resource::Rtprio, 0)];
    let mut add = |name, short, resource, value: Option<u64>| {
        limits.extend(value.map(|value| Wanted::both(name, short, resource, value)));
    };
    add("Max open files", "NOFILE", Resource::Nofile, spec.open_files_max);
    add("Max core file size", "CORE", Resource::Core, (!spec.core_dump).then_some(0));
    add("Max file size", "FSIZE", Resource::Fsize, spec.file_size_bytes_max);
    add("Max address space", "AS", Resource::As, spec.address_space_bytes_max);
    add("Max data size", "DATA", Resource::Data, data_max(spec, vm_data_bytes));
    add("Max processes", "NPROC", Resource::Nproc, nproc_max(spec, nproc));
    if let Some(seconds) = spec.cpu_seconds_max {
        limits.push(Wanted {
            name: "Max cpu time",
            short: "CPU",
            resource: Resource::Cpu,
            soft: seconds,
            hard: seconds.saturating_add(CPU_GRACE_S),
        });
    }
    limits
}

/// What the stack of a thread counts for, though hardly any of it is touched: LiveKit's SDK gives most of its threads so much.
const STACK_BYTES: u64 = 1 << 20;
/// So many threads' stacks count as memory like any other.
const STACKS_WITHIN: u64 = 512;

/// A fork starts with all of its zygote's private memory, which must not count against it (decision W6); nor must the stacks of
/// very many threads, where it may have these (0030).
fn data_max(spec: &WallSpec, vm_data_bytes: u64) -> Option<u64> {
    match spec.data_max {
        DataMax::Off => None,
        DataMax::Bytes(bytes) => Some(bytes),
        DataMax::Auto => spec.memory_bytes_max.map(|memory| {
            let stacks = u64::from(spec.pids_max.unwrap_or(0)).saturating_sub(STACKS_WITHIN) * STACK_BYTES;
            vm_data_bytes.saturating_add(memory.saturating_mul(2)).saturating_add(stacks)
        }),
    }
}

fn nproc_max(spec: &WallSpec, nproc: Nproc) -> Option<u64> {
    let pids = u64::from(spec.pids_max?);
    match nproc {
        Nproc::NotNeeded => None,
        Nproc::Backstop => {
            let running = threads_of_machine();
            let free = pids_of_machine().saturating_sub(running);
            Some(running + (NPROC_HOSTS * pids).min(free / 2))
        }
    }
}

/// As many processes and threads as the machine can tell apart.
fn pids_of_machine() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    most.trim().parse().unwrap_or(u64::MAX)
}

/// Threads of the whole machine: at least those of any uid, and one file to read however many there are.
fn threads_of_machine() -> u64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let all = load.split_ascii_whitespace().nth(3).and_then(|running| running.split_once('/'));
    all.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

/// Sets them, lowering only: a limit that is already tighter stays.
pub(super) fn set(pid: i32, wanted: &[Wanted]) -> Result<(), RlimitError> {
    let now = proc::limits(pid);
    for limit in wanted {
        let failed = |source: io::Error| RlimitError {
            name: limit.name,
            wanted: format!("{} soft, {} hard", limit.soft, limit.hard),
            source,
        };
        let target = Pid::from_raw(pid).ok_or_else(|| failed(io::Error::from_raw_os_error(libc::ESRCH)))?;
        let now = in_force(&now, limit.name).map_err(failed)?;
        let hard = now.hard.map_or(limit.hard, |hard| hard.min(limit.hard));
        let new = Rlimit { current: Some(limit.soft.min(hard)), maximum: Some(hard) };
        prlimit(Some(target), limit.resource, new).map_err(|errno| failed(errno.into()))?;
    }
    assert_in_force(pid, wanted)
}

/// One limit of those that were read.
fn in_force(limits: &io::Result<String>, name: &str) -> io::Result<Limit> {
    // An error of the system is its number, and that can be given again.
    let limits = limits
        .as_ref()
        .map_err(|error| error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error))?;
    proc::parse_limit(limits, name).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Reads them back: each must be as tight as was asked, or tighter.
pub(super) fn assert_in_force(pid: i32, wanted: &[Wanted]) -> Result<(), RlimitError> {
    let limits = proc::limits(pid);
    for limit in wanted {
        let found = in_force(&limits, limit.name);
        let tight = found.as_ref().is_ok_and(|found| {
            found.soft.is_some_and(|n| n <= limit.soft) && found.hard.is_some_and(|n| n <= limit.hard)
        });
        if !tight {
            let source = found.err().unwrap_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
            return Err(RlimitError { name: limit.name, wanted: format!("{}, read back", limit.soft), source });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::tests::spec;

    fn value(limits: &[Wanted], short: &str) -> Option<(u64, u64)> {
        limits.iter().find(|limit| limit.short == short).map(|limit| (limit.soft, limit.hard))
    }

    #[test]
    fn data_allows_what_the_fork_inherited_twice_the_memory_wall_and_the_stacks_of_very_many_threads() {
        let memory = spec().memory_bytes_max.unwrap();
        for (pids_max, stacks) in [(40, 0), (512, 0), (600, 88)] {
            let limits = wanted(&WallSpec { pids_max: Some(pids_max), ..spec() }, Nproc::NotNeeded, 350 << 20);
            let data = Some((350 << 20) + 2 * memory + (stacks << 20));
            assert_eq!(value(&limits, "DATA").map(|both| both.0), data, "{pids_max}");
        }
        let off = WallSpec { memory_bytes_max: None, ..spec() };
        assert_eq!(value(&wanted(&off, Nproc::NotNeeded, 1), "DATA"), None);
    }

    #[test]
    fn cpu_time_warns_before_it_kills() {
        let limited = WallSpec { cpu_seconds_max: Some(10), ..spec() };
        assert_eq!(value(&wanted(&limited, Nproc::NotNeeded, 0), "CPU"), Some((10, 12)));
    }

    #[test]
    fn processes_are_counted_by_uid_only_where_no_cgroup_counts_them() {
        assert_eq!(value(&wanted(&spec(), Nproc::NotNeeded, 0), "NPROC"), None);
        let (soft, hard) = value(&wanted(&spec(), Nproc::Backstop, 0), "NPROC").expect("a backstop");
        assert!(soft == hard && soft > 16 * 512, "above what runs already: {soft}");
        let many = WallSpec { pids_max: Some(1 << 22), ..spec() };
        let (soft, _) = value(&wanted(&many, Nproc::Backstop, 0), "NPROC").expect("a backstop");
        assert!(soft < pids_of_machine(), "a fork bomb leaves the machine some: {soft}");
    }
}
