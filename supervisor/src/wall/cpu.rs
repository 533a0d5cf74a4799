//! The CPU wall where no cgroup governs CPU: a host above its share runs behind everybody else (decision W7).
//!
//! Owns: the measured share, and holding a host back. Never: stops a host; `renice` between sessions does nothing under
//! autogroup, so it is either the autogroup's own weight or the idle class.
//!
//! ```text
//! Free ──above its share for a second──► Held ──below it for a second──► Free
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getsid};
use openrtc_ipc::{CpuMax, WallSpec};

use crate::sys::proc;
use crate::sys::sched::{self, Class};

/// Over how long the share is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// Closest that two remembered samples lie, so that a dozen are enough.
const SPACING: Duration = Duration::from_millis(100);
/// Weight of an autogroup that is held back.
const HELD_NICE: &[u8] = b"19";
const FREE_NICE: &[u8] = b"0";

/// What a machine without a cpu cgroup offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// The weight of the host's session.
    Autogroup,
    /// The idle class for each thread; leaving it needs CAP_SYS_NICE.
    IdleClass,
}

impl Means {
    /// What there is here, or why there is nothing.
    pub(super) fn detect(cap_sys_nice: bool) -> Result<Self, String> {
        let enabled = std::fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").unwrap_or_default();
        // Autogroups only work for processes in the root cpu cgroup.
        let in_root = proc::cgroup(0).or_else(|_| std::fs::read_to_string("/proc/self/cgroup")).unwrap_or_default();
        if enabled.trim() == "1" && in_root_cpu_group(&in_root) {
            return Ok(Self::Autogroup);
        }
        if cap_sys_nice {
            return Ok(Self::IdleClass);
        }
        Err("no cpu cgroup, no autogroup, and no CAP_SYS_NICE to come back from the idle class".into())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Autogroup => "autogroup",
            Self::IdleClass => "SCHED_IDLE",
        }
    }
}

fn in_root_cpu_group(cgroup: &str) -> bool {
    let v1 = cgroup.lines().find(|line| line.split(':').nth(1).is_some_and(|list| list.split(',').any(|c| c == "cpu")));
    let line = v1.or_else(|| cgroup.lines().find(|line| line.starts_with("0::")));
    line.is_none_or(|line| line.ends_with(":/"))
}

/// The share a host may have, in percent of one core; `None` is any.
pub(super) fn share_max(spec: &WallSpec, cores: u32) -> Option<u32> {
    match spec.cpu_max {
        CpuMax::Off => None,
        CpuMax::Percent(percent) => Some(percent),
        CpuMax::Auto => cores.checked_sub(1).filter(|left| *left > 0).map(|left| left * 100),
    }
}

/// Holds one host to its share.
#[derive(Debug)]
pub(super) struct Governor {
    means: Means,
    percent_max: u32,
    /// Opened while the host was still dumpable: afterwards the file is root's.
    autogroup: Option<File>,
    host: i32,
    samples: VecDeque<(Instant, u64)>,
    behind: BTreeSet<i32>,
    held: bool,
}

impl Governor {
    pub(super) fn new(means: Means, percent_max: u32, pid: i32) -> Self {
        // An autogroup is a session's: one shared with us would hold us back too. In a container our session may be
        // one from outside its pid namespace, whose number reads as 0.
        let own_session = getsid(Some(Pid::from_raw(pid))).ok() != getsid(None).ok();
        let open = || File::options().write(true).open(format!("/proc/{pid}/autogroup")).ok();
        let autogroup = if own_session { open() } else { None };
        Self {
            means,
            percent_max,
            autogroup,
            host: pid,
            samples: VecDeque::new(),
            behind: BTreeSet::new(),
            held: false,
        }
    }

    /// Whether it can act at all.
    pub(super) fn works(&self) -> bool {
        self.means == Means::IdleClass || self.autogroup.is_some()
    }

    /// Takes the CPU used so far and holds the host back or lets it go. Gives whether it is held now.
    pub(super) fn observe(&mut self, now: Instant, cpu_micros: u64, pids: &[i32]) -> bool {
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= SPACING) {
            self.samples.push_back((now, cpu_micros));
        }
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let Some((since, micros)) = self.samples.front().copied() else { return self.held };
        let elapsed = now.duration_since(since);
        if elapsed < WINDOW {
            return self.held;
        }
        let percent = u128::from(cpu_micros.saturating_sub(micros)) * 100 / elapsed.as_micros().max(1);
        let above = percent > u128::from(self.percent_max);
        if above {
            self.hold(pids);
        } else if self.held {
            self.release();
        }
        self.held
    }

    /// Holds those that are not held yet: while it lasts, new processes of the tree too.
    fn hold(&mut self, pids: &[i32]) {
        for pid in pids {
            if !self.behind.contains(pid) && self.put(*pid, Class::Idle) {
                self.behind.insert(*pid);
                self.held = true;
            }
        }
    }

    /// Lets all go. Who cannot be let go now is tried again at the next sample.
    fn release(&mut self) {
        for pid in std::mem::take(&mut self.behind) {
            if !self.put(pid, Class::Normal) && Path::new(&format!("/proc/{pid}")).exists() {
                self.behind.insert(pid);
            }
        }
        self.held = !self.behind.is_empty();
    }

    fn put(&self, pid: i32, class: Class) -> bool {
        match self.means {
            Means::Autogroup => {
                let nice = if class == Class::Idle { HELD_NICE } else { FREE_NICE };
                // The kernel takes one such write in 100 ms on the whole machine unless we are root; a refused one is
                // made again.
                match &self.autogroup {
                    Some(file) if pid == self.host => (&*file).write_all(nice).is_ok(),
                    None => false,
                    Some(_) => std::fs::write(format!("/proc/{pid}/autogroup"), nice).is_ok(),
                }
            }
            Means::IdleClass => {
                let threads = proc::threads(pid);
                threads.into_iter().filter(|tid| sched::set_class(*tid, class).is_ok()).count() > 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::tests::spec;

    #[test]
    fn auto_leaves_one_core_and_is_none_on_one() {
        assert_eq!(share_max(&spec(), 8), Some(700));
        assert_eq!(share_max(&spec(), 1), None);
    }

    #[test]
    fn autogroups_count_only_in_the_root_cpu_group() {
        assert!(in_root_cpu_group("4:memory:/a\n1:cpu,cpuacct:/\n0::/x\n"));
        assert!(!in_root_cpu_group("1:cpu:/docker/a\n0::/\n"));
        assert!(!in_root_cpu_group("0::/user.slice\n"));
        assert!(in_root_cpu_group("0::/\n"));
    }

    #[test]
    fn a_host_is_held_above_its_share_for_a_second_and_let_go_below() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut governor = Governor::new(Means::IdleClass, 100, pid);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(!governor.observe(at(0), 0, &[pid]));
        assert!(!governor.observe(at(500), 900_000, &[pid]), "half a second says nothing");
        assert!(governor.observe(at(1000), 1_800_000, &[pid]), "180 % of a second");
        assert!(governor.observe(at(1500), 2_000_000, &[pid]), "110 %");
        let policy = std::fs::read_to_string(format!("/proc/{pid}/sched")).unwrap_or_default();
        assert!(policy.is_empty() || policy.lines().any(|line| line.starts_with("policy") && line.ends_with('5')));
        let root = nix::unistd::geteuid().is_root();
        assert_eq!(governor.observe(at(2600), 2_100_000, &[pid]), !root, "let go, where we may");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
