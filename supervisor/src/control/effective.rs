//! `/v1/tenants/{id}/effective`: what holds for one tenant, and which rung gave it.
//!
//! Owns: where an operator's order stands over the file. Never: a secret.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{EffectiveSetting, EffectiveTenant};
use openrtc_ipc::TenantId;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Named;
use super::view::TenantView;
use super::world::World;

pub(super) async fn show(
    State(world): State<World>,
    Named(id): Named<TenantId>,
) -> Result<Json<EffectiveTenant>, Refusal> {
    effective(&world, &id).await.map(Json)
}

/// The configuration in force, and over it what an operator ordered since.
pub(super) async fn effective(world: &World, id: &TenantId) -> Result<EffectiveTenant, Refusal> {
    let view = world.known(id).await?;
    let Some(config) = world.config() else {
        return Err(Refusal::not_found(format!("tenant {id}: this supervisor has no configuration to tell of")));
    };
    let settings = config.effective(id).into_iter().map(|setting| EffectiveSetting {
        section: setting.section.to_owned(),
        name: setting.name,
        value: setting.value,
        from: setting.from,
    });
    let mut told = EffectiveTenant { tenant: id.to_string(), configured: false, settings: settings.collect() };
    if let Some(tenant) = view.tenants.iter().find(|tenant| tenant.tenant == *id) {
        told.configured = tenant.configured;
        overrule(&mut told.settings, tenant);
    }
    Ok(told)
}

fn overrule(settings: &mut [EffectiveSetting], tenant: &TenantView) {
    let in_force = [
        ("status", Value::from(tenant.status)),
        ("max_sessions", tenant.max_sessions.map_or_else(|| json!("off"), Value::from)),
    ];
    for (name, value) in in_force {
        let of_tenant = |setting: &&mut EffectiveSetting| setting.section == "tenant" && setting.name == name;
        if let Some(setting) = settings.iter_mut().find(of_tenant)
            && setting.value != value
        {
            setting.value = value;
            setting.from = "operator".to_owned();
        }
    }
}
