//! Measuring one host from outside, again and again.
//!
//! Owns: the rhythm, the gauges, and saying what a measurement means for the host. Never: reads `/proc` on a thread
//! that serves others.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openrtc_policy::{HostEvent, HostPlan, Intent};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::HostContext;
use super::birth::SharedWall;
use super::record::HostRecord;
use crate::wall::Sample;

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

/// The sampler of one host.
pub struct Sampling {
    wall: SharedWall,
    record: Arc<HostRecord>,
    period: Duration,
    next: Instant,
    working: watch::Receiver<bool>,
    guarded: bool,
    last: Option<(Instant, u64)>,
    near: bool,
    memory_bytes_max: Option<u64>,
    pids_max: Option<u32>,
}

impl Sampling {
    /// A sampler that begins after one period.
    pub fn new(context: &HostContext, plan: &HostPlan, record: Arc<HostRecord>, wall: SharedWall) -> Self {
        let spec = context.config.wall(&plan.tenant, &plan.runtime);
        let period = Duration::from_millis(spec.sample_ms);
        Self {
            wall,
            working: record.working(),
            record,
            period,
            next: Instant::now() + period,
            guarded: false,
            last: None,
            near: false,
            memory_bytes_max: spec.memory_bytes_max,
            pids_max: spec.pids_max,
        }
    }

    /// Waits for the next sample and takes it.
    ///
    /// Cancel safe: a sample under way finishes on the pool and the next one comes a period later.
    pub async fn next(&mut self) -> Verdict {
        let changed = tokio::time::timeout_at(self.next, self.working.changed()).await.is_ok();
        if changed {
            // One sample soon, whichever way it changed: the last words of a session are the gauges for a while.
            self.next = self.next.min(Instant::now() + self.period);
            sleep_until(self.next).await;
        }
        let resting = self.guarded && !*self.working.borrow_and_update();
        self.next = Instant::now() + if resting { self.period.max(REST_PERIOD) } else { self.period };
        let wall = Arc::clone(&self.wall);
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
        let limit_bytes = self.memory_bytes_max.unwrap_or(u64::MAX);
        if oom_kills > 0 {
            let observed_bytes = sample.memory_peak_bytes;
            return Verdict::Kill(Intent::Memory { observed_bytes, limit_bytes, by_kernel: true });
        }
        if sample.over_memory {
            let observed_bytes = sample.memory_bytes;
            return Verdict::Kill(Intent::Memory { observed_bytes, limit_bytes, by_kernel: false });
        }
        if sample.over_pids {
            let limit = self.pids_max.unwrap_or(u32::MAX);
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
        self.record.gauge(|gauges| {
            gauges.memory_bytes = sample.memory_bytes;
            gauges.memory_peak_bytes = sample.memory_peak_bytes;
            gauges.cpu_micros = sample.cpu_micros;
            gauges.processes = sample.processes;
            gauges.cpu_pct = cpu_pct.unwrap_or_default();
        });
    }
}
