//! The machine's own vitals, for the header of `top` (semantics E8).
//!
//! Owns: one sample a second and the last sixty of its CPU. Never: measures a host; that is done from its walls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openrtc_control_api::{ResidentSet, System};
use sysinfo::{MemoryRefreshKind, Networks};

const PERIOD: Duration = Duration::from_secs(1);
const HISTORY: usize = 60;

#[derive(Debug, Default)]
struct Sampled {
    system: System,
    cpu_history: VecDeque<f64>,
}

/// The last samples. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    sampled: Arc<Mutex<Sampled>>,
}

impl Machine {
    fn sampled(&self) -> MutexGuard<'_, Sampled> {
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last sample, and the CPU of those before it, oldest first.
    pub(super) fn read(&self) -> (System, Vec<f64>) {
        let sampled = self.sampled();
        (sampled.system, sampled.cpu_history.iter().copied().collect())
    }

    /// Samples for ever, once a second. On a system that does not tell, the header stays empty.
    pub(super) async fn sample(&self) {
        let mut system = match sysinfo::System::new() {
            Ok(system) => system,
            Err(error) => {
                tracing::warn!(%error, "the machine's vitals cannot be read");
                return std::future::pending().await;
            }
        };
        let mut networks = Networks::new_with_refreshed_list().ok();
        let mut last = Instant::now();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::everything());
            let seconds = last.elapsed().as_secs_f64();
            last = Instant::now();
            self.book(vitals(&system, networks.as_mut(), seconds));
        }
    }

    fn book(&self, system: System) {
        let mut sampled = self.sampled();
        sampled.system = system;
        if sampled.cpu_history.len() == HISTORY {
            sampled.cpu_history.pop_front();
        }
        sampled.cpu_history.extend(system.cpu_pct);
    }
}

fn vitals(system: &sysinfo::System, networks: Option<&mut Networks>, seconds: f64) -> System {
    let load = sysinfo::System::load_average().ok();
    let bytes = networks.map(|networks| {
        networks.refresh(true);
        networks.values().map(|network| network.received() + network.transmitted()).sum::<u64>()
    });
    System {
        available: true,
        cpu_pct: Some(rounded(f64::from(system.global_cpu_usage()))),
        vcpus: Some(system.cpus().len() as u32),
        mem_used_bytes: Some(system.used_memory()),
        mem_total_bytes: Some(system.total_memory()),
        swap_used_bytes: Some(system.used_swap()),
        swap_total_bytes: Some(system.total_swap()),
        load1: load.as_ref().map(|load| load.one),
        load5: load.as_ref().map(|load| load.five),
        load15: load.as_ref().map(|load| load.fifteen),
        // The first period is too short for a rate.
        net_rate_bps: bytes.filter(|_| seconds > 0.5).map(|bytes| rounded(bytes as f64 / seconds)),
    }
}

/// One digit after the point, as OpenRTC gives.
pub(super) fn rounded(value: f64) -> f64 {
    // The sum of nothing is -0.0.
    (value * 10.0).round() / 10.0 + 0.0
}

/// Memory of this process.
pub(super) fn resident_set() -> ResidentSet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    ResidentSet {
        bytes: kib.map(|kib: u64| kib * 1024),
        metric: "linux_vm_rss".to_owned(),
        description: "The supervisor's own resident set, VmRSS of /proc/self/status, in bytes.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_keeps_the_last_sixty() {
        let machine = Machine::default();
        for cpu in 0..100 {
            machine.book(System { cpu_pct: Some(f64::from(cpu)), ..System::default() });
        }
        let (system, history) = machine.read();
        assert_eq!(system.cpu_pct, Some(99.0));
        assert_eq!((history.len(), history[0], history[59]), (60, 40.0, 99.0));
    }

    #[test]
    fn our_own_memory_can_be_read() {
        assert!(resident_set().bytes.is_some_and(|bytes| bytes > 100 * 1024));
    }
}
