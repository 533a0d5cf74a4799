//! `/v1/hosts`: host processes, and killing one.
//!
//! Owns: what is told of a host. Never: signals one; that is an order to policy.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use openrtc_control_api::{Host, HostGone, Strength};
use openrtc_ipc::{HostId, TenantId};
use openrtc_policy::OperatorEvent;
use openrtc_policy::rules::HostScope;
use schemars::JsonSchema;
use serde::Deserialize;

use super::facts::{Facts, HostFacts};
use super::machine::rounded;
use super::refusal::Refusal;
use super::request::{Named, With, name};
use super::wall;
use super::world::World;

/// Between two looks whether a killed host is gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One host.
pub(super) fn host(facts: &Facts, host: &HostFacts<'_>) -> Host {
    let plan = host.plan();
    let record = host.record;
    let gauges = record.map(crate::host::HostRecord::gauges).unwrap_or_default();
    let own = record.map(crate::host::HostRecord::snapshot).unwrap_or_default();
    let walls: Vec<_> = record.map(|record| record.walls().iter().map(wall::row).collect()).unwrap_or_default();
    let state = match (host.planned, record) {
        (Some(planned), _) => planned.state,
        // The process is there, and policy has forgotten it already.
        (None, _) => "ending",
    };
    Host {
        host: host.id.to_string(),
        tenant: plan.map(|plan| plan.tenant.to_string()).unwrap_or_default(),
        runtime: plan.map(|plan| plan.runtime.to_string()).unwrap_or_default(),
        scope: plan.map(|plan| scope(plan.scope)).unwrap_or_default().to_owned(),
        state: state.to_owned(),
        condemned: host.planned.and_then(|planned| planned.condemned.clone()),
        intent: record.and_then(crate::host::HostRecord::intent).map(|intent| intent_name(&intent)),
        pid: record.map(|record| record.pid),
        spawned_by: record.map(crate::host::HostRecord::spawned_by),
        born_at_unix_ms: record.map(|record| record.born_at_unix_ms),
        ready_after_ms: record.and_then(crate::host::HostRecord::ready_after_ms),
        sessions: facts.sessions_on(host.id).iter().map(ToString::to_string).collect(),
        memory_bytes: gauges.memory_bytes,
        memory_peak_bytes: gauges.memory_peak_bytes,
        memory_max_bytes: record.and_then(crate::host::HostRecord::memory_bytes_max),
        cpu_pct: rounded(gauges.cpu_pct),
        cpu_s: gauges.cpu_micros as f64 / 1e6,
        processes: gauges.processes,
        ping_ms: gauges.ping_micros as f64 / 1e3,
        loop_lag_ms: own.loop_lag_micros as f64 / 1e3,
        dropped: gauges.dropped.saturating_add(own.events_dropped),
        old_keys: record.is_some_and(crate::host::HostRecord::old_keys),
        absent_walls: walls.iter().filter(|row| row.strength == Strength::Absent).map(|row| row.wall.clone()).collect(),
        walls,
    }
}

fn scope(scope: HostScope) -> &'static str {
    match scope {
        HostScope::Tenant => "tenant",
        HostScope::Session => "session",
    }
}

/// The stable name of an intent; its numbers are in the death report.
fn intent_name(intent: &openrtc_policy::Intent) -> String {
    match serde_json::to_value(intent) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The hosts of one tenant, or of all.
pub(super) fn hosts(facts: &Facts, tenant: Option<&TenantId>) -> Vec<Host> {
    let all = facts.hosts();
    let wanted = all.iter().filter(|host| tenant.is_none_or(|tenant| host.plan().is_some_and(|p| p.tenant == *tenant)));
    wanted.map(|one| host(facts, one)).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Of this tenant only.
    tenant: Option<String>,
}

pub(super) async fn list(State(world): State<World>, With(query): With<ListQuery>) -> Result<Json<Vec<Host>>, Refusal> {
    let tenant: Option<TenantId> = query.tenant.as_deref().map(name).transpose()?;
    Ok(Json(hosts(&Facts::gather(&world).await?, tenant.as_ref())))
}

fn unknown(id: HostId) -> Refusal {
    Refusal::not_found(format!("host {id}: no such host; `host list` shows those there are"))
}

pub(super) async fn show(State(world): State<World>, Named(id): Named<HostId>) -> Result<Json<Host>, Refusal> {
    let facts = Facts::gather(&world).await?;
    facts.host(id).map(|one| Json(host(&facts, &one))).ok_or_else(|| unknown(id))
}

/// Gives the order and waits until the host's process is reaped.
pub(super) async fn kill(State(world): State<World>, Named(id): Named<HostId>) -> Result<Json<HostGone>, Refusal> {
    if Facts::gather(&world).await?.host(id).is_none() {
        return Err(unknown(id));
    }
    let ordered = Instant::now();
    world.order(OperatorEvent::KillHost(id)).await?;
    gone_in_time(&world, &[id]).await?;
    Ok(Json(HostGone { host: id.to_string(), took_ms: ordered.elapsed().as_millis() as u64 }))
}

/// Gives the order; the host goes when its last session has ended.
pub(super) async fn recycle(State(world): State<World>, Named(id): Named<HostId>) -> Result<Json<Host>, Refusal> {
    let before = Facts::gather(&world).await?;
    let Some(before) = before.host(id).map(|one| host(&before, &one)) else { return Err(unknown(id)) };
    world.order(OperatorEvent::RecycleHost(id)).await?;
    let after = Facts::gather(&world).await?;
    // One without sessions may be gone already.
    Ok(Json(after.host(id).map_or(before, |one| host(&after, &one))))
}

/// Waits until these hosts, which were ordered killed, are gone.
pub(super) async fn gone_in_time(world: &World, hosts: &[HostId]) -> Result<(), Refusal> {
    let limit = Duration::from_millis(world.about.kill_wait_ms);
    let all = async {
        for id in hosts {
            gone(world, *id).await;
        }
    };
    if tokio::time::timeout(limit, all).await.is_ok() {
        return Ok(());
    }
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let (names, ms) = (names.join(", "), limit.as_millis());
    let detail = format!("host {names}: ordered killed, but not gone after {ms} ms; look at `host show`");
    Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", detail))
}

async fn gone(world: &World, id: HostId) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let planned = match world.view().await {
            Ok(view) => view.hosts.iter().any(|host| host.plan.host == id),
            // Policy is gone, so it plans nothing.
            Err(crate::sources::Stopping) => false,
        };
        if !planned && world.hosts.get(id).is_none() {
            return;
        }
    }
}
