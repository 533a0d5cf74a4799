//! The keys of `[wall]` that hold for all hosts alike, and `[wall.cgroup]`.
//!
//! Owns: liveness, the range of uids, and cgroups. Never: differs between tenants.

use super::section::Section;
use super::shape::Shape;
use super::tree::Value;
use super::wall::{CgroupMode, CgroupSettings, UidSettings};

/// How a host is known to live (semantics K5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// Milliseconds between pings.
    pub heartbeat_interval_ms: u64,
    /// Milliseconds of event-loop delay from which a session counts as slow.
    pub slow_session_threshold_ms: u64,
}

/// What was written.
pub(super) struct HostsFile {
    heartbeat_interval_ms: Option<u64>,
    pub(super) unresponsive_warn_ms: Option<u64>,
    pub(super) unresponsive_kill_ms: Option<u64>,
    slow_session_threshold_ms: Option<u64>,
    uids: Option<UidSettings>,
    cgroup: CgroupSettings,
}

impl HostsFile {
    pub(super) fn read(wall: &mut Section<'_>) -> Self {
        let file = Self {
            heartbeat_interval_ms: wall.seconds("heartbeat_interval_s", 50..=60_000),
            unresponsive_warn_ms: wall.whole("unresponsive_warn_ms", 10..=600_000),
            unresponsive_kill_ms: wall.seconds("unresponsive_kill_s", 100..=3_600_000),
            slow_session_threshold_ms: wall.whole("slow_session_threshold_ms", 1..=60_000),
            uids: uid_range(wall),
            cgroup: wall.table("cgroup", cgroup),
        };
        if file.unresponsive_kill_ms() <= file.unresponsive_warn_ms() {
            let problem = format!("is not above unresponsive_warn_ms = {}", file.unresponsive_warn_ms());
            let value = Some(format!("{}", file.unresponsive_kill_ms() as f64 / 1000.0));
            let origin = wall.origin.clone();
            wall.faults.add(&origin, "wall.unresponsive_kill_s", value, problem, "warn first, kill later");
        }
        file
    }

    pub(super) fn liveness(&self) -> Liveness {
        Liveness {
            heartbeat_interval_ms: self.heartbeat_interval_ms.unwrap_or(2_500),
            slow_session_threshold_ms: self.slow_session_threshold_ms.unwrap_or(50),
        }
    }

    pub(super) fn unresponsive_warn_ms(&self) -> u64 {
        self.unresponsive_warn_ms.unwrap_or(500)
    }

    pub(super) fn unresponsive_kill_ms(&self) -> u64 {
        self.unresponsive_kill_ms.unwrap_or(15_000)
    }

    pub(super) fn uids(&self) -> UidSettings {
        self.uids.unwrap_or_default()
    }

    pub(super) fn cgroup(&self) -> CgroupSettings {
        self.cgroup.clone()
    }
}

fn uid_range(wall: &mut Section<'_>) -> Option<UidSettings> {
    let spot = wall.node("uid_range", || Shape::Uids)?;
    let uid = |value: &Value| match value {
        Value::Whole(uid) => u32::try_from(*uid).ok().filter(|uid| (1_000..u32::MAX - 1).contains(uid)),
        _ => None,
    };
    let range = match &spot.value {
        Value::List(items) => match items.as_slice() {
            [first, last] => uid(&first.value).zip(uid(&last.value)).filter(|(first, last)| first <= last),
            _ => None,
        },
        _ => None,
    };
    if range.is_none() {
        let remedy = "write [FIRST, LAST], both from 1000 to 4294967293, as in [200000, 265535]";
        wall.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), "is no range of user ids", remedy);
    }
    range.map(|(first, last)| UidSettings { first, last })
}

fn cgroup(section: &mut Section<'_>) -> CgroupSettings {
    let modes = [("auto", CgroupMode::Auto), ("off", CgroupMode::Off), ("require", CgroupMode::Require)];
    let mode = section.choice("mode", &modes).unwrap_or(CgroupMode::Auto);
    // A place in the cgroup hierarchy, not in the file's directory.
    let parent = section.text_or_none("parent");
    if let Some(spot) = parent.as_ref().filter(|spot| spot.value.split('/').any(|part| part == "..")) {
        let value = Some(format!("{:?}", spot.value));
        section.faults.add(&spot.origin, &spot.key, value, "leaves the cgroup hierarchy", "write it without ..");
    }
    CgroupSettings { mode, parent: parent.map(|spot| spot.value.into()) }
}
