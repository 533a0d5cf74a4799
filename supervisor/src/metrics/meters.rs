//! What hosts have used, summed over hosts that come and go.
//!
//! Owns: the last reading of each live host, and the sums by tenant. Never: takes back what was counted, even where a
//! host's own numbers fall.

use std::collections::BTreeMap;

use openrtc_ipc::{HostId, HostSnapshot};
use prometheus_client::registry::Unit;

use super::table::{Family, Table};
use crate::host::record::Gauges;

#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    cpu_micros: u64,
    dropped: u64,
}

impl Reading {
    /// Adds what has come since to a sum.
    fn advance(&mut self, to: Self, sum: &mut Self) {
        sum.cpu_micros += to.cpu_micros.saturating_sub(self.cpu_micros);
        sum.dropped += to.dropped.saturating_sub(self.dropped);
        self.cpu_micros = self.cpu_micros.max(to.cpu_micros);
        self.dropped = self.dropped.max(to.dropped);
    }
}

/// The meters.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// One entry for each live host; `max_hosts` bounds them.
    live: BTreeMap<HostId, Reading>,
    /// One for each label.
    sums: BTreeMap<String, Reading>,
}

impl Meters {
    /// Reads a live host.
    pub(super) fn read(&mut self, host: HostId, tenant: &str, gauges: Gauges, own: HostSnapshot) {
        let now = Reading { cpu_micros: gauges.cpu_micros, dropped: gauges.dropped.saturating_add(own.events_dropped) };
        let sum = self.sums.entry(tenant.to_owned()).or_default();
        self.live.entry(host).or_default().advance(now, sum);
    }

    /// A host is gone; the rest of its CPU is counted.
    pub(super) fn close(&mut self, host: HostId, tenant: &str, cpu_micros: Option<u64>) {
        let mut last = self.live.remove(&host).unwrap_or_default();
        let end = Reading { cpu_micros: cpu_micros.unwrap_or(last.cpu_micros), dropped: last.dropped };
        last.advance(end, self.sums.entry(tenant.to_owned()).or_default());
    }

    /// The sums.
    pub(super) fn table(&self) -> Table {
        let mut cpu = Family::counter("host_cpu", "CPU that host processes used").in_unit(Unit::Seconds);
        let mut dropped =
            Family::counter("host_events_dropped", "Events and lines of hosts dropped: beyond their rate, or not read");
        for (tenant, sum) in &self.sums {
            cpu.push(&[("tenant", tenant)], sum.cpu_micros as f64 / 1e6);
            dropped.push(&[("tenant", tenant)], sum.dropped as f64);
        }
        Table(vec![cpu, dropped])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId { index: 0, generation: 1 };

    fn used(cpu_micros: u64) -> Gauges {
        Gauges { cpu_micros, ..Gauges::default() }
    }

    #[test]
    fn the_sum_is_that_of_hosts_that_came_and_went() {
        let mut meters = Meters::default();
        meters.read(HOST, "acme", used(100), HostSnapshot::default());
        meters.read(HOST, "acme", used(300), HostSnapshot::default());
        meters.close(HOST, "acme", Some(350));
        let next = HostId { index: 0, generation: 2 };
        meters.read(next, "acme", used(5), HostSnapshot::default());
        // One that was never read while it lived.
        meters.close(HostId { index: 7, generation: 1 }, "acme", Some(40));
        assert_eq!(meters.sums["acme"].cpu_micros, 395);
        assert_eq!(meters.live.len(), 1);
    }

    #[test]
    fn a_number_that_falls_takes_nothing_back() {
        let mut meters = Meters::default();
        meters.read(HOST, "acme", used(300), HostSnapshot::default());
        meters.read(HOST, "acme", used(200), HostSnapshot::default());
        meters.close(HOST, "acme", Some(250));
        assert_eq!(meters.sums["acme"].cpu_micros, 300);
    }
}
