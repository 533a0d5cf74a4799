//! Where hosts' cgroups are made on this machine, or why nowhere.
//!
//! Owns: finding the hierarchies, the names of groups in them, and sweeping those of dead supervisors. Never: touches
//! what a living supervisor holds locked.
//!
//! ```text
//! v2   <own cgroup>/ort-<pid>-<start>         empty: locked while we live
//!      <own cgroup>/ort-<pid>-<start>.self    we, and whoever shared our cgroup (no internal processes, C-15)
//!      <own cgroup>/ort-<pid>-<start>.h3.1    one host generation
//! v1   <own cgroup in each hierarchy>/ort-<pid>-<start>, and .h3.1 beside it
//! ```
//!
//! Hosts lie beside each other and beside the machine's other programs, not in a group of their own: a group is
//! scheduled as one, so that none would have a share that is its own (docs/decisions/0026-flat-cgroups.md).

use std::collections::BTreeSet;
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

/// One of our directories, locked while we live, and removed with us unless we are in it ourselves.
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
        // Ours while we are in it; the next start sweeps it.
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

/// A name nobody else in this process has in any of these: tests make more than one.
fn free_name<'a>(parents: impl IntoIterator<Item = &'a PathBuf> + Clone) -> String {
    let name = own_name();
    (0_u32..)
        .map(|nth| if nth == 0 { name.clone() } else { format!("{name}-{nth}") })
        .find(|name| !parents.clone().into_iter().any(|parent| parent.join(name).exists()))
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
    // Controllers that share a hierarchy share a directory.
    let distinct: BTreeSet<&PathBuf> = parents.iter().flatten().collect();
    let owner = free_name(distinct.iter().copied());
    let mut held = Vec::new();
    if touch == Touch::Prepare {
        for parent in distinct {
            sweep_dead(parent, &cgroup_v1::sweep);
            let made = Held::make(parent.join(&owner));
            held.push(made.map_err(|error| format!("cgroup v1: {error}: {}", error.source))?);
        }
    }
    let [memory, cpu, cpuacct, pids] = parents;
    Ok(Place::V1 { place: PlaceV1 { owner, memory, cpu, cpuacct, pids }, _held: held })
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
        let place = PlaceV2 { parent: own.clone(), owner: own_name(), controllers };
        return Ok(Place::V2 { place, _held: Vec::new() });
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
    let owner = free_name([&parent.0]);
    let mut held = vec![Held::make(own.join(&owner))?];
    // The root of the hierarchy has no `cgroup.type` and may hold processes beside groups.
    let occupied = own.join("cgroup.type").exists() && !parent.read("cgroup.procs")?.trim().is_empty();
    if occupied && !named {
        let moved = Held::make(own.join(format!("{owner}.self")))?;
        move_all(&parent, &moved.path)?;
        held.push(moved);
    }
    if let Err(error) = parent.write("cgroup.subtree_control", &enabling(controllers)) {
        if let Some(moved) = held.get(1) {
            // Back to where we were; if even that fails, the first error says more.
            let _ = move_all(&Directory(moved.path.clone()), own);
        }
        return Err(error);
    }
    Ok(Place::V2 { place: PlaceV2 { parent: parent.0, owner, controllers }, _held: held })
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
        let (name, path) = (entry.file_name(), entry.path());
        let Some(left) = name.to_str().and_then(Left::of) else { continue };
        if proc::key(left.owner.pid).is_ok_and(|found| found == left.owner) {
            continue;
        }
        let _lock = match lock(&parent.join(left.locked)) {
            Ok(held) => Some(held),
            // Its supervisor ended before the last of its hosts.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => continue,
        };
        if !left.host {
            // A `.self` group may hold the shell that was moved with the dead one; that one is left alone.
            let _ = std::fs::remove_dir(&path);
        } else if let Err(error) = sweep(&path) {
            tracing::warn!(path = %path.display(), %error, "a dead supervisor's cgroup stays");
        }
    }
}

/// What a directory's name says of it.
#[derive(Debug, PartialEq, Eq)]
struct Left<'a> {
    /// Whose it is.
    owner: proc::ProcessKey,
    /// The directory that its owner holds locked.
    locked: &'a str,
    /// Whether it is a host's group.
    host: bool,
}

impl<'a> Left<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let (locked, kind) = name.split_once('.').unwrap_or((name, "self"));
        let mut parts = locked.strip_prefix("ort-")?.split('-');
        let owner = proc::ProcessKey { pid: parts.next()?.parse().ok()?, start_ticks: parts.next()?.parse().ok()? };
        Some(Self { owner, locked, host: kind != "self" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_name_tells_its_owner_and_no_other_name_does() {
        let owner = proc::ProcessKey { pid: 12, start_ticks: 345 };
        assert_eq!(Left::of("ort-12-345"), Some(Left { owner, locked: "ort-12-345", host: false }));
        assert_eq!(Left::of("ort-12-345.self"), Some(Left { owner, locked: "ort-12-345", host: false }));
        assert_eq!(Left::of("ort-12-345-1"), Some(Left { owner, locked: "ort-12-345-1", host: false }));
        assert_eq!(Left::of("ort-12-345-1.h3.1"), Some(Left { owner, locked: "ort-12-345-1", host: true }));
        for other in ["memory.max", "ort-acme", "ort-acme.h1.1", "user.slice"] {
            assert_eq!(Left::of(other), None);
        }
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
        let (dead, held, orphan) = (parent.join(name(1)), parent.join(name(2)), parent.join(name(3)));
        let host = |owner: &Path| owner.with_extension("h1.1");
        for made in [&dead, &held, &host(&dead), &host(&held), &host(&orphan)] {
            std::fs::create_dir(made).unwrap();
        }
        sleeper.enter(&host(&dead));
        let lock = lock(&held).unwrap();
        sweep_dead(parent, &cgroup_v1::sweep);
        assert!(!dead.exists() && !host(&dead).exists() && !host(&orphan).exists(), "swept");
        assert!(!sleeper.0.wait().unwrap().success(), "killed");
        assert!(held.exists() && host(&held).exists(), "held");
        drop(lock);
        sweep_dead(parent, &cgroup_v1::sweep);
        assert!(!held.exists() && !host(&held).exists(), "let go");
    }

    #[test]
    fn a_host_has_its_own_share_beside_the_machines_programs_and_looking_changes_nothing() {
        let settings = CgroupSettings { mode: CgroupMode::Auto, parent: None };
        let parts = |place: Place| match place {
            Place::V1 { place, _held } => Some((place.cpu?, place.owner, _held)),
            Place::V2 { place, _held } => place.controllers.cpu.then_some((place.parent, place.owner, _held)),
            Place::Absent(_) => None,
        };
        let Some((_, _, held)) = parts(Place::find(&settings, Touch::Look)) else {
            return println!("SKIP: no cpu cgroup that we may write");
        };
        assert!(held.is_empty(), "looking changes nothing");
        let place = Place::find(&settings, Touch::Prepare);
        let host = HostId { index: 1, generation: 1 };
        let group = place.create(host).unwrap().unwrap();
        let (parent, owner, held) = parts(place).unwrap();
        let beside = parent.join(format!("{owner}.{host}"));
        assert!(parent.join(&owner).exists() && beside.exists());
        group.remove().unwrap();
        drop(held);
        assert!(!parent.join(&owner).exists() && !beside.exists(), "gone with us");
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
        assert_eq!((&found.parent, &found.owner), (&own, &own_name()));
        drop(sleeper);
        drop(place);
        assert!(!moved.exists(), "gone with us");
        std::fs::remove_dir(own).unwrap();
    }
}
