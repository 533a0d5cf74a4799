//! What is recorded of what happens, and in which words.
//!
//! Owns: the names of the events. Never: a line that a host wrote, a room, metadata, or anything else that a caller or an
//! agent could put words into.

use openrtc_ipc::SessionId;
use openrtc_policy::{Evidence, Exit, HostPlan, Intent, Notice, OperatorEvent};
use serde_json::{Value, json};

use super::actor::Actor;
use super::entry::Entry;
use crate::config::Config;
use crate::secrets::{Given, Vault};

/// Sessions of a host that are named; of more the number is told.
const SESSIONS_NAMED_MAX: usize = 32;

/// The supervisor starts.
pub(super) fn started(config: &Config, last_event: Option<&str>) -> Vec<Entry> {
    let before = match last_event {
        None => "first",
        Some("supervisor.stopped") => "stopped",
        Some(_) => "died",
    };
    let source = config.source.as_ref().map(|source| source.display().to_string());
    let entry = Entry::new("supervisor.started", Actor::System, config.supervisor.worker_id.as_str());
    let entry = entry.with("pid", std::process::id()).with("uid", rustix::process::geteuid().as_raw());
    vec![entry.with("supervisor_version", env!("CARGO_PKG_VERSION")).with("before", before).with_some("config", source)]
}

/// Every reference of the configuration, and whether there was a secret behind it.
pub(super) fn keys_resolved(vault: &Vault) -> Vec<Entry> {
    let entry = |holding: crate::secrets::Holding| {
        let result = if holding.resolved { "ok" } else { "failed" };
        let entry = Entry::new("key.resolved", Actor::System, &holding.key).resulting(result);
        entry.with("source", holding.source).with("holder", holding.holder).with_some("tenant", holding.tenant)
    };
    vault.holdings().map(entry).collect()
}

/// A host was given keys.
pub(super) fn keys_loaded(plan: &HostPlan, given: &[Given]) -> Entry {
    let keys: Vec<Value> =
        given.iter().map(|it| json!({"variable": it.variable, "key": it.key, "source": it.source})).collect();
    of_host("key.loaded", plan).with("keys", keys)
}

fn of_host(event: &'static str, plan: &HostPlan) -> Entry {
    let entry = Entry::new(event, Actor::System, plan.host);
    entry.with("tenant", plan.tenant.as_str()).with("runtime", plan.runtime.as_str())
}

/// An order, as it was given.
pub(super) fn ordered(actor: Actor, order: &OperatorEvent) -> Entry {
    let of_tenant =
        |event, actor, tenant: &openrtc_ipc::TenantId| Entry::new(event, actor, tenant).with("tenant", tenant.as_str());
    match order {
        OperatorEvent::EndSession(session) => Entry::new("session.end_ordered", actor, session),
        OperatorEvent::KillHost(host) => Entry::new("host.kill_ordered", actor, host),
        OperatorEvent::RecycleHost(host) => Entry::new("host.recycle_ordered", actor, host),
        OperatorEvent::KillTenant(tenant) => of_tenant("tenant.kill_ordered", actor, tenant),
        OperatorEvent::ForgetTenantOrder(tenant) => of_tenant("tenant.status_reset", actor, tenant),
        OperatorEvent::SuspendTenant(tenant) => of_tenant("tenant.suspended", actor, tenant),
        OperatorEvent::ResumeTenant(tenant) => of_tenant("tenant.resumed", actor, tenant),
        OperatorEvent::DrainTenant(tenant) => of_tenant("tenant.drain_ordered", actor, tenant),
        OperatorEvent::TripBreaker(tenant, for_ms) => {
            of_tenant("breaker.trip_ordered", actor, tenant).with_some("for_ms", *for_ms)
        }
        OperatorEvent::ResetBreaker(tenant) => of_tenant("breaker.reset_ordered", actor, tenant),
        OperatorEvent::Drain => Entry::new("supervisor.drain_ordered", actor, ""),
        OperatorEvent::Shutdown => Entry::new("supervisor.shutdown_ordered", actor, ""),
    }
}

/// Whether a notice is recorded.
pub(super) fn is_recorded(notice: &Notice) -> bool {
    match notice {
        Notice::BreakerOpened { .. }
        | Notice::BreakerProbing { .. }
        | Notice::BreakerClosed { .. }
        | Notice::DrainStarted { .. } => true,
        // The first two are a caller's to cause, the others stand in the log and are no decision about anybody.
        Notice::RanAsDefault { .. }
        | Notice::UnconfiguredTenant { .. }
        | Notice::HostCondemned { .. }
        | Notice::HostGone { .. }
        | Notice::RestartBackedOff { .. } => false,
    }
}

/// What policy noticed.
pub(super) fn noticed(notice: &Notice) -> Option<Entry> {
    let of_tenant = |event, tenant: &openrtc_ipc::TenantId| {
        Entry::new(event, Actor::System, tenant).with("tenant", tenant.as_str())
    };
    Some(match notice {
        Notice::BreakerOpened { tenant, failures, samples, cooldown_ms } => of_tenant("breaker.opened", tenant)
            .with("failures", *failures)
            .with("samples", *samples)
            .with("cooldown_ms", *cooldown_ms),
        Notice::BreakerProbing { tenant } => of_tenant("breaker.half_open", tenant),
        Notice::BreakerClosed { tenant } => of_tenant("breaker.closed", tenant),
        Notice::DrainStarted { tenant: None } => Entry::new("deployment.drain_started", Actor::System, ""),
        Notice::DrainStarted { tenant: Some(tenant) } => of_tenant("tenant.drain_started", tenant),
        Notice::RanAsDefault { .. }
        | Notice::UnconfiguredTenant { .. }
        | Notice::HostCondemned { .. }
        | Notice::HostGone { .. }
        | Notice::RestartBackedOff { .. } => return None,
    })
}

/// A host is gone, as a record if it did not just end in good order; `was_up`: it had been ready to serve.
pub(super) fn host_down(
    plan: &HostPlan,
    exit: Option<&Exit>,
    evidence: Option<&Evidence>,
    sessions: &[SessionId],
    was_up: bool,
) -> Vec<Entry> {
    let intent = evidence.and_then(|evidence| evidence.intent.as_ref());
    let ended_well = matches!(exit, Some(Exit::Exited { code: 0, .. })) && sessions.is_empty();
    let event = match intent {
        Some(Intent::Drained) => return Vec::new(),
        Some(_) => "host.killed",
        None if ended_well => return Vec::new(),
        None if exit.is_none() => "host.setup_failed",
        None => "host.died",
    };
    let named: Vec<String> = sessions.iter().take(SESSIONS_NAMED_MAX).map(ToString::to_string).collect();
    let mut entries = Vec::new();
    if let Some(Exit::ProtocolViolation { kind }) = exit.filter(|_| !was_up) {
        // It never served: what spoke there is none of our hosts, or of another version.
        entries.push(of_host("worker.rejected", plan).resulting("refused").with("reason", kind.as_str()));
    }
    let entry = of_host(event, plan)
        .resulting(if intent.is_some() { "ok" } else { "failed" })
        .with("exit", exit.map_or(Value::Null, |exit| json!(exit)))
        .with_some("intent", intent.map(|intent| json!(intent)))
        .with_some("evidence", evidence.map(collected))
        .with("sessions", named)
        .with("sessions_lost", sessions.len());
    entries.push(entry);
    entries
}

/// What was collected, without the host's own last words.
fn collected(evidence: &Evidence) -> Value {
    json!({
        "wait": evidence.wait,
        "oom_kills": evidence.oom_kills,
        "ancestor_oom_kills": evidence.ancestor_oom_kills,
        "pids_hit": evidence.pids_hit,
        "memory_peak_bytes": evidence.memory_peak_bytes,
        "cpu_micros": evidence.cpu_micros,
    })
}
