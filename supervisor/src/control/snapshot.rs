//! `/v1/snapshot`: everything at a glance.
//!
//! Owns: OpenRTC's keys and ours, in one object. Never: waits on a host; it tells what was last measured.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Observer, SessionRow, Snapshot, TopLine, Worker, Zygote};
use openrtc_ipc::TenantId;
use openrtc_policy::{RejectReason, Status};
use schemars::JsonSchema;
use serde::Deserialize;

use super::facts::Facts;
use super::refusal::Refusal;
use super::request::{With, name};
use super::world::World;
use super::{agent, breaker, host, machine, session, tenant};
use crate::observer::ObserverTally;
use crate::sources::Stopping;
use crate::spawn::{ZygoteRow, ZygoteState};

/// Everything, of one tenant or of all.
pub async fn snapshot(world: &World, only: Option<&TenantId>) -> Result<Snapshot, Stopping> {
    let facts = Facts::gather(world).await?;
    let sessions = session::rows(&facts, only);
    let by = |key: fn(&SessionRow) -> &String| {
        let mut counts = BTreeMap::<String, u32>::new();
        sessions.iter().for_each(|row| *counts.entry(key(row).clone()).or_default() += 1);
        counts
    };
    let view = &facts.view;
    let agents = agent::agents(&facts);
    let count = |reason: RejectReason| (reason.name().to_owned(), view.rejections.get(&reason).copied().unwrap_or(0));
    Ok(Snapshot {
        timestamp: facts.at_unix_ms as f64 / 1000.0,
        uptime_seconds: machine::rounded(world.started.elapsed().as_secs_f64()),
        registered_agents: agents.len() as u32,
        active_sessions: sessions.len() as u32,
        total_sessions_started: view.sessions_started,
        total_session_failures: view.session_failures,
        last_routed_agent: view.last_routed_agent.as_ref().map(ToString::to_string),
        last_error: last_error(&facts, only),
        sessions_by_agent: by(|row| &row.agent_name),
        sessions_by_tenant: by(|row| &row.tenant),
        deployment_version: world.about.deployment_version.clone(),
        draining: view.draining,
        resident_set: machine::resident_set(),
        worker: worker(world, &facts),
        sessions,
        tenants: tenant::tenants(&facts, only),
        agents,
        hosts: host::hosts(&facts, only),
        breakers: breaker::breakers(view, only),
        rejections: RejectReason::ALL.into_iter().map(count).collect(),
        zygotes: world.zygotes().into_iter().map(zygote).collect(),
        livekit: world.livekit().map(crate::dispatch::livekit::Livekit::view),
        walls: world.about.doctor.walls.clone(),
        observers: world.fanout.tallies().into_iter().map(observer).collect(),
    })
}

fn zygote(row: ZygoteRow) -> Zygote {
    let (spawn, remedy) = match row.state {
        ZygoteState::Warm => ("zygote".to_owned(), None),
        ZygoteState::Absent(why) => (format!("cold ({why})"), why.remedy().map(str::to_owned)),
    };
    Zygote { runtime: row.runtime.to_string(), spawn, remedy, idle_hosts: row.idle_hosts as u64 }
}

fn observer(tally: ObserverTally) -> Observer {
    let ObserverTally { name, taken, dropped, failed, panicked, timed_out, queued, busy_ms } = tally;
    Observer { name, taken, dropped, failed, panicked, timed_out, queued, busy_ms }
}

/// The error of the last session that failed.
fn last_error(facts: &Facts, only: Option<&TenantId>) -> Option<String> {
    let mut newest_first = facts.ended.iter().rev().map(|entry| &entry.conclusion);
    let failed = newest_first.find(|conclusion| {
        conclusion.outcome.status == Status::Failed && only.is_none_or(|only| conclusion.plan.tenant == *only)
    })?;
    failed.outcome.error.clone().or_else(|| Some(session::reason(&failed.outcome.reason)))
}

fn worker(world: &World, facts: &Facts) -> Worker {
    let (system, cpu_history) = world.machine.read();
    Worker {
        name: world.about.name.clone(),
        uptime_s: machine::rounded(world.started.elapsed().as_secs_f64()),
        active_sessions: facts.sessions().len() as u32,
        max_sessions: facts.view.max_concurrent_sessions,
        started: facts.view.sessions_started,
        failed: facts.view.session_failures,
        draining: facts.view.draining,
        system,
        cpu_history,
    }
}

/// The line that `openrtc top` reads.
pub(super) async fn top_line(world: &World) -> Result<TopLine, Stopping> {
    let facts = Facts::gather(world).await?;
    Ok(TopLine { worker: worker(world, &facts), sessions: session::rows(&facts, None) })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Of this tenant only.
    tenant: Option<String>,
    /// Without the walls of each host, which are the most of it and hardly change.
    #[serde(default)]
    brief: bool,
}

pub(super) async fn show(State(world): State<World>, With(query): With<Query>) -> Result<Json<Snapshot>, Refusal> {
    let tenant: Option<TenantId> = query.tenant.as_deref().map(name).transpose()?;
    let mut told = snapshot(&world, tenant.as_ref()).await?;
    if query.brief {
        told.hosts.iter_mut().for_each(|host| host.walls.clear());
    }
    Ok(Json(told))
}
