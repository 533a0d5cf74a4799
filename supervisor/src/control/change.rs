//! `/v1/reload` and the changes of one tenant that last: set, reset, suspend, resume, rotate-key.
//!
//! Owns: the form of these requests, and how a change that was not made is answered. Never: changes anything itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use openrtc_control_api::{ChangeStatus, KeyRotation, Reload, ResetTenant, SetTenant, Tenant};
use openrtc_ipc::TenantId;
use serde_json::Value;

use super::facts::Facts;
use super::refusal::Refusal;
use super::request::{Asked, Named};
use super::tenant;
use super::world::World;
use crate::changes::{ChangeFault, Stamp};

pub(super) async fn reload(State(world): State<World>) -> Result<Json<Reload>, Refusal> {
    Ok(Json(world.changes()?.reload().await?))
}

pub(super) async fn rotate_key(
    State(world): State<World>,
    Named(id): Named<TenantId>,
) -> Result<Json<KeyRotation>, Refusal> {
    world.known(&id).await?;
    Ok(Json(world.changes()?.rotate_keys(id).await?))
}

pub(super) async fn suspend(
    State(world): State<World>,
    Named(id): Named<TenantId>,
    Asked(ChangeStatus { revision }): Asked<ChangeStatus>,
) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    let done = world.changes()?.suspend(Stamp { tenant: id.clone(), revision }).await;
    changed(world, id, done).await
}

pub(super) async fn resume(
    State(world): State<World>,
    Named(id): Named<TenantId>,
    Asked(ChangeStatus { revision }): Asked<ChangeStatus>,
) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    let done = world.changes()?.resume(Stamp { tenant: id.clone(), revision }).await;
    changed(world, id, done).await
}

pub(super) async fn set(
    State(world): State<World>,
    Named(id): Named<TenantId>,
    Asked(SetTenant { set, revision }): Asked<SetTenant>,
) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    let values = set.into_iter().map(|(key, value)| text(&key, value).map(|text| (key, text)));
    let values = values.collect::<Result<BTreeMap<String, String>, Refusal>>()?;
    if values.is_empty() {
        return Err(Refusal::bad_request(
            "set: nothing; name a key and its value, as {\"set\": {\"max_sessions\": 5}}",
        ));
    }
    let done = world.changes()?.set(Stamp { tenant: id.clone(), revision }, values).await;
    changed(world, id, done).await
}

pub(super) async fn reset(
    State(world): State<World>,
    Named(id): Named<TenantId>,
    Asked(ResetTenant { keys, revision }): Asked<ResetTenant>,
) -> Result<Json<Tenant>, Refusal> {
    world.known(&id).await?;
    let before = tenant::tenants(&Facts::gather(&world).await?, Some(&id)).pop();
    let done = world.changes()?.reset(Stamp { tenant: id.clone(), revision }, keys).await;
    if let (Ok(()), Some(before)) = (&done, before)
        && world.known(&id).await.is_err()
    {
        // Without its orders nothing is known of it any more.
        return Ok(Json(Tenant { orders: Vec::new(), revision: 0, not_stored: None, ..before }));
    }
    changed(world, id, done).await
}

/// A value as the file would spell it.
fn text(key: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Refusal::bad_request(format!("set.{key}: is neither text nor a number nor a boolean")))
        }
    }
}

/// The tenant as it is now, or why it was not changed; with that how it is, where somebody else was faster.
async fn changed(world: World, id: TenantId, done: Result<(), ChangeFault>) -> Result<Json<Tenant>, Refusal> {
    match done {
        Ok(()) => tenant::show(State(world), Named(id)).await,
        Err(fault @ ChangeFault::Stale { .. }) => {
            let current = tenant::tenants(&Facts::gather(&world).await?, Some(&id)).pop();
            Err(Refusal::from(fault).with_current(current))
        }
        Err(fault) => Err(fault.into()),
    }
}

impl From<ChangeFault> for Refusal {
    fn from(fault: ChangeFault) -> Self {
        let (status, reason) = match &fault {
            ChangeFault::Stale { .. } => (StatusCode::PRECONDITION_FAILED, "stale_revision"),
            ChangeFault::NotConfigured { .. } | ChangeFault::NotOrdered { .. } | ChangeFault::Order(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            ChangeFault::Files(_) => (StatusCode::UNPROCESSABLE_ENTITY, "config_faulty"),
            ChangeFault::Keys(_) => (StatusCode::CONFLICT, "key_unreadable"),
            ChangeFault::NotStored { .. } => (StatusCode::INSUFFICIENT_STORAGE, "not_stored"),
            ChangeFault::Stopping(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        let refusal = Self::new(status, reason, fault.to_string());
        match fault {
            ChangeFault::Files(faults) => refusal.with_faults(faults),
            _ => refusal,
        }
    }
}
