//! What is known of each live host: facts from outside, for snapshots and for its end.
//!
//! Owns: the registry of hosts that exist as processes. Never: decides; policy has its own table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_ipc::{HostId, HostSnapshot, Wall, WallReport, WallState, WallStatus};
use openrtc_policy::{HostPlan, Intent};
use tokio::sync::watch;

use crate::secrets::Fingerprint;
use crate::spawn::{Absence, How};

/// Measured of a host at the last sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Its own memory, whole tree, in bytes.
    pub memory_bytes: u64,
    /// The highest of those.
    pub memory_peak_bytes: u64,
    /// CPU over the last sample, whole tree, in percent of one core.
    pub cpu_pct: f64,
    /// CPU since its start, in microseconds.
    pub cpu_micros: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Round trip of the last ping, in microseconds.
    pub ping_micros: u64,
    /// Lines, events and logs dropped because it exceeded its rate.
    pub dropped: u64,
}

/// One host that exists as a process.
#[derive(Debug)]
pub struct HostRecord {
    /// What it was made for.
    pub plan: HostPlan,
    /// Its pid.
    pub pid: i32,
    /// How it was made.
    pub how: How,
    /// When it was forked, in milliseconds since 1970.
    pub born_at_unix_ms: u64,
    facts: Mutex<Facts>,
    working: watch::Sender<bool>,
}

/// The part of a record that changes.
#[derive(Debug, Default)]
struct Facts {
    walls: Vec<WallStatus>,
    gauges: Gauges,
    snapshot: HostSnapshot,
    intent: Option<Intent>,
    ready_after_ms: Option<u64>,
    why_cold: Option<Absence>,
    memory_bytes_max: Option<u64>,
    keys: Option<Fingerprint>,
    old_keys: bool,
}

impl HostRecord {
    /// A record of a newborn.
    pub fn new(plan: HostPlan, pid: i32, how: How, born_at_unix_ms: u64) -> Self {
        Self { plan, pid, how, born_at_unix_ms, facts: Mutex::default(), working: watch::Sender::new(false) }
    }

    /// Books whether it has a session.
    pub fn set_working(&self, working: bool) {
        self.working.send_if_modified(|current| std::mem::replace(current, working) != working);
    }

    /// Whether it has a session, to wait for changes.
    pub fn working(&self) -> watch::Receiver<bool> {
        self.working.subscribe()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books why it was made cold, where a zygote was asked for.
    pub fn set_why_cold(&self, why: Option<Absence>) {
        self.facts().why_cold = why;
    }

    /// How it was made, for a person: `ahead`, `zygote`, `cold`, `cold (thread 'X')`.
    pub fn spawned_by(&self) -> String {
        match (self.how, self.facts().why_cold.clone()) {
            (How::Cold, Some(why)) => format!("cold ({why})"),
            (how, _) => how.name().to_owned(),
        }
    }

    /// What `require = ["zygote"]` asks about.
    pub fn zygote_wall(&self) -> WallReport {
        let state = match self.how {
            How::Zygote | How::Ahead => WallState::Kernel("forked warm".to_owned()),
            How::Cold => WallState::Absent(self.spawned_by()),
        };
        WallReport { wall: Wall::Zygote, state }
    }

    /// Books the walls that were attested.
    pub fn set_walls(&self, walls: Vec<WallStatus>) {
        self.facts().walls = walls;
    }

    /// The walls that were attested; empty before.
    pub fn walls(&self) -> Vec<WallStatus> {
        self.facts().walls.clone()
    }

    /// Books its memory wall, in bytes.
    pub fn set_memory_bytes_max(&self, bytes: Option<u64>) {
        self.facts().memory_bytes_max = bytes;
    }

    /// Its memory wall, in bytes.
    pub fn memory_bytes_max(&self) -> Option<u64> {
        self.facts().memory_bytes_max
    }

    /// Books which secrets it was given.
    pub fn set_keys(&self, keys: Fingerprint) {
        self.facts().keys = Some(keys);
    }

    /// Which secrets it was given; none before.
    pub fn keys(&self) -> Option<Fingerprint> {
        self.facts().keys
    }

    /// Books whether those are in force no more.
    pub fn set_old_keys(&self, old: bool) {
        self.facts().old_keys = old;
    }

    /// Whether it was given secrets that are in force no more.
    pub fn old_keys(&self) -> bool {
        self.facts().old_keys
    }

    /// Changes the gauges.
    pub fn gauge(&self, change: impl FnOnce(&mut Gauges)) {
        change(&mut self.facts().gauges);
    }

    /// The gauges.
    pub fn gauges(&self) -> Gauges {
        self.facts().gauges
    }

    /// Books what the host says of itself.
    pub fn set_snapshot(&self, snapshot: HostSnapshot) {
        self.facts().snapshot = snapshot;
    }

    /// What the host says of itself.
    pub fn snapshot(&self) -> HostSnapshot {
        self.facts().snapshot.clone()
    }

    /// Books that it became ready, so long after its birth.
    pub fn set_ready(&self, after_ms: u64) {
        self.facts().ready_after_ms = Some(after_ms);
    }

    /// Milliseconds from birth to ready.
    pub fn ready_after_ms(&self) -> Option<u64> {
        self.facts().ready_after_ms
    }

    /// Records why it is about to be signalled. The first reason wins (law 6).
    pub fn intend(&self, intent: Intent) {
        self.facts().intent.get_or_insert(intent);
    }

    /// The recorded reason.
    pub fn intent(&self) -> Option<Intent> {
        self.facts().intent.clone()
    }
}

/// Every host that exists as a process.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    hosts: Arc<Mutex<BTreeMap<HostId, Arc<HostRecord>>>>,
}

impl Registry {
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<HostId, Arc<HostRecord>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a newborn.
    pub fn enter(&self, record: Arc<HostRecord>) {
        self.hosts().insert(record.plan.host, record);
    }

    /// Takes out a host that was reaped.
    pub fn leave(&self, host: HostId) {
        self.hosts().remove(&host);
    }

    /// One host.
    pub fn get(&self, host: HostId) -> Option<Arc<HostRecord>> {
        self.hosts().get(&host).cloned()
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Arc<HostRecord>> {
        self.hosts().values().cloned().collect()
    }
}
