//! The observers that a configuration names, and what they are told of how things stand.
//!
//! Owns: which there are. Never: waits for one.

use std::sync::Arc;
use std::time::Duration;

use super::RunError;
use crate::config::Config;
use crate::control::{self, World};
use crate::observer::{
    EventStream, Fanout, JsonlObserver, LogObserver, MetricsJsonlObserver, RecentLines, Timeouts, Told, TracesObserver,
};

/// The observers of a configuration, and the ring that readers of events read.
pub(super) fn all_observers(
    config: &Config,
    run: u32,
    recent: &RecentLines,
) -> Result<(Fanout, EventStream), RunError> {
    let (fanout, events) = (observers(config, recent)?, EventStream::new(run));
    fanout.add(events.observer())?;
    Ok((fanout, events))
}

fn observers(config: &Config, recent: &RecentLines) -> Result<Fanout, RunError> {
    let ms = Duration::from_millis;
    let timeouts = Timeouts { start: ms(config.observers.start_timeout_ms), end: ms(config.observers.end_timeout_ms) };
    let fanout = Fanout::new(timeouts.within(ms(config.rules.drain_timeout_ms)));
    fanout.metrics().admit(std::iter::once(&config.rules.default_tenant).chain(config.tenants.keys()));
    fanout.add(recent.following(LogObserver))?;
    if let Some(path) = &config.observers.jsonl {
        fanout.add(JsonlObserver::open(path.clone())?)?;
    }
    if let Some(path) = &config.metrics.jsonl {
        let metrics = &config.metrics;
        fanout.add(MetricsJsonlObserver::open(
            path.clone(),
            ms(metrics.jsonl_interval_ms),
            Some(metrics.stream_events_max),
        )?)?;
    }
    if let Some(endpoint) = &config.traces.otlp_endpoint {
        fanout.add(TracesObserver::new(endpoint, &config.supervisor.worker_id)?)?;
    }
    Ok(fanout)
}

/// Tells the observers how things stand, again and again; not at all where none of them writes it down.
pub(super) fn snapshots(config: &Config, world: World, fanout: Fanout) -> Option<tokio::task::JoinHandle<()>> {
    config.observers.jsonl.as_ref().or(config.metrics.jsonl.as_ref())?;
    let interval = Duration::from_millis(config.metrics.jsonl_interval_ms);
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            let Ok(snapshot) = control::snapshot(&world, None).await else { return };
            if let Ok(value) = serde_json::to_value(snapshot) {
                fanout.tell(Told::Snapshot(Arc::new(value)));
            }
        }
    }))
}
