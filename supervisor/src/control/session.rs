//! `/v1/sessions`: those that wait or run, the last that ended, and ending one.
//!
//! Owns: what is told of a session. Never: its metadata.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{EndedSession, Session, SessionList, SessionRow, SessionUsage};
use openrtc_ipc::{HostId, SessionId, TenantId};
use openrtc_policy::OperatorEvent;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::facts::{Facts, SessionFacts};
use super::machine::rounded;
use super::refusal::Refusal;
use super::request::{Named, With, name};
use super::world::World;
use crate::ledger;

const MIB: f64 = 1024.0 * 1024.0;
/// Longest wait that one request may ask for, in seconds.
const WAIT_S_MAX: f64 = 60.0;

/// One row of `openrtc top`.
pub(super) fn row(facts: &Facts, session: &SessionFacts<'_>) -> SessionRow {
    let record = session.host().and_then(|host| facts.record(host));
    let sharing = session.host().map_or(1, |host| facts.sessions_on(host).len().max(1)) as f64;
    let gauges = record.map(crate::host::HostRecord::gauges).unwrap_or_default();
    let since_start = session.live.map(|live| facts.at_unix_ms.saturating_sub(live.info.started_at_unix_ms));
    let age_ms = since_start.or_else(|| session.planned.map(|planned| planned.duration_ms)).unwrap_or_default();
    SessionRow {
        session_id: session.id.to_string(),
        agent_name: session.agent().to_owned(),
        tenant: session.tenant().to_owned(),
        duration_s: rounded(age_ms as f64 / 1000.0),
        mem_mb: rounded(gauges.memory_bytes as f64 / MIB / sharing),
        peak_mb: rounded(gauges.memory_peak_bytes as f64 / MIB / sharing),
        cpu_pct: rounded(gauges.cpu_pct / sharing),
        status: status(facts, session).to_owned(),
        pinned: false,
        host: session.host().map(|host| host.to_string()),
        room: session.room().to_owned(),
    }
}

fn status(facts: &Facts, session: &SessionFacts<'_>) -> &'static str {
    if session.live.is_none() {
        return "starting";
    }
    let host = session.host().and_then(|host| facts.host(host));
    let lag = host.as_ref().and_then(|host| host.record).map_or(0, |record| record.snapshot().loop_lag_micros);
    let draining = host.and_then(|host| host.planned).is_some_and(|planned| planned.state == "draining");
    if draining || facts.view.draining {
        "draining"
    } else if lag > facts.slow_micros {
        "slow"
    } else {
        "active"
    }
}

fn usage(live: &ledger::LiveSession) -> SessionUsage {
    SessionUsage {
        llm_tokens_in: live.usage.llm_tokens_in,
        llm_tokens_out: live.usage.llm_tokens_out,
        stt_ms: live.usage.stt_ms,
        tts_characters: live.usage.tts_characters,
        turns: live.turns,
        events: live.events,
    }
}

/// The wire's word for something that serialises as a plain string.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The stable name of a reason.
pub(super) fn reason(reason: &openrtc_policy::Reason) -> String {
    value(reason).get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// How a session ended.
pub(super) fn ended(entry: &ledger::EndedSession) -> EndedSession {
    let conclusion = &entry.conclusion;
    EndedSession {
        session_id: conclusion.plan.session.to_string(),
        // The application's own router may have chosen another agent than the plan's.
        agent_name: entry.live.as_ref().map_or(&conclusion.plan.agent, |live| &live.info.agent).to_string(),
        tenant: conclusion.plan.tenant.to_string(),
        room: conclusion.plan.room.clone(),
        host: conclusion.host.map(|host| host.to_string()),
        status: word(&conclusion.outcome.status),
        reason: reason(&conclusion.outcome.reason),
        reason_detail: value(&conclusion.outcome.reason),
        error: conclusion.outcome.error.clone(),
        blame: word(&conclusion.outcome.blame),
        started: conclusion.started,
        duration_ms: conclusion.duration_ms,
        ended_at_unix_ms: entry.ended_at_unix_ms,
        usage: entry.live.as_ref().map(usage),
        exit: conclusion.exit.as_ref().map(value),
        evidence: entry.evidence.as_ref().map(value),
    }
}

/// The rows of one tenant, or of all.
pub(super) fn rows(facts: &Facts, tenant: Option<&TenantId>) -> Vec<SessionRow> {
    let sessions = facts.sessions();
    let wanted = sessions.iter().filter(|session| tenant.is_none_or(|tenant| session.tenant() == tenant.as_str()));
    wanted.map(|session| row(facts, session)).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The last that ended too.
    #[serde(default)]
    ended: bool,
    /// Of this tenant only.
    tenant: Option<String>,
    host: Option<String>,
}

pub(super) async fn list(
    State(world): State<World>,
    With(query): With<ListQuery>,
) -> Result<Json<SessionList>, Refusal> {
    let tenant: Option<TenantId> = query.tenant.as_deref().map(name).transpose()?;
    let facts = Facts::gather(&world).await?;
    let host: Option<HostId> = query.host.as_deref().map(name).transpose()?;
    let mut sessions = rows(&facts, tenant.as_ref());
    if let Some(host) = host.map(|host| host.to_string()) {
        sessions.retain(|row| row.host.as_ref() == Some(&host));
    }
    let mut list = SessionList { sessions, ended: Vec::new() };
    if query.ended {
        let wanted = facts.ended.iter().rev();
        let wanted =
            wanted.filter(|entry| tenant.as_ref().is_none_or(|tenant| entry.conclusion.plan.tenant == *tenant));
        let wanted = wanted.filter(|entry| host.is_none_or(|host| entry.conclusion.host == Some(host)));
        list.ended = wanted.map(|entry| ended(entry)).collect();
    }
    Ok(Json(list))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitQuery {
    /// Wait for its end, at most so many seconds.
    #[serde(default)]
    wait_s: f64,
}

impl WaitQuery {
    fn limit(&self) -> Result<Duration, Refusal> {
        if !(0.0..=WAIT_S_MAX).contains(&self.wait_s) {
            return Err(Refusal::bad_request(format!("wait_s: {} is not from 0 to {WAIT_S_MAX}", self.wait_s)));
        }
        Ok(Duration::from_secs_f64(self.wait_s))
    }
}

async fn find(world: &World, id: SessionId, limit: Duration) -> Result<Session, Refusal> {
    let known = match world.ledger.ended(id) {
        None => Facts::gather(world).await?.session(id).is_some(),
        Some(_) => true,
    };
    // Between the two looks it may have ended, so what is waited for decides.
    if (known || world.ledger.ended(id).is_some())
        && let Some(entry) = world.ended_within(id, Some(limit)).await
    {
        return Ok(Session::Ended { ended: Box::new(ended(&entry)) });
    }
    let facts = Facts::gather(world).await?;
    let Some(session) = facts.session(id) else {
        let detail = format!("session {id}: not running, and not among the last 1 000 that ended");
        return Err(Refusal::not_found(detail));
    };
    Ok(Session::Live {
        row: Box::new(row(&facts, &session)),
        started_at_unix_ms: session.live.map(|live| live.info.started_at_unix_ms),
        usage: session.live.map(usage).unwrap_or_default(),
    })
}

pub(super) async fn show(
    State(world): State<World>,
    Named(id): Named<SessionId>,
    With(query): With<WaitQuery>,
) -> Result<Json<Session>, Refusal> {
    find(&world, id, query.limit()?).await.map(Json)
}

/// Asks for the end and tells how far it came: `live` still, or `ended`.
pub(super) async fn end(
    State(world): State<World>,
    Named(id): Named<SessionId>,
    With(query): With<WaitQuery>,
) -> Result<Json<Session>, Refusal> {
    let limit = query.limit()?;
    if let Session::Live { .. } = find(&world, id, Duration::ZERO).await? {
        world.order(OperatorEvent::EndSession(id)).await?;
    }
    find(&world, id, limit).await.map(Json)
}
