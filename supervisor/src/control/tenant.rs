//! `/v1/tenants`: tenants, and the orders about one.
//!
//! Owns: a tenant at a glance. Never: its keys.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Order, Tenant, TenantKilled};
use openrtc_ipc::{HostId, TenantId};
use openrtc_policy::{OperatorEvent, Status};

use super::facts::{Facts, HostFacts};
use super::host::gone_in_time;
use super::machine::rounded;
use super::refusal::Refusal;
use super::request::Named;
use super::session;
use super::view::TenantView;
use super::world::World;
use crate::changes::Shown;
use crate::ledger::EndedSession;

/// What belongs to one tenant; gathered for all in one pass.
#[derive(Default)]
struct Belongings<'a> {
    sessions: u32,
    hosts: u32,
    memory_bytes: u64,
    cpu_pct: f64,
    ended: u32,
    failed: u32,
    last: Option<&'a EndedSession>,
    breaker: Option<&'static str>,
}

impl<'a> Belongings<'a> {
    fn of(facts: &'a Facts) -> BTreeMap<String, Self> {
        let mut all = BTreeMap::<String, Self>::new();
        for session in facts.sessions() {
            all.entry(session.tenant().to_owned()).or_default().sessions += 1;
        }
        for host in facts.hosts() {
            let Some(plan) = host.plan() else { continue };
            let own = all.entry(plan.tenant.to_string()).or_default();
            let gauges = host.record.map(crate::host::HostRecord::gauges).unwrap_or_default();
            own.hosts += 1;
            own.memory_bytes += gauges.memory_bytes;
            own.cpu_pct += gauges.cpu_pct;
        }
        for entry in &facts.ended {
            let own = all.entry(entry.conclusion.plan.tenant.to_string()).or_default();
            own.ended += 1;
            own.failed += u32::from(entry.conclusion.outcome.status == Status::Failed);
            own.last = Some(entry);
        }
        for breaker in &facts.view.breakers {
            all.entry(breaker.tenant.to_string()).or_default().breaker = Some(breaker.state);
        }
        all
    }
}

fn tenant(view: &TenantView, own: &Belongings<'_>, orders: &Shown) -> Tenant {
    Tenant {
        revision: orders.standing.revision_of(&view.tenant),
        not_stored: orders.not_stored.clone().filter(|_| !is_kept(&view.tenant, orders)),
        orders: standing(&view.tenant, orders),
        tenant: view.tenant.to_string(),
        configured: view.configured,
        status: view.status.to_owned(),
        unusable: view.unusable.clone(),
        active_sessions: own.sessions,
        max_sessions: view.max_sessions,
        hosts: own.hosts,
        memory_bytes: own.memory_bytes,
        cpu_pct: rounded(own.cpu_pct),
        breaker: own.breaker.unwrap_or("off").to_owned(),
        ended_sessions: own.ended,
        failed_sessions: own.failed,
        last_end_reason: own.last.map(|entry| session::reason(&entry.conclusion.outcome.reason)),
    }
}

fn is_kept(tenant: &TenantId, orders: &Shown) -> bool {
    orders.standing.of(tenant).map(|own| &own.orders) == orders.kept.of(tenant).map(|own| &own.orders)
}

/// What operators ordered of a tenant.
fn standing(tenant: &TenantId, orders: &Shown) -> Vec<Order> {
    let kept = orders.kept.of(tenant);
    let own = orders.standing.of(tenant).into_iter().flat_map(|own| &own.orders);
    own.map(|(key, order)| Order {
        key: key.clone(),
        value: order.value.clone(),
        since_unix_ms: order.since_unix_ms,
        by: order.by.clone(),
        pid: order.pid,
        lasting: kept.is_some_and(|kept| kept.orders.get(key) == Some(order)),
    })
    .collect()
}

/// One tenant, or all.
pub(super) fn tenants(facts: &Facts, only: Option<&TenantId>) -> Vec<Tenant> {
    let (all, none) = (Belongings::of(facts), Belongings::default());
    let wanted = facts.view.tenants.iter().filter(|view| only.is_none_or(|only| view.tenant == *only));
    wanted.map(|view| tenant(view, all.get(view.tenant.as_str()).unwrap_or(&none), &facts.orders)).collect()
}

/// One tenant that was known a moment ago: only one without sessions is ever forgotten.
pub(super) fn one(facts: &Facts, id: &TenantId) -> Result<Tenant, Refusal> {
    let forgotten = || Refusal::not_found(format!("tenant {id}: forgotten; it has no sessions"));
    tenants(facts, Some(id)).pop().ok_or_else(forgotten)
}

pub(super) async fn list(State(world): State<World>) -> Result<Json<Vec<Tenant>>, Refusal> {
    Ok(Json(tenants(&Facts::gather(&world).await?, None)))
}

pub(super) async fn show(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    one(&Facts::gather(&world).await?, &id).map(Json)
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

pub(super) async fn drain(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Tenant>, Refusal> {
    ordered(world, id, OperatorEvent::DrainTenant).await
}

/// Kills its hosts and waits until they are gone. One that is made meanwhile stays: suspend the tenant first.
pub(super) async fn kill(
    State(world): State<World>,
    Named(id): Named<TenantId>,
) -> Result<Json<TenantKilled>, Refusal> {
    world.known(&id).await?;
    let before = Facts::gather(&world).await?;
    let own = |host: &&HostFacts<'_>| host.plan().is_some_and(|plan| plan.tenant == id);
    let hosts: Vec<HostId> = before.hosts().iter().filter(own).map(|host| host.id).collect();
    let ordered = Instant::now();
    world.order(OperatorEvent::KillTenant(id.clone())).await?;
    gone_in_time(&world, &hosts).await?;
    Ok(Json(TenantKilled {
        tenant: id.to_string(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        took_ms: ordered.elapsed().as_millis() as u64,
    }))
}
