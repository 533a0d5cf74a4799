//! `/v1/tenants/{id}/bundle`: all that is known of one tenant's trouble, to be handed on.
//!
//! Owns: what goes into a bundle and its bounds. Never: another tenant's lines or counts, a secret, or a wait on a host.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Agent, LeftOut, TenantBundle};
use openrtc_ipc::TenantId;
use serde_json::Value;

use super::facts::Facts;
use super::refusal::Refusal;
use super::request::Named;
use super::world::World;
use super::{breaker, effective, host, machine, session, tenant, tenant_health};
use crate::audit::show::{Filter, last};

/// Of the bundle's shape.
const BUNDLE_VERSION: u32 = 1;
/// Ended sessions in a bundle; each with up to a few KiB of evidence.
const ENDED_MAX: usize = 200;
/// Audit records in a bundle.
const AUDIT_MAX: usize = 500;

pub(super) async fn show(
    State(world): State<World>,
    Named(id): Named<TenantId>,
) -> Result<Json<TenantBundle>, Refusal> {
    let health = tenant_health::health(&world, &id).await?;
    let asked = id.clone();
    let (rejections, _) = world.handle.inspect(move |policy| policy.answered(&asked)).await?;
    let (audit, audit_fault) = audit(&world, &id).await;
    let facts = Facts::gather(&world).await?;
    let tenant = tenant::one(&facts, &id)?;
    let ended: Vec<_> = facts.ended.iter().rev().filter(|entry| entry.conclusion.plan.tenant == id).collect();
    let sessions = session::rows(&facts, Some(&id));
    let lines = world.recent.of(&id).iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let left_out =
        LeftOut { ended: ended.len().saturating_sub(ENDED_MAX), audit: audit.len().saturating_sub(AUDIT_MAX) };
    let audit = audit.into_iter().skip(left_out.audit).collect();
    Ok(Json(TenantBundle {
        bundle_version: BUNDLE_VERSION,
        supervisor_version: env!("CARGO_PKG_VERSION").to_owned(),
        deployment_version: world.about.deployment_version.clone(),
        made_at_unix_ms: facts.at_unix_ms,
        uptime_s: machine::rounded(world.started.elapsed().as_secs_f64()),
        tenant,
        health,
        effective: effective::effective(&world, &id).await.ok(),
        breaker: breaker::breakers(&facts.view, Some(&id)).pop(),
        rejections: rejections.into_iter().map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
        agents: agents(&world, &facts, &id),
        hosts: host::hosts(&facts, Some(&id)),
        sessions,
        ended: ended.into_iter().take(ENDED_MAX).map(|entry| session::ended(entry)).collect(),
        walls: world.about.doctor.walls.clone(),
        lines,
        audit,
        audit_fault,
        left_out,
    }))
}

/// Those that it may use; what others run on them is theirs.
fn agents(world: &World, facts: &Facts, id: &TenantId) -> Vec<Agent> {
    let own = facts.sessions();
    let own = |agent: &str| own.iter().filter(|it| it.tenant() == id.as_str() && it.agent() == agent).count() as u32;
    let config = world.config();
    let allowed = facts
        .view
        .agents
        .iter()
        .filter(|view| config.as_ref().is_none_or(|config| config.rules.allows(id, &view.agent)));
    let told = allowed.map(|view| Agent {
        agent: view.agent.to_string(),
        runtime: view.runtime.to_string(),
        active_sessions: own(view.agent.as_str()),
        max_sessions: view.max_sessions,
    });
    told.collect()
}

/// Its last audit records, one more than are kept so that the rest is noticed.
async fn audit(world: &World, id: &TenantId) -> (Vec<Value>, Option<String>) {
    let Some(path) = world.config().and_then(|config| config.audit.path.clone()) else {
        return (Vec::new(), None);
    };
    let filter = Filter { tenant: Some(id.to_string()), ..Filter::default() };
    // The file may be large, or on a slow disk.
    let read = tokio::task::spawn_blocking(move || last(&path, &filter, AUDIT_MAX as u64 + 1)).await;
    match read {
        Ok(Ok(shown)) => (shown.into_iter().map(|shown| shown.record).collect(), None),
        Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}
