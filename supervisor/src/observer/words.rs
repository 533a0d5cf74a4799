//! What is told, as JSON: the stable words of rows and log lines.
//!
//! Owns: the spelling of each thing told. Never: writes anywhere.

use openrtc_ipc::{AgentName, HostId, SessionEvent, SessionId, TenantId, WallStatus};
use openrtc_policy::{Evidence, Exit, HostPlan, Notice, Status};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{LineSource, Stamp, Told};
use crate::ledger::EndedSession;

/// Whom and what a row is about, where known.
#[derive(Debug, Default)]
pub(super) struct Subject<'a> {
    pub(super) tenant: Option<&'a TenantId>,
    pub(super) session: Option<SessionId>,
    pub(super) agent: Option<&'a AgentName>,
    pub(super) host: Option<HostId>,
}

impl<'a> Subject<'a> {
    fn stamped(stamp: &'a Stamp) -> Self {
        Self {
            tenant: Some(&stamp.tenant),
            session: stamp.session,
            agent: stamp.agent.as_ref(),
            host: Some(stamp.host),
        }
    }

    fn planned(plan: &'a HostPlan) -> Self {
        Self { tenant: Some(&plan.tenant), host: Some(plan.host), ..Self::default() }
    }

    fn noticed(notice: &'a Notice) -> Self {
        match notice {
            Notice::BreakerOpened { tenant, .. }
            | Notice::BreakerProbing { tenant }
            | Notice::BreakerClosed { tenant }
            | Notice::UnconfiguredTenant { tenant }
            | Notice::RestartBackedOff { tenant, .. } => Self { tenant: Some(tenant), ..Self::default() },
            Notice::HostCondemned { host, .. } => Self { host: Some(*host), ..Self::default() },
            Notice::HostGone { plan, .. } => Self::planned(plan),
            Notice::DrainStarted { tenant } => Self { tenant: tenant.as_ref(), ..Self::default() },
            Notice::RanAsDefault { .. } => Self::default(),
        }
    }

    /// Whom and what this is about.
    pub(super) fn of(told: &'a Told) -> Self {
        match told {
            Told::SessionStarted(info, host) => Self {
                tenant: Some(&info.tenant),
                session: Some(info.session),
                agent: Some(&info.agent),
                host: Some(*host),
            },
            Told::SessionEvent(stamp, _) | Told::Line(stamp, ..) => Self::stamped(stamp),
            Told::SessionEnded(ended) => Self {
                tenant: Some(&ended.conclusion.plan.tenant),
                session: Some(ended.conclusion.plan.session),
                agent: Some(agent(ended)),
                host: ended.conclusion.host,
            },
            Told::HostUp { plan, .. } | Told::HostDown { plan, .. } => Self::planned(plan),
            Told::Rejected(rejection) => Self { tenant: rejection.tenant.as_ref(), ..Self::default() },
            Told::Notice(notice) => Self::noticed(notice),
            Told::Snapshot(_) | Told::Audit(_) | Told::Admitted(_) => Self::default(),
        }
    }
}

/// The agent that ran a session: the one that the application's router chose, if it did.
pub(super) fn agent(ended: &EndedSession) -> &AgentName {
    ended.live.as_ref().map_or(&ended.conclusion.plan.agent, |live| &live.info.agent)
}

/// The kind of a row.
pub(super) fn kind(told: &Told) -> &'static str {
    match told {
        Told::SessionStarted(..) => "session_start",
        Told::SessionEvent(..) => "session_event",
        Told::SessionEnded(_) => "session_end",
        Told::HostUp { .. } => "host_up",
        Told::HostDown { .. } => "host_down",
        Told::Line(..) => "log",
        Told::Rejected(_) => "rejection",
        Told::Notice(_) => "notice",
        Told::Snapshot(_) => "snapshot",
        Told::Audit(_) => "audit",
        Told::Admitted(_) => "admitted",
    }
}

/// What a row says beside its subject.
pub(super) fn payload(told: &Told) -> Value {
    match told {
        Told::SessionStarted(info, _) => json!({
            "room_name": info.room_name,
            "job_id": info.job_id,
            "metadata": info.metadata,
            "started_at_unix_ms": info.started_at_unix_ms,
            "deployment_version": info.deployment_version,
        }),
        Told::SessionEvent(_, event) => session_event(event),
        Told::SessionEnded(ended) => session_end(ended),
        Told::HostUp { plan, pid, walls, ready_after_ms, .. } => json!({
            "runtime": plan.runtime.as_str(),
            "pid": pid,
            "ready_after_ms": ready_after_ms,
            "walls": walls.iter().map(wall).collect::<Vec<_>>(),
        }),
        Told::HostDown { plan, exit, evidence, sessions } => {
            host_down(plan, exit.as_ref(), evidence.as_ref(), sessions)
        }
        Told::Line(_, source, level, message) => {
            json!({ "source": source_name(*source), "level": level, "message": message })
        }
        Told::Rejected(rejection) => json!({
            "reason": rejection.reason.name(),
            "detail": rejection.detail,
            "retry_after_ms": rejection.retry_after_ms,
        }),
        Told::Notice(notice) => self::notice(notice),
        Told::Snapshot(snapshot) => Value::clone(snapshot),
        // The audit log's own business, and that of traces: no other observer hears them.
        Told::Audit(_) | Told::Admitted(_) => Value::Null,
    }
}

/// Where a line came from.
pub(super) fn source_name(source: LineSource) -> &'static str {
    match source {
        LineSource::Stdout => "stdout",
        LineSource::Stderr => "stderr",
        LineSource::Report => "report",
    }
}

/// How a session ended, as one word.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Success => "success",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

fn session_event(event: &SessionEvent) -> Value {
    match event {
        SessionEvent::Turn { speaker, text, start_ms, end_ms } => {
            json!({ "type": "turn", "speaker": speaker, "text": text, "start_ms": start_ms, "end_ms": end_ms })
        }
        SessionEvent::Usage(usage) => {
            let mut row = value_of(usage);
            row["type"] = "usage".into();
            row
        }
        SessionEvent::Latency { stage, micros } => json!({ "type": "latency", "stage": stage, "micros": micros }),
        SessionEvent::Log { level, message } => json!({ "type": "log", "level": level, "message": message }),
        SessionEvent::State { state } => json!({ "type": "state", "state": state }),
        SessionEvent::Custom { name, json } => {
            let data = serde_json::from_str(json).unwrap_or_else(|_| Value::from(json.as_str()));
            json!({ "type": "custom", "name": name, "data": data })
        }
    }
}

fn session_end(ended: &EndedSession) -> Value {
    let conclusion = &ended.conclusion;
    let reason = Named::of(&conclusion.outcome.reason);
    let exit = conclusion.exit.as_ref().map(Named::of);
    json!({
        "status": status_name(conclusion.outcome.status),
        "reason": reason.name,
        "reason_details": reason.details,
        "error": conclusion.outcome.error,
        "blame": conclusion.outcome.blame,
        "started": conclusion.started,
        "duration_ms": conclusion.duration_ms,
        "ended_at_unix_ms": ended.ended_at_unix_ms,
        "room_name": conclusion.plan.room,
        "job_id": conclusion.plan.job_id,
        "host_exit": exit.map(|exit| json!({ "reason": exit.name, "details": exit.details })),
        "evidence": ended.evidence,
        "usage": ended.live.as_ref().map(|live| live.usage),
        "turns": ended.live.as_ref().map_or(0, |live| live.turns),
        "events": ended.live.as_ref().map_or(0, |live| live.events),
    })
}

fn host_down(plan: &HostPlan, exit: Option<&Exit>, evidence: Option<&Evidence>, sessions: &[SessionId]) -> Value {
    let exit = exit.map(Named::of);
    json!({
        "runtime": plan.runtime.as_str(),
        "reason": exit.as_ref().map(|exit| &exit.name),
        "reason_details": exit.as_ref().map(|exit| &exit.details),
        "evidence": evidence,
        "sessions": texts(sessions),
    })
}

fn notice(notice: &Notice) -> Value {
    match notice {
        Notice::BreakerOpened { failures, samples, cooldown_ms, .. } => json!({
            "notice": "breaker_opened", "failures": failures, "samples": samples, "cooldown_ms": cooldown_ms,
        }),
        Notice::BreakerProbing { .. } => json!({ "notice": "breaker_probing" }),
        Notice::BreakerClosed { .. } => json!({ "notice": "breaker_closed" }),
        Notice::RanAsDefault { room } => json!({ "notice": "ran_as_default", "room_name": room }),
        Notice::UnconfiguredTenant { .. } => json!({ "notice": "unconfigured_tenant" }),
        Notice::HostCondemned { cause, .. } => json!({ "notice": "host_condemned", "cause": cause }),
        Notice::HostGone { exit, sessions, .. } => {
            let exit = exit.as_ref().map(Named::of);
            json!({ "notice": "host_gone", "reason": exit.map(|exit| exit.name), "sessions": texts(sessions) })
        }
        Notice::RestartBackedOff { runtime, wait_ms, .. } => {
            json!({ "notice": "restart_backed_off", "runtime": runtime.as_str(), "wait_ms": wait_ms })
        }
        Notice::DrainStarted { .. } => json!({ "notice": "drain_started" }),
    }
}

fn wall(status: &WallStatus) -> Value {
    json!({ "wall": status.wall.name(), "state": status.state, "evidence": status.evidence })
}

/// Sessions as text.
pub(super) fn texts(sessions: &[SessionId]) -> Vec<String> {
    sessions.iter().map(SessionId::to_string).collect()
}

/// A reason's stable name and what it carries.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(super) details: Map<String, Value>,
}

impl Named {
    /// Of a reason whose name is under `reason`.
    pub(crate) fn of(reason: &impl Serialize) -> Self {
        let Value::Object(mut details) = value_of(reason) else {
            return Self { name: String::new(), details: Map::new() };
        };
        let name = details.remove("reason").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Self { name, details }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        let known = self.details.iter().filter(|(_, value)| !value.is_null());
        for (nth, (key, value)) in known.enumerate() {
            let open = if nth == 0 { " (" } else { ", " };
            match value {
                Value::String(text) => write!(f, "{open}{key} {text}")?,
                value => write!(f, "{open}{key} {value}")?,
            }
        }
        if self.details.values().any(|value| !value.is_null()) { f.write_str(")") } else { Ok(()) }
    }
}

/// A plain value as JSON; those used here are structs of numbers and texts, which always are.
fn value_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
