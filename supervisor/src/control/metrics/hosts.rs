//! What `/metrics` tells of hosts: how many there are, their walls, what they use.
//!
//! Owns: these families. Never: a series of one host; hosts come and go, tenants stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use openrtc_ipc::WallState;
use prometheus_client::registry::Unit;

use super::sums::{Sums, zeros};
use crate::control::view::PolicyView;
use crate::host::{HostRecord, Registry};
use crate::metrics::Metrics;
use crate::metrics::table::Family;

/// All of them.
pub(super) fn hosts(view: &PolicyView, registry: &Registry, metrics: &Metrics) -> Vec<Family> {
    let records = registry.all();
    let mut families = vec![counts(view, &records), walls(&records)];
    families.extend(uses(view, &records, metrics));
    families
}

type Records = [Arc<HostRecord>];

/// By state and by how they were made.
fn counts(view: &PolicyView, records: &Records) -> Family {
    let made: BTreeMap<_, _> = records.iter().map(|record| (record.plan.host, record.how.name())).collect();
    let mut counts = BTreeMap::<(&str, &str), f64>::new();
    for host in &view.hosts {
        // One that waits for its process was not made in any way yet.
        let spawn = made.get(&host.plan.host).copied().unwrap_or_default();
        *counts.entry((host.state, spawn)).or_default() += 1.0;
    }
    let mut family = Family::gauge("hosts", "Host processes, and hosts that wait to become one");
    for ((state, spawn), count) in &counts {
        family.push(&[("state", state), ("spawn", spawn)], *count);
    }
    if counts.is_empty() {
        family.push(&[("state", "ready"), ("spawn", "")], 0.0);
    }
    family
}

/// By wall and how it stands.
fn walls(records: &Records) -> Family {
    let mut counts = BTreeMap::<(&str, &str), f64>::new();
    for status in records.iter().flat_map(|record| record.walls()) {
        let state = match status.state {
            WallState::Kernel(_) => "kernel",
            WallState::Sampled(_) => "sampled",
            WallState::Absent(_) => "absent",
        };
        *counts.entry((status.wall.name(), state)).or_default() += 1.0;
    }
    let mut family = Family::gauge("host_walls", "Hosts by the state of each of their walls, as attested");
    for ((wall, state), count) in &counts {
        family.push(&[("wall", wall), ("state", state)], *count);
    }
    family
}

/// What a tenant's hosts use together, and the worst of what is no sum.
fn uses(view: &PolicyView, records: &Records, metrics: &Metrics) -> [Family; 5] {
    let none = || zeros(view, |tenant| metrics.label(tenant));
    let (mut memory, mut processes) = (none(), none());
    let (mut most, mut lag, mut ping) = (Sums::new(), Sums::new(), Sums::new());
    for record in records {
        let (label, gauges) = (metrics.label(&record.plan.tenant), record.gauges());
        memory.add(&label, gauges.memory_bytes as f64);
        processes.add(&label, f64::from(gauges.processes));
        record.memory_bytes_max().iter().for_each(|bytes| most.add(&label, *bytes as f64));
        lag.raise(&label, record.snapshot().loop_lag_micros as f64 / 1e6);
        ping.raise(&label, gauges.ping_micros as f64 / 1e6);
    }
    let bytes = |name, help| Family::gauge(name, help).in_unit(Unit::Bytes);
    let seconds = |name, help| Family::gauge(name, help).in_unit(Unit::Seconds);
    [
        memory.into(bytes("host_memory", "Memory of a tenant's hosts, whole trees"), "tenant"),
        most.into(bytes("host_memory_max", "Memory walls of a tenant's hosts together"), "tenant"),
        processes.into(Family::gauge("host_processes", "Processes and threads of a tenant's hosts"), "tenant"),
        lag.into(seconds("host_loop_lag", "Event loop lag of a tenant's slowest host, as it says"), "tenant"),
        ping.into(seconds("host_ping", "Round trip to a tenant's slowest host"), "tenant"),
    ]
}
