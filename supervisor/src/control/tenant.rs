//! `/v1/tenants`: tenants, and the orders about one.
//!
//! Owns: a tenant at a glance. Never: its keys.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::Tenant;
use openrtc_ipc::TenantId;
use openrtc_policy::{OperatorEvent, Status};

use super::facts::{Facts, HostFacts, SessionFacts};
use super::machine::rounded;
use super::refusal::Refusal;
use super::request::Named;
use super::session;
use super::view::TenantView;
use super::world::World;

fn tenant(facts: &Facts, sessions: &[SessionFacts<'_>], hosts: &[HostFacts<'_>], view: &TenantView) -> Tenant {
    let id = &view.tenant;
    let hosts: Vec<_> = hosts.iter().filter(|host| host.plan().is_some_and(|plan| plan.tenant == *id)).collect();
    let gauges: Vec<_> = hosts.iter().filter_map(|host| host.record).map(crate::host::HostRecord::gauges).collect();
    let ended: Vec<_> = facts.ended.iter().filter(|entry| entry.conclusion.plan.tenant == *id).collect();
    let failed = ended.iter().filter(|entry| entry.conclusion.outcome.status == Status::Failed).count();
    let breaker = facts.view.breakers.iter().find(|breaker| breaker.tenant == *id);
    Tenant {
        tenant: id.to_string(),
        configured: view.configured,
        status: view.status.to_owned(),
        unusable: view.unusable.clone(),
        active_sessions: sessions.iter().filter(|session| session.tenant() == id.as_str()).count() as u32,
        max_sessions: view.max_sessions,
        hosts: hosts.len() as u32,
        memory_bytes: gauges.iter().map(|gauges| gauges.memory_bytes).sum(),
        cpu_pct: rounded(gauges.iter().map(|gauges| gauges.cpu_pct).sum()),
        breaker: breaker.map_or("off", |breaker| breaker.state).to_owned(),
        ended_sessions: ended.len() as u32,
        failed_sessions: failed as u32,
        last_end_reason: ended.last().map(|entry| session::reason(&entry.conclusion.outcome.reason)),
    }
}

/// One tenant, or all.
pub(super) fn tenants(facts: &Facts, only: Option<&TenantId>) -> Vec<Tenant> {
    let (sessions, hosts) = (facts.sessions(), facts.hosts());
    let wanted = facts.view.tenants.iter().filter(|view| only.is_none_or(|only| view.tenant == *only));
    wanted.map(|view| tenant(facts, &sessions, &hosts, view)).collect()
}

pub(super) async fn list(State(world): State<World>) -> Result<Json<Vec<Tenant>>, Refusal> {
    Ok(Json(tenants(&Facts::gather(&world).await?, None)))
}

pub(super) async fn show(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    // It was known a moment ago, and only a tenant without sessions is ever forgotten.
    let shown = tenants(&Facts::gather(&world).await?, Some(&id)).pop();
    shown.map(Json).ok_or_else(|| Refusal::not_found(format!("tenant {id}: forgotten; it has no sessions")))
}

async fn ordered(
    world: World,
    id: TenantId,
    order: impl FnOnce(TenantId) -> OperatorEvent,
) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    world.order(order(id.clone())).await?;
    show(State(world), Named(id)).await
}

pub(super) async fn suspend(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    ordered(world, id, OperatorEvent::SuspendTenant).await
}

pub(super) async fn resume(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    ordered(world, id, OperatorEvent::ResumeTenant).await
}

pub(super) async fn drain(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    ordered(world, id, OperatorEvent::DrainTenant).await
}
