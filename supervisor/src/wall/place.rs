//! Where hosts' cgroups are made on this machine, or why nowhere.
//!
//! Owns: finding the hierarchies, the supervisor's own directory in them, and sweeping those of dead supervisors.
//! Never: touches a directory that a living supervisor holds locked.
//!
//! ```text
//! v2   <own cgroup>/ort-<pid>-<start>.self    we, and whoever shared our cgroup (no internal processes, C-15)
//!      <own cgroup>/ort-<pid>-<start>/h3.1    one host generation
//! v1   <own cgroup in each hierarchy>/ort-<pid>-<start>/h3.1
//! ```

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use openrtc_ipc::HostId;
use rustix::fs::{Access, FlockOperation, access, flock};

use super::cgroup::{CgroupError, Controllers, Directory, Group};
use super::cgroup_v1::{self, PlaceV1};
use super::cgroup_v2::{self, PlaceV2};
use super::hierarchy::Hierarchies;
use crate::config::wall::{CgroupMode, CgroupSettings};
use crate::sys::proc;

/// What all hosts together weigh on the CPU beside the rest of the machine, where an ordinary group weighs 100.
///
/// They are in one group, and a group is scheduled as one. With the ordinary weight a host that spins spends the share
/// of all, and its siblings wait behind every other program of the machine: beside two busy ones on two cores their p99
/// was 17–21 ms, and 2–3 ms with this weight.
const HOSTS_CPU_WEIGHT: u32 = 1_000;

/// Whether detection may change the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// Makes our directories, moves us where v2 demands it, sweeps those of the dead.
    Prepare,
    /// Only looks: for `doctor`.
    Look,
}

/// Where groups are made.
#[derive(Debug)]
pub(super) enum Place {
    /// In v1's hierarchies.
    V1 { place: PlaceV1, _held: Vec<Held> },
    /// In v2's.
    V2 { place: PlaceV2, _held: Vec<Held> },
    /// Nowhere, for this reason.
    Absent(String),
}

/// One of our directories, locked while we live, and removed with us as far as it is empty.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    fn make(path: PathBuf) -> Result<Self, CgroupError> {
        let directory = Directory::create(path)?;
        let lock = lock(&directory.0).map_err(|source| super::cgroup::failed("lock", &directory.0, source))?;
        Ok(Self { path: directory.0, _lock: lock })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Not empty: hosts outlive us for a moment, or we are in it ourselves. The next start sweeps it.
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

impl Place {
    /// Looks for a place, best first: v2 with controllers, then v1.
    pub(super) fn find(settings: &CgroupSettings, touch: Touch) -> Self {
        if settings.mode == CgroupMode::Off {
            return Self::Absent("off in the configuration".into());
        }
        let hierarchies = match Hierarchies::of_this_process() {
            Ok(hierarchies) => hierarchies.under(settings.parent.as_deref()),
            Err(error) => return Self::Absent(format!("cannot read /proc/self/mountinfo: {error}")),
        };
        let mut reasons = Vec::new();
        for find in [find_v2, find_v1] {
            match find(&hierarchies, settings.parent.is_some(), touch) {
                Ok(place) => return place,
                Err(reason) => reasons.push(reason),
            }
        }
        Self::Absent(reasons.join("; "))
    }

    /// What groups made here govern.
    pub(super) fn controllers(&self) -> Option<Controllers> {
        match self {
            Self::V1 { place, .. } => Some(place.controllers()),
            Self::V2 { place, .. } => Some(place.controllers),
            Self::Absent(_) => None,
        }
    }

    /// A group for one host generation; `None` where there is no place.
    pub(super) fn create(&self, host: HostId) -> Result<Option<Box<dyn Group>>, CgroupError> {
        match self {
            Self::V1 { place, .. } => Ok(Some(Box::new(place.create(host)?))),
            Self::V2 { place, .. } => Ok(Some(Box::new(place.create(host)?))),
            Self::Absent(_) => Ok(None),
        }
    }
}

/// `ort-<pid>-<start>`: of this process.
fn own_name() -> String {
    let key = proc::key(i32::try_from(std::process::id()).unwrap_or(0));
    let start = key.map(|key| key.start_ticks).unwrap_or(0);
    format!("ort-{}-{start}", std::process::id())
}

/// A name nobody else in this process has: tests make more than one.
fn free_name(parent: &Path) -> String {
    let name = own_name();
    (0_u32..)
        .map(|nth| if nth == 0 { name.clone() } else { format!("{name}-{nth}") })
        .find(|name| !parent.join(name).exists())
        .unwrap_or(name)
}

fn writable(directory: &Path) -> bool {
    access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn find_v1(hierarchies: &Hierarchies, _named: bool, touch: Touch) -> Result<Place, String> {
    let of = |controller: &str| hierarchies.v1.get(controller).cloned();
    let mut missing = Vec::new();
    let mut usable = |controller: &str| {
        let parent = of(controller)?;
        let fine = writable(&parent);
        if !fine {
            missing.push(parent.display().to_string());
        }
        fine.then_some(parent)
    };
    let parents = [usable("memory"), usable("cpu"), usable("cpuacct"), usable("pids")];
    if parents.iter().all(Option::is_none) {
        return Err(match missing.first() {
            Some(first) => format!("cgroup v1: not writable: {first}"),
            None => "cgroup v1: no hierarchy is mounted".into(),
        });
    }
    let mut held = Vec::new();
    let mut base = |parent: &Option<PathBuf>, made: &[Option<PathBuf>]| -> Result<Option<PathBuf>, CgroupError> {
        let Some(parent) = parent else { return Ok(None) };
        if touch == Touch::Look {
            return Ok(Some(parent.clone()));
        }
        if let Some(same) = made.iter().flatten().find(|base| base.parent() == Some(parent)) {
            return Ok(Some(same.clone()));
        }
        sweep_dead(parent, &cgroup_v1::sweep);
        let made = Held::make(parent.join(free_name(parent)))?;
        let path = made.path.clone();
        held.push(made);
        Ok(Some(path))
    };
    let mut made: Vec<Option<PathBuf>> = Vec::new();
    for parent in &parents {
        let path = base(parent, &made).map_err(|error| format!("cgroup v1: {error}: {}", error.source))?;
        made.push(path);
    }
    let mut made = made.into_iter();
    let mut next = || made.next().flatten();
    let place = PlaceV1 { memory: next(), cpu: next(), cpuacct: next(), pids: next() };
    if let (Touch::Prepare, Some(cpu)) = (touch, &place.cpu) {
        weigh(cpu, "cpu.shares", cgroup_v1::shares(HOSTS_CPU_WEIGHT));
    }
    Ok(Place::V1 { place, _held: held })
}

fn find_v2(hierarchies: &Hierarchies, named: bool, touch: Touch) -> Result<Place, String> {
    let own = hierarchies.v2.as_ref().ok_or("cgroup v2: not mounted")?;
    let listed = std::fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    let has = |controller: &str| listed.split_ascii_whitespace().any(|found| found == controller);
    let controllers = Controllers { version: "cgroup v2", memory: has("memory"), cpu: has("cpu"), pids: has("pids") };
    if !controllers.memory && !controllers.pids {
        return Err(format!("cgroup v2: neither memory nor pids is delegated to {}", own.display()));
    }
    if !writable(own) || !writable_file(&own.join("cgroup.subtree_control")) {
        return Err(format!("cgroup v2: not writable: {}", own.display()));
    }
    if touch == Touch::Look {
        return Ok(Place::V2 { place: PlaceV2 { base: own.clone(), controllers }, _held: Vec::new() });
    }
    sweep_dead(own, &cgroup_v2::sweep);
    prepare_v2(own, controllers, named).map_err(|error| format!("cgroup v2: {error}: {}", error.source))
}

fn writable_file(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

fn enabling(controllers: Controllers) -> String {
    let names = [("+memory", controllers.memory), ("+cpu", controllers.cpu), ("+pids", controllers.pids)];
    names.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn prepare_v2(own: &Path, controllers: Controllers, named: bool) -> Result<Place, CgroupError> {
    let parent = Directory(own.to_owned());
    let name = free_name(own);
    let mut held = Vec::new();
    // The root of the hierarchy has no `cgroup.type` and may hold processes beside groups.
    let occupied = own.join("cgroup.type").exists() && !parent.read("cgroup.procs")?.trim().is_empty();
    if occupied && !named {
        held.push(Held::make(own.join(format!("{name}.self")))?);
        move_all(&parent, &held[0].path)?;
    }
    if let Err(error) = parent.write("cgroup.subtree_control", &enabling(controllers)) {
        if let Some(moved) = held.first() {
            // Back to where we were; if even that fails, the first error says more.
            let _ = move_all(&Directory(moved.path.clone()), own);
        }
        return Err(error);
    }
    held.push(Held::make(own.join(&name))?);
    let base = held[held.len() - 1].path.clone();
    Directory(base.clone()).write("cgroup.subtree_control", &enabling(controllers))?;
    if controllers.cpu {
        weigh(&base, "cpu.weight", HOSTS_CPU_WEIGHT.into());
    }
    Ok(Place::V2 { place: PlaceV2 { base, controllers }, _held: held })
}

/// Gives the group of all hosts its weight; without it they still stand behind their own walls.
fn weigh(base: &Path, file: &str, weight: u64) {
    if let Err(error) = Directory(base.to_owned()).write(file, &weight.to_string()) {
        tracing::warn!(%error, cause = %error.source, "hosts weigh no more on the CPU than one program");
    }
}

/// Moves every process of one group into another; new ones may be born meanwhile, so it looks again.
fn move_all(from: &Directory, to: &Path) -> Result<(), CgroupError> {
    const ROUNDS: usize = 16;
    for _ in 0..ROUNDS {
        let listed = from.read("cgroup.procs")?;
        if listed.trim().is_empty() {
            break;
        }
        for pid in listed.split_ascii_whitespace() {
            match Directory(to.to_owned()).write("cgroup.procs", pid) {
                Err(error) if error.source.raw_os_error() != Some(libc::ESRCH) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes what supervisors left behind that are dead: nobody holds the lock, and no process has that pid and start.
fn sweep_dead(parent: &Path, sweep: &dyn Fn(&Path) -> Result<(), CgroupError>) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(owner_of) else { continue };
        let alive = proc::key(owner.pid).is_ok_and(|found| found == owner);
        let path = entry.path();
        let Ok(_lock) = lock(&path) else { continue };
        if alive {
            continue;
        }
        let groups = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let hosts = groups.filter(|group| group.file_type().is_ok_and(|kind| kind.is_dir()));
        for host in hosts {
            if let Err(error) = sweep(&host.path()) {
                tracing::warn!(path = %host.path().display(), %error, "a dead supervisor's cgroup stays");
            }
        }
        // A `.self` group may hold the shell that was moved with the dead one; that one is left alone.
        let _ = std::fs::remove_dir(&path);
    }
}

/// Whose directory this is, by its name.
fn owner_of(name: &str) -> Option<proc::ProcessKey> {
    let rest = name.strip_prefix("ort-")?;
    let rest = rest.strip_suffix(".self").unwrap_or(rest);
    let mut parts = rest.split('-');
    let key = proc::ProcessKey { pid: parts.next()?.parse().ok()?, start_ticks: parts.next()?.parse().ok()? };
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_name_tells_its_owner_and_no_other_name_does() {
        let key = |pid, start_ticks| Some(proc::ProcessKey { pid, start_ticks });
        assert_eq!(owner_of("ort-12-345"), key(12, 345));
        assert_eq!(owner_of("ort-12-345.self"), key(12, 345));
        assert_eq!(owner_of("ort-12-345-1"), key(12, 345));
        assert_eq!(owner_of("memory.max"), None);
        assert_eq!(owner_of("ort-acme"), None);
        assert_eq!(owner_of("user.slice"), None);
    }

    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn new() -> Self {
            Self(std::process::Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn enter(&self, group: &Path) {
            Directory(group.to_owned()).write("cgroup.procs", &self.0.id().to_string()).unwrap();
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn what_a_dead_supervisor_left_is_swept_and_what_a_living_one_holds_is_not() {
        let hierarchies = Hierarchies::of_this_process().unwrap();
        let Some(parent) = hierarchies.v1.get("pids").filter(|parent| writable(parent)) else {
            return println!("SKIP: no cgroup v1 that we may write");
        };
        let mut sleeper = Sleeper::new();
        // A pid that cannot be: the kernel's largest is 2^22.
        let name = |nth: u32| format!("ort-{}-{}", 5_000_000 + std::process::id(), nth);
        let (dead, held) = (parent.join(name(1)), parent.join(name(2)));
        std::fs::create_dir_all(dead.join("h1.1")).unwrap();
        std::fs::create_dir_all(held.join("h1.1")).unwrap();
        sleeper.enter(&dead.join("h1.1"));
        let lock = lock(&held).unwrap();
        sweep_dead(parent, &cgroup_v1::sweep);
        assert!(!dead.exists(), "swept");
        assert!(!sleeper.0.wait().unwrap().success(), "killed");
        assert!(held.join("h1.1").exists(), "held");
        drop(lock);
        sweep_dead(parent, &cgroup_v1::sweep);
        assert!(!held.exists(), "let go");
    }

    #[test]
    fn all_hosts_together_weigh_more_than_one_program_and_looking_changes_nothing() {
        let settings = CgroupSettings { mode: CgroupMode::Auto, parent: None };
        let weight = |place: &Place| match place {
            Place::V1 { place, .. } => std::fs::read_to_string(place.cpu.as_ref()?.join("cpu.shares")).ok(),
            Place::V2 { place, .. } => std::fs::read_to_string(place.base.join("cpu.weight")).ok(),
            Place::Absent(_) => None,
        };
        let before = weight(&Place::find(&settings, Touch::Look));
        let place = Place::find(&settings, Touch::Prepare);
        let Some(found) = weight(&place) else {
            return println!("SKIP: no cpu cgroup that we may write");
        };
        let expected = if matches!(place, Place::V1 { .. }) { "10240" } else { "1000" };
        assert_eq!(found.trim(), expected);
        assert_eq!(weight(&Place::find(&settings, Touch::Look)), before);
    }

    #[test]
    fn whoever_shares_our_v2_group_is_moved_out_of_the_way() {
        let root = Path::new("/sys/fs/cgroup/unified");
        let own = root.join(format!("ort-test-{}-own", std::process::id()));
        if std::fs::create_dir(&own).is_err() {
            return println!("SKIP: no cgroup v2 that we may write");
        }
        let sleeper = Sleeper::new();
        sleeper.enter(&own);
        let none = Controllers { version: "cgroup v2", memory: false, cpu: false, pids: false };
        let place = prepare_v2(&own, none, false).unwrap();
        let listed = |path: &Path| std::fs::read_to_string(path.join("cgroup.procs")).unwrap();
        let moved = own.join(format!("{}.self", own_name()));
        assert_eq!(listed(&own), "");
        assert_eq!(listed(&moved).trim(), sleeper.0.id().to_string());
        let Place::V2 { place: found, .. } = &place else { panic!("{place:?}") };
        assert_eq!(found.base, own.join(own_name()));
        drop(sleeper);
        drop(place);
        assert!(!moved.exists(), "gone with us");
        std::fs::remove_dir(own).unwrap();
    }
}
