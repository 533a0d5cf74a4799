//! `/metrics`: what a Prometheus scrapes.
//!
//! Owns: what is a state, gathered for each scrape, and by whom it may be read. Never: waits on a host; it tells what was
//! last measured.

mod hosts;
mod sums;
mod tenants;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::registry::Registry as Families;

use super::health::Health;
use super::world::World;
use crate::metrics::exposition::Form;
use crate::metrics::process;
use crate::metrics::table::{Family, Table};
use crate::observer::ObserverTally;
use crate::sources::Stopping;
use crate::spawn::{ZygoteRow, ZygoteState};
use hosts::hosts;
use tenants::{breakers, sessions};

/// Everything that is measured and counted, as a scraper reads it.
pub async fn metrics(world: &World, form: Form) -> Result<String, Stopping> {
    let view = world.view().await?;
    let metrics = world.fanout.metrics();
    metrics.admit(view.tenants.iter().filter(|tenant| tenant.configured).map(|tenant| &tenant.tenant));
    let mut families = metrics.families(&world.hosts);
    let mut table = vec![
        build(world),
        Family::gauge("draining", "Whether new sessions are refused").with(&[], f64::from(u8::from(view.draining))),
    ];
    table.extend(sessions(&view, metrics));
    table.extend(hosts(&view, &world.hosts, metrics));
    table.push(breakers(&view, metrics));
    table.extend(zygotes(&world.zygotes()));
    table.extend(observers(&world.fanout.tallies()));
    if let Some(livekit) = world.livekit() {
        table.extend(livekit.families());
        livekit.register(&mut families);
    }
    families.register_collector(Box::new(Table(table)));
    let mut own = Families::default();
    own.register_collector(Box::new(process::table()));
    Ok(form.write(&[families, own]))
}

fn build(world: &World) -> Family {
    let deployment = world.about.deployment_version.as_deref().unwrap_or_default();
    Family::gauge("build_info", "Version of the supervisor, and the operator's label for it")
        .with(&[("version", env!("CARGO_PKG_VERSION")), ("deployment_version", deployment)], 1.0)
}

fn zygotes(rows: &[ZygoteRow]) -> [Family; 2] {
    let mut warm = Family::gauge("zygote_warm", "Whether a runtime's hosts are forked warm");
    let mut idle = Family::gauge("idle_hosts", "Hosts forked ahead of need, of no tenant yet");
    for row in rows {
        let runtime = &[("runtime", row.runtime.as_str())];
        warm.push(runtime, f64::from(u8::from(row.state == ZygoteState::Warm)));
        idle.push(runtime, row.idle_hosts as f64);
    }
    [warm, idle]
}

fn observers(tallies: &[ObserverTally]) -> [Family; 4] {
    let mut taken = Family::counter("observer_taken", "Things told that an observer took");
    let mut lost = Family::counter("observer_lost", "Things told that an observer did not take, by cause");
    let mut queued = Family::gauge("observer_queued", "Things told that wait for an observer");
    let mut busy = Family::gauge("observer_busy_seconds", "For how long an observer has been at the same thing");
    for tally in tallies {
        let observer = ("observer", tally.name.as_str());
        taken.push(&[observer], tally.taken as f64);
        let causes = [
            ("dropped", tally.dropped),
            ("failed", tally.failed),
            ("panicked", tally.panicked),
            ("timed_out", tally.timed_out),
        ];
        for (cause, times) in causes {
            lost.push(&[observer, ("cause", cause)], times as f64);
        }
        queued.push(&[observer], tally.queued as f64);
        busy.push(&[observer], tally.busy_ms as f64 / 1e3);
    }
    [taken, lost, queued, busy]
}

/// For the control API's own sockets.
pub(super) async fn show(State(world): State<World>, headers: HeaderMap) -> Response {
    answer(Some(&world), &headers).await
}

/// For the port of probes, where that was asked for.
pub(super) async fn show_probes(State(health): State<Health>, headers: HeaderMap) -> Response {
    let world = health.borrow().clone();
    answer(world.as_ref(), &headers).await
}

async fn answer(world: Option<&World>, headers: &HeaderMap) -> Response {
    let form = Form::asked(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let Some(world) = world else { return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response() };
    match metrics(world, form).await {
        Ok(text) => ([(header::CONTENT_TYPE, form.media_type())], text).into_response(),
        Err(Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
