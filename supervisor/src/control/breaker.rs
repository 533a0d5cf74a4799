//! `/v1/breakers`: circuit breakers, and moving one by hand.
//!
//! Owns: a breaker as told. Never: its rule.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Breaker, TripBreaker};
use openrtc_ipc::TenantId;
use openrtc_policy::OperatorEvent;

use super::refusal::Refusal;
use super::request::{Asked, Named};
use super::view::{BreakerView, PolicyView};
use super::world::World;

/// Longest time that a breaker may be held open by hand, in seconds: 30 days.
const FOR_S_MAX: f64 = 30.0 * 86_400.0;

fn breaker(view: &BreakerView) -> Breaker {
    Breaker {
        tenant: view.tenant.to_string(),
        state: view.state.to_owned(),
        failures: view.failures,
        samples: view.samples,
        closes_in_s: view.closes_in_ms.map(|ms| ms as f64 / 1000.0),
        cooldown_s: view.cooldown_ms as f64 / 1000.0,
    }
}

/// One tenant's breaker, or all.
pub(super) fn breakers(view: &PolicyView, only: Option<&TenantId>) -> Vec<Breaker> {
    view.breakers.iter().filter(|view| only.is_none_or(|only| view.tenant == *only)).map(breaker).collect()
}

pub(super) async fn list(State(world): State<World>) -> Result<Json<Vec<Breaker>>, Refusal> {
    Ok(Json(breakers(&world.view().await?, None)))
}

async fn ordered(world: World, id: TenantId, order: OperatorEvent) -> Result<Json<Breaker>, Refusal> {
    world.known(&id).await?;
    world.order(order).await?;
    let moved = breakers(&world.view().await?, Some(&id)).pop();
    moved.map(Json).ok_or_else(|| Refusal::not_found(format!("tenant {id}: it has no breaker")))
}

pub(super) async fn reset(State(world): State<World>, Named(id): Named<TenantId>) -> Result<Json<Breaker>, Refusal> {
    ordered(world, id.clone(), OperatorEvent::ResetBreaker(id)).await
}

pub(super) async fn trip(
    State(world): State<World>,
    Named(id): Named<TenantId>,
    Asked(trip): Asked<TripBreaker>,
) -> Result<Json<Breaker>, Refusal> {
    let for_ms = match trip.for_s {
        None => None,
        Some(seconds) if seconds > 0.0 && seconds <= FOR_S_MAX => Some((seconds * 1000.0) as u64),
        Some(seconds) => {
            return Err(Refusal::bad_request(format!("for_s: {seconds} is not above 0 and at most {FOR_S_MAX}")));
        }
    };
    ordered(world, id.clone(), OperatorEvent::TripBreaker(id, for_ms)).await
}
