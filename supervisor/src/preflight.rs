//! What a supervisor needs of its machine beside walls: kernel, room, descriptors, a clock.
//!
//! Owns: looking, and judging what was found. Never: changes anything, or waits.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openrtc_control_api::{Finding, Verdict};
use rustix::process::{Resource, getrlimit};

use crate::config::Config;
use crate::wall::Surroundings;

/// Oldest kernel with Landlock, and so the oldest that is supported.
const KERNEL_MIN: (u32, u32) = (5, 13);
/// From here on Landlock has scopes: every wall can stand.
const KERNEL_GOOD: (u32, u32) = (6, 12);
/// Bytes that the state directory must have, for hosts' working directories and logs.
const SPACE_MIN: u64 = 64 << 20;
/// Bytes below which it is worth a look.
const SPACE_LOW: u64 = 1 << 30;
/// Descriptors that the supervisor holds for each host: channel, pidfd, two pipes, its cgroup's and `/proc`'s files.
const FILES_PER_HOST: u64 = 16;
/// Those for everything else: sockets, up to 256 clients, observers.
const FILES_OWN: u64 = 512;
/// Before this moment a clock is wrong: 2025-01-01, in seconds since 1970.
const CLOCK_MIN: u64 = 1_735_689_600;

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preflight {
    state_dir: PathBuf,
    hosts_max: u64,
}

impl Preflight {
    /// Of this configuration.
    pub fn of(config: &Config) -> Self {
        Self { state_dir: config.supervisor.state_dir.clone(), hosts_max: u64::from(config.rules.max_hosts) }
    }

    /// Looks now.
    pub fn findings(&self) -> Vec<Finding> {
        let (here, evidence) = Surroundings::detect_with_evidence();
        let uname = rustix::system::uname();
        let soft = getrlimit(Resource::Nofile).current;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        vec![
            surroundings(here, &evidence),
            kernel(&uname.release().to_string_lossy(), here),
            space(&self.state_dir, here),
            open_files(soft, self.hosts_max, here),
            clock(now),
        ]
    }
}

/// A finding with its verdict.
pub fn finding(name: &str, verdict: Verdict, detail: impl Into<String>, remedy: Option<String>) -> Finding {
    Finding { name: name.to_owned(), ok: verdict != Verdict::Fail, verdict, detail: detail.into(), remedy }
}

fn surroundings(here: Surroundings, evidence: &str) -> Finding {
    let told_by = if evidence.is_empty() { String::new() } else { format!(" (told by {evidence})") };
    finding("surroundings", Verdict::Pass, format!("{}{told_by}", here.name()), None)
}

fn kernel(release: &str, here: Surroundings) -> Finding {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (verdict, why) = match version {
        _ if version < KERNEL_MIN => (Verdict::Fail, ", older than 5.13: no Landlock"),
        _ if version < KERNEL_GOOD => (Verdict::Warn, ", older than 6.12: Landlock without scopes"),
        _ => (Verdict::Pass, ""),
    };
    let remedy = (verdict != Verdict::Pass).then(|| format!("{} to 6.12 or newer", here.kernel()));
    finding("kernel", verdict, format!("{release}{why}"), remedy)
}

/// Of the directory, or of the nearest above it that is there.
fn space(dir: &Path, here: Surroundings) -> Finding {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(stat) => room(dir, stat.f_bavail.saturating_mul(stat.f_frsize), here),
        Err(error) => {
            let remedy = "set [supervisor] state_dir to a directory of the supervisor's own".to_owned();
            finding("state_dir", Verdict::Fail, format!("{}: {error}", there.display()), Some(remedy))
        }
    }
}

fn room(dir: &Path, free: u64, here: Surroundings) -> Finding {
    let verdict = match free {
        _ if free < SPACE_MIN => Verdict::Fail,
        _ if free < SPACE_LOW => Verdict::Warn,
        _ => Verdict::Pass,
    };
    let remedy = (verdict != Verdict::Pass).then(|| here.space().to_owned());
    finding("state_dir", verdict, format!("{} MiB free in {}", free >> 20, dir.display()), remedy)
}

fn open_files(soft: Option<u64>, hosts_max: u64, here: Surroundings) -> Finding {
    let wanted = FILES_OWN + hosts_max * FILES_PER_HOST;
    let shown = soft.map_or_else(|| "no limit".to_owned(), |soft| soft.to_string());
    let enough = soft.is_none_or(|soft| soft >= wanted);
    let verdict = if enough { Verdict::Pass } else { Verdict::Warn };
    let detail = format!("{shown} descriptors; max_hosts = {hosts_max} may need {wanted}");
    finding("open_files", verdict, detail, (!enough).then(|| here.open_files(wanted)))
}

/// Tokens and certificates are worth nothing under a wrong clock.
fn clock(now: u64) -> Finding {
    let wrong = now < CLOCK_MIN;
    let verdict = if wrong { Verdict::Fail } else { Verdict::Pass };
    let detail = if wrong { "before 2025: tokens and certificates fail" } else { "plausible" };
    finding("clock", verdict, detail, wrong.then(|| "set it: `timedatectl set-ntp true` on the machine".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Surroundings = Surroundings::Docker;

    #[test]
    fn a_kernel_is_judged_by_its_version() {
        for (release, verdict) in [
            ("6.18.5-fc-v1", Verdict::Pass),
            ("6.12.0", Verdict::Pass),
            ("6.8.0-31-generic", Verdict::Warn),
            ("5.13", Verdict::Warn),
            ("5.4.0", Verdict::Fail),
            ("nonsense", Verdict::Fail),
        ] {
            let found = kernel(release, HERE);
            assert_eq!(found.verdict, verdict, "{release}");
            assert_eq!(found.remedy.is_some(), verdict != Verdict::Pass, "{release}");
        }
    }

    #[test]
    fn room_descriptors_and_clock_are_judged_by_their_bounds() {
        let dir = Path::new("/state");
        assert_eq!(room(dir, 1, HERE).verdict, Verdict::Fail);
        assert_eq!(room(dir, SPACE_LOW - 1, HERE).verdict, Verdict::Warn);
        assert_eq!(room(dir, SPACE_LOW, HERE), finding("state_dir", Verdict::Pass, "1024 MiB free in /state", None));
        let few = open_files(Some(1024), 256, HERE);
        assert_eq!((few.verdict, few.ok), (Verdict::Warn, true));
        assert!(few.remedy.unwrap().contains("--ulimit nofile=4608"));
        assert_eq!(open_files(Some(4608), 256, HERE).verdict, Verdict::Pass);
        assert_eq!(open_files(None, 10_000, HERE).verdict, Verdict::Pass);
        assert_eq!(clock(0).verdict, Verdict::Fail);
        assert_eq!(clock(CLOCK_MIN).verdict, Verdict::Pass);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let found = space(Path::new("/tmp/not/there/yet"), HERE);
        assert!(found.detail.ends_with("free in /tmp/not/there/yet"), "{}", found.detail);
    }

    #[test]
    fn everything_is_looked_at() {
        let names: Vec<String> = Preflight::default().findings().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["surroundings", "kernel", "state_dir", "open_files", "clock"]);
    }
}
