//! Measuring one host from outside, again and again.
//!
//! Owns: the rhythm, the gauges, and saying what a measurement means for the host. Never: reads `/proc` on a thread
//! that serves others.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openrtc_policy::{HostEvent, Intent};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::task::HostTask;
use crate::wall::{Raised, Sample};

/// Between two samples of a host that has no session and whose walls the kernel holds: the gauges of a host that does
/// nothing need not be fresh. With a session the full rhythm returns at once, because on cgroup v1 only a look tells
/// that the kernel killed a part of a host (decision W8).
const REST_PERIOD: Duration = Duration::from_secs(5);

/// What a measurement asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Policy should hear of it.
    Tell(HostEvent),
    /// The wall was crossed.
    Kill(Intent),
}

/// Whether the kernel's killer took a member of the host's cgroup; then the rest of it has to go (decision W8).
///
/// Where the kernel kills one program and not the group, the host lives on and reports a session that failed by a
/// signal: it would be blamed on the program, if nobody looked.
pub async fn killed_by_kernel(task: &HostTask) -> Option<Intent> {
    let wall = Arc::clone(&task.wall);
    let looked = tokio::task::spawn_blocking(move || {
        wall.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Raised::counters)
    });
    let counters = looked.await.ok().flatten().filter(|counters| counters.oom_kills > 0)?;
    let limit_bytes = task.spec.memory_bytes_max.unwrap_or(u64::MAX);
    let observed_bytes = counters.memory_peak_bytes.unwrap_or(limit_bytes);
    Some(Intent::Memory { observed_bytes, limit_bytes, by_kernel: true })
}

/// The sampler of one host.
pub struct Sampling {
    task: HostTask,
    next: Instant,
    working: watch::Receiver<bool>,
    guarded: bool,
    last: Option<(Instant, u64)>,
    near: bool,
}

impl Sampling {
    /// A sampler that begins after one period.
    pub fn new(task: HostTask) -> Self {
        let next = Instant::now() + Duration::from_millis(task.spec.sample_ms);
        Self { working: task.record.working(), task, next, guarded: false, last: None, near: false }
    }

    /// Waits for the next sample and takes it.
    ///
    /// Cancel safe: a sample under way finishes on the pool and the next one comes a period later.
    pub async fn next(&mut self) -> Verdict {
        let period = Duration::from_millis(self.task.spec.sample_ms);
        let changed = tokio::time::timeout_at(self.next, self.working.changed()).await.is_ok();
        if changed {
            // One sample soon, whichever way it changed: the last words of a session are the gauges for a while.
            self.next = self.next.min(Instant::now() + period);
            sleep_until(self.next).await;
        }
        let resting = self.guarded && !*self.working.borrow_and_update();
        self.next = Instant::now() + if resting { period.max(REST_PERIOD) } else { period };
        let wall = Arc::clone(&self.task.wall);
        let sampled = tokio::task::spawn_blocking(move || {
            wall.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
                .map(|raised| (raised.sample(), raised.oom_kills(), raised.is_guarded()))
        });
        match sampled.await {
            Ok(Some((sample, oom_kills, guarded))) => {
                self.guarded = guarded;
                self.judge(&sample, oom_kills)
            }
            // Not raised yet, or gone already.
            Ok(None) | Err(_) => Verdict::Fine,
        }
    }

    /// `oom_kills` counts from birth, so that a kill is seen though the sample that met it first was abandoned.
    fn judge(&mut self, sample: &Sample, oom_kills: u64) -> Verdict {
        self.gauge(sample);
        let limit_bytes = self.task.spec.memory_bytes_max.unwrap_or(u64::MAX);
        if oom_kills > 0 {
            let observed_bytes = sample.memory_peak_bytes;
            return Verdict::Kill(Intent::Memory { observed_bytes, limit_bytes, by_kernel: true });
        }
        if sample.over_memory {
            let observed_bytes = sample.memory_bytes;
            return Verdict::Kill(Intent::Memory { observed_bytes, limit_bytes, by_kernel: false });
        }
        if sample.over_pids {
            let limit = self.task.spec.pids_max.unwrap_or(u32::MAX);
            return Verdict::Kill(Intent::Pids { observed: sample.processes, limit });
        }
        match (sample.near_memory, std::mem::replace(&mut self.near, sample.near_memory)) {
            (true, false) => Verdict::Tell(HostEvent::NearWall { observed_bytes: sample.memory_bytes }),
            (false, true) => Verdict::Tell(HostEvent::OffWall),
            (true, true) | (false, false) => Verdict::Fine,
        }
    }

    fn gauge(&mut self, sample: &Sample) {
        let now = Instant::now();
        let cpu_pct = self.last.map(|(then, micros)| {
            let wall_micros = (now - then).as_micros().max(1) as f64;
            sample.cpu_micros.saturating_sub(micros) as f64 * 100.0 / wall_micros
        });
        self.last = Some((now, sample.cpu_micros));
        self.task.record.gauge(|gauges| {
            gauges.memory_bytes = sample.memory_bytes;
            gauges.memory_peak_bytes = sample.memory_peak_bytes;
            gauges.cpu_micros = sample.cpu_micros;
            gauges.processes = sample.processes;
            gauges.cpu_pct = cpu_pct.unwrap_or_default();
        });
    }
}
