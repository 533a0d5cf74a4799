//! `[wall]`, `[runtimes.X.wall]` and `[tenants.X.wall]`: one layer over the other (decision W10).
//!
//! Owns: the keys of a wall, their ranges, and how layers merge. Never: raises one.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use openrtc_ipc::{CpuMax, DataMax, RunAs, Wall, WallSpec};

use super::section::{Auto, Limit, Section, Spot};
use super::shape::Shape;
use super::tree::Value;

const MIB: u64 = 1 << 20;
/// A year at most.
const CPU_SECONDS: RangeInclusive<u64> = 1..=31_536_000;
const PIDS: RangeInclusive<u64> = 4..=4_194_304;
const OPEN_FILES: RangeInclusive<u64> = 16..=1_048_576;
/// Processes and threads of a host, where nothing else is written.
const PIDS_MAX: u64 = 512;
/// Open descriptors of a host, where nothing else is written.
const OPEN_FILES_MAX: u64 = 1024;

/// Where the warning mark of memory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WarnAt {
    Percent(u64),
    Mib(u64),
    Off,
}

/// What was written in one layer. `None`: the layer below decides.
#[derive(Debug, Clone, Default)]
pub(super) struct WallLayer {
    pub(super) memory_max_mb: Option<Limit>,
    pub(super) memory_warn: Option<WarnAt>,
    pub(super) memory_sample_ms: Option<u64>,
    pub(super) data_max_mb: Option<Auto>,
    pub(super) address_space_max_mb: Option<Limit>,
    pub(super) cpu_max_pct: Option<Auto>,
    pub(super) cpu_weight: Option<u64>,
    pub(super) cpu_seconds_max: Option<Spot<Limit>>,
    pub(super) pids_max: Option<Limit>,
    pub(super) open_files_max: Option<Limit>,
    pub(super) file_size_max_mb: Option<Limit>,
    pub(super) core_dump: Option<bool>,
    pub(super) session_seconds_max: Option<Limit>,
    pub(super) run_as: Option<RunAs>,
    pub(super) read_paths: Vec<PathBuf>,
    pub(super) write_paths: Vec<PathBuf>,
    pub(super) connect_ports: Option<Option<Vec<u16>>>,
    pub(super) unix_sockets: Option<bool>,
    pub(super) require: Vec<Wall>,
    pub(super) oom_score_adj: Option<u64>,
}

/// Walls that `require` may name.
const WALLS: [Wall; 14] = [
    Wall::Memory,
    Wall::Cpu,
    Wall::Pids,
    Wall::Rlimits,
    Wall::Uid,
    Wall::Capabilities,
    Wall::NoNewPrivs,
    Wall::Dumpable,
    Wall::Landlock,
    Wall::Scope,
    Wall::Seccomp,
    Wall::ParentDeath,
    Wall::Zygote,
    Wall::Network,
];

impl WallLayer {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            memory_max_mb: section.limit_or_zero("memory_max_mb", 16..=16_777_216),
            memory_warn: memory_warn(section),
            memory_sample_ms: section.whole("memory_sample_ms", 10..=60_000),
            data_max_mb: section.auto("data_max_mb", 16..=16_777_216),
            address_space_max_mb: section.limit("address_space_max_mb", 64..=268_435_456),
            cpu_max_pct: section.auto("cpu_max_pct", 1..=102_400),
            cpu_weight: section.whole("cpu_weight", 1..=10_000),
            cpu_seconds_max: cpu_seconds(section),
            pids_max: section.limit("pids_max", PIDS),
            open_files_max: section.limit("open_files_max", OPEN_FILES),
            file_size_max_mb: section.limit("file_size_max_mb", 1..=16_777_216),
            core_dump: section.flag("core_dump"),
            session_seconds_max: section.limit("session_seconds_max", 1..=604_800),
            run_as: run_as(section),
            read_paths: section.paths("read_paths").unwrap_or_default(),
            write_paths: section.paths("write_paths").unwrap_or_default(),
            connect_ports: connect_ports(section),
            unix_sockets: section.flag("unix_sockets"),
            require: require(section),
            oom_score_adj: section.whole("oom_score_adj", 0..=1_000),
        }
    }

    /// This layer over the one below. Numbers replace; grants and requirements add up.
    pub(super) fn over(&self, below: &Self) -> Self {
        Self {
            memory_max_mb: self.memory_max_mb.or(below.memory_max_mb),
            memory_warn: self.memory_warn.or(below.memory_warn),
            memory_sample_ms: self.memory_sample_ms.or(below.memory_sample_ms),
            data_max_mb: self.data_max_mb.or(below.data_max_mb),
            address_space_max_mb: self.address_space_max_mb.or(below.address_space_max_mb),
            cpu_max_pct: self.cpu_max_pct.or(below.cpu_max_pct),
            cpu_weight: self.cpu_weight.or(below.cpu_weight),
            cpu_seconds_max: self.cpu_seconds_max.clone().or_else(|| below.cpu_seconds_max.clone()),
            pids_max: self.pids_max.or(below.pids_max),
            open_files_max: self.open_files_max.or(below.open_files_max),
            file_size_max_mb: self.file_size_max_mb.or(below.file_size_max_mb),
            core_dump: self.core_dump.or(below.core_dump),
            session_seconds_max: self.session_seconds_max.or(below.session_seconds_max),
            run_as: self.run_as.or(below.run_as),
            read_paths: joined(&below.read_paths, &self.read_paths),
            write_paths: joined(&below.write_paths, &self.write_paths),
            connect_ports: self.connect_ports.clone().or_else(|| below.connect_ports.clone()),
            unix_sockets: self.unix_sockets.or(below.unix_sockets),
            require: joined(&below.require, &self.require),
            oom_score_adj: self.oom_score_adj.or(below.oom_score_adj),
        }
    }

    /// What no layer says of processes and descriptors, for hosts that need so many for each of their sessions.
    pub(super) fn with_room_for(&mut self, sessions: u64, pids: u64, open_files: u64, below: &Self) {
        let at = |own: u64, each: u64, range: RangeInclusive<u64>| {
            Limit::At(own.saturating_add(sessions.saturating_mul(each)).min(*range.end()))
        };
        if below.pids_max.is_none() {
            self.pids_max.get_or_insert(at(PIDS_MAX, pids, PIDS));
        }
        if below.open_files_max.is_none() {
            self.open_files_max.get_or_insert(at(OPEN_FILES_MAX, open_files, OPEN_FILES));
        }
    }

    /// The walls asked for, with the defaults of W10 below all layers.
    pub(super) fn spec(&self) -> WallSpec {
        let memory_mb = self.memory_max_mb.unwrap_or(Limit::At(1024)).number();
        WallSpec {
            memory_bytes_max: memory_mb.map(|mb| mb * MIB),
            memory_warn_pct: self.warn_pct(memory_mb),
            sample_ms: self.memory_sample_ms.unwrap_or(250),
            data_max: match self.data_max_mb.unwrap_or(Auto::Auto) {
                Auto::Auto => DataMax::Auto,
                Auto::Limit(Limit::Off) => DataMax::Off,
                Auto::Limit(Limit::At(mb)) => DataMax::Bytes(mb * MIB),
            },
            address_space_bytes_max: self.address_space_max_mb.and_then(Limit::number).map(|mb| mb * MIB),
            cpu_max: match self.cpu_max_pct.unwrap_or(Auto::Auto) {
                Auto::Auto => CpuMax::Auto,
                Auto::Limit(Limit::Off) => CpuMax::Off,
                Auto::Limit(Limit::At(percent)) => CpuMax::Percent(percent as u32),
            },
            cpu_weight: self.cpu_weight.unwrap_or(100) as u32,
            cpu_seconds_max: self.cpu_seconds(),
            pids_max: self.pids_max.unwrap_or(Limit::At(PIDS_MAX)).number().map(|pids| pids as u32),
            open_files_max: self.open_files_max.unwrap_or(Limit::At(OPEN_FILES_MAX)).number(),
            file_size_bytes_max: self.file_size_max_mb.and_then(Limit::number).map(|mb| mb * MIB),
            core_dump: self.core_dump.unwrap_or(false),
            session_ms_max: self.session_ms_max(),
            run_as: self.run_as.unwrap_or(RunAs::Auto),
            read_paths: self.read_paths.clone(),
            write_paths: self.write_paths.clone(),
            connect_ports: self.connect_ports.clone().flatten(),
            unix_sockets: self.unix_sockets.unwrap_or(false),
            require: self.require.clone(),
            oom_score_adj: self.oom_score_adj.unwrap_or(500) as i32,
        }
    }

    /// Longest session, in milliseconds.
    pub(super) fn session_ms_max(&self) -> Option<u64> {
        self.session_seconds_max.and_then(Limit::number).map(|seconds| seconds * 1000)
    }

    /// `RLIMIT_CPU`, in seconds.
    pub(super) fn cpu_seconds(&self) -> Option<u64> {
        self.cpu_seconds_max.as_ref().and_then(|spot| spot.value.number())
    }

    /// Whether the warning mark, given in MiB, lies above the wall.
    pub(super) fn warns_above_the_wall(&self) -> bool {
        let memory = self.memory_max_mb.unwrap_or(Limit::At(1024)).number();
        matches!((self.memory_warn, memory), (Some(WarnAt::Mib(warn)), Some(max)) if warn > max)
    }

    fn warn_pct(&self, memory_mb: Option<u64>) -> u32 {
        match (self.memory_warn.unwrap_or(WarnAt::Percent(80)), memory_mb) {
            (WarnAt::Percent(percent), _) => percent as u32,
            (WarnAt::Mib(warn), Some(max)) => (warn * 100 / max.max(1)).clamp(1, 100) as u32,
            (WarnAt::Mib(_), None) | (WarnAt::Off, _) => 100,
        }
    }

    /// Names of the walls of W10 that this layer turns off.
    pub(super) fn turned_off(&self) -> Vec<&'static str> {
        let limits = [
            ("MEMORY", self.memory_max_mb == Some(Limit::Off)),
            ("CPU", self.cpu_max_pct == Some(Auto::Limit(Limit::Off))),
            ("PROCESS", self.pids_max == Some(Limit::Off)),
            ("OPEN FILES", self.open_files_max == Some(Limit::Off)),
        ];
        limits.into_iter().filter(|(_, off)| *off).map(|(wall, _)| wall).collect()
    }
}

fn joined<T: Clone + PartialEq>(below: &[T], here: &[T]) -> Vec<T> {
    let mut all = below.to_vec();
    all.extend(here.iter().filter(|item| !below.contains(item)).cloned());
    all
}

fn memory_warn(section: &mut Section<'_>) -> Option<WarnAt> {
    let percent = section.limit("memory_warn_pct", 1..=100);
    let mib = section.limit_or_zero("memory_warn_mb", 1..=16_777_216);
    match (percent, mib) {
        (Some(_), Some(_)) => {
            let (origin, path) = (section.origin.clone(), format!("{}.memory_warn_mb", section.path()));
            section.faults.add(&origin, &path, None, "stands beside memory_warn_pct", "keep one of the two");
            None
        }
        (Some(Limit::At(percent)), None) => Some(WarnAt::Percent(percent)),
        (None, Some(Limit::At(mib))) => Some(WarnAt::Mib(mib)),
        (Some(Limit::Off), None) | (None, Some(Limit::Off)) => Some(WarnAt::Off),
        (None, None) => None,
    }
}

fn cpu_seconds(section: &mut Section<'_>) -> Option<Spot<Limit>> {
    let spot = section.node("cpu_seconds_max", || Shape::Limit(CPU_SECONDS))?;
    let value = section.limit_of(&spot, &CPU_SECONDS)?;
    Some(Spot { value, key: spot.key, origin: spot.origin })
}

fn run_as(section: &mut Section<'_>) -> Option<RunAs> {
    let spot = section.text_of("run_as", || Shape::Pattern("^(auto|same|0*[1-9][0-9]*:0*[1-9][0-9]*)$"))?;
    let fixed = |text: &str| {
        let (uid, gid) = text.split_once(':')?;
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (uid > 0 && gid > 0 && uid < u32::MAX && gid < u32::MAX).then_some(RunAs::Fixed { uid, gid })
    };
    let run_as = match spot.value.as_str() {
        "auto" => Some(RunAs::Auto),
        "same" => Some(RunAs::Same),
        other => fixed(other),
    };
    if run_as.is_none() {
        let remedy = "use \"auto\", \"same\" or \"UID:GID\" in numbers, neither of them 0";
        section.faults.add(&spot.origin, &spot.key, Some(format!("{:?}", spot.value)), "is no identity", remedy);
    }
    run_as
}

fn connect_ports(section: &mut Section<'_>) -> Option<Option<Vec<u16>>> {
    let spot = section.node("connect_ports", || Shape::Ports)?;
    let ports = match &spot.value {
        Value::Text(text) if text == "any" => return Some(None),
        Value::List(items) => items
            .iter()
            .map(|item| match item.value {
                Value::Whole(port) => u16::try_from(port).ok().filter(|port| *port > 0),
                _ => None,
            })
            .collect::<Option<Vec<u16>>>(),
        _ => None,
    };
    if ports.is_none() {
        let remedy = "write \"any\", or a list of TCP ports from 1 to 65535";
        section.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), "is no list of ports", remedy);
    }
    ports.map(Some)
}

fn require(section: &mut Section<'_>) -> Vec<Wall> {
    let Some(list) =
        section.texts_of("require", || Shape::Words(WALLS.iter().map(|wall| wall.name()).collect(), false))
    else {
        return Vec::new();
    };
    let mut walls = Vec::new();
    for item in list.value {
        match WALLS.iter().find(|wall| wall.name() == item.value) {
            Some(wall) => walls.push(*wall),
            None => {
                let remedy = super::suggest::among(&item.value, WALLS.iter().map(|wall| wall.name()), "wall");
                section.faults.add(&item.origin, &item.key, Some(format!("{:?}", item.value)), "is no wall", remedy);
            }
        }
    }
    walls
}
