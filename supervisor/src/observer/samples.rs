//! One of each thing told, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use openrtc_ipc::{
    AgentName, HostId, LogLevel, RuntimeName, SessionEvent, SessionId, SessionInfo, Speaker, TenantId, Usage, Wall,
    WallState, WallStatus,
};
use openrtc_policy::rules::HostScope;
use openrtc_policy::{
    Blame, Conclusion, Evidence, Exit, HostPlan, Notice, Outcome, Reason, RejectReason, Rejection, SessionPlan, Status,
    WaitStatus,
};
use serde_json::json;

use super::{LineSource, Stamp, Told};
use crate::ledger::{EndedSession, LiveSession};

pub(crate) const HOST: HostId = HostId { index: 3, generation: 1 };
pub(crate) const SESSION: SessionId = SessionId { run: 0x1a2b_3c4d, seq: 17 };

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme-corp").unwrap()
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("support").unwrap()
}

pub(crate) fn stamp() -> Stamp {
    Stamp { tenant: tenant(), host: HOST, session: Some(SESSION), agent: Some(agent()), at_unix_ms: 5 }
}

pub(crate) fn plan() -> HostPlan {
    HostPlan { host: HOST, tenant: tenant(), runtime: RuntimeName::parse("command").unwrap(), scope: HostScope::Tenant }
}

pub(crate) fn info() -> SessionInfo {
    SessionInfo {
        session: SESSION,
        tenant: tenant(),
        agent: agent(),
        room_name: "acme-corp_support-1".to_owned(),
        job_id: "j-1".to_owned(),
        metadata: BTreeMap::from([("tenant".to_owned(), "acme-corp".to_owned())]),
        started_at_unix_ms: 4,
        deployment_version: None,
    }
}

pub(crate) fn started() -> Told {
    Told::SessionStarted(Arc::new(info()), HOST)
}

pub(crate) fn line(text: &str) -> Told {
    Told::Line(Stamp { session: None, agent: None, ..stamp() }, LineSource::Stderr, LogLevel::Info, text.to_owned())
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        intent: None,
        wait: WaitStatus::Signalled(9),
        oom_kills: 1,
        ancestor_oom_kills: 0,
        pids_hit: 0,
        memory_peak_bytes: Some(1 << 20),
        cpu_micros: None,
        last_stderr: Some("MemoryError".to_owned()),
    }
}

pub(crate) fn died() -> Told {
    Told::HostDown {
        plan: plan(),
        exit: Some(Exit::MemWatchdog { observed_bytes: 210, limit_bytes: 200 }),
        evidence: Some(evidence()),
        sessions: vec![SESSION],
    }
}

pub(crate) fn ended(status: Status, reason: Reason, error: Option<&str>) -> Told {
    let plan = SessionPlan {
        session: SESSION,
        tenant: tenant(),
        agent: AgentName::parse("front").unwrap(),
        runtime: RuntimeName::parse("command").unwrap(),
        room: "acme-corp_support-1".to_owned(),
        job_id: None,
        metadata: BTreeMap::new(),
        job_metadata: String::new(),
        room_metadata: String::new(),
    };
    let outcome = Outcome { status, reason, error: error.map(str::to_owned), blame: Blame::Tenant };
    let usage = Usage { llm_tokens_in: 7, ..Usage::default() };
    Told::SessionEnded(Arc::new(EndedSession {
        live: Some(LiveSession { info: info(), host: HOST, usage, turns: 2, events: 9 }),
        conclusion: Conclusion { plan, host: Some(HOST), outcome, exit: None, duration_ms: 1500, started: true },
        ended_at_unix_ms: 6,
        evidence: None,
    }))
}

pub(crate) fn failed() -> Told {
    ended(Status::Failed, Reason::HostExit { code: 3 }, Some("it broke"))
}

pub(crate) fn opened() -> Told {
    Told::Notice(Notice::BreakerOpened { tenant: tenant(), failures: 4, samples: 5, cooldown_ms: 30_000 })
}

pub(crate) fn rejected() -> Told {
    Told::Rejected(Arc::new(Rejection {
        reason: RejectReason::TenantCap,
        detail: "tenant acme-corp has 2 of 2 sessions".to_owned(),
        retry_after_ms: Some(1000),
        tenant: Some(tenant()),
    }))
}

/// One of each.
pub(crate) fn every() -> Vec<Told> {
    let turn = SessionEvent::Turn { speaker: Speaker::User, text: "hello".to_owned(), start_ms: 1, end_ms: 2 };
    let custom = SessionEvent::Custom { name: "score".to_owned(), json: r#"{"value":1}"#.to_owned() };
    let absent = WallState::Absent("off".to_owned());
    let wall = WallStatus { wall: Wall::Memory, state: absent, evidence: openrtc_ipc::Evidence::Observed };
    vec![
        started(),
        Told::SessionEvent(stamp(), Arc::new(turn)),
        Told::SessionEvent(stamp(), Arc::new(SessionEvent::Usage(Usage::default()))),
        Told::SessionEvent(stamp(), Arc::new(SessionEvent::Latency { stage: "llm".to_owned(), micros: 9 })),
        Told::SessionEvent(stamp(), Arc::new(SessionEvent::State { state: "thinking".to_owned() })),
        Told::SessionEvent(
            stamp(),
            Arc::new(SessionEvent::Log { level: LogLevel::Error, message: "no answer".to_owned() }),
        ),
        Told::SessionEvent(stamp(), Arc::new(custom)),
        failed(),
        Told::HostUp { plan: plan(), pid: 42, walls: vec![wall], walled_after_ms: 7, ready_after_ms: 12 },
        died(),
        line("printed"),
        rejected(),
        opened(),
        Told::Notice(Notice::BreakerProbing { tenant: tenant() }),
        Told::Notice(Notice::BreakerClosed { tenant: tenant() }),
        Told::Notice(Notice::RanAsDefault { room: "lobby".to_owned() }),
        Told::Notice(Notice::UnconfiguredTenant { tenant: tenant() }),
        Told::Notice(Notice::HostCondemned { host: HOST, cause: "memory" }),
        Told::Notice(Notice::HostGone { plan: plan(), exit: Some(Exit::Drained), sessions: vec![] }),
        Told::Notice(Notice::RestartBackedOff { tenant: tenant(), runtime: plan().runtime, wait_ms: 2000 }),
        Told::Notice(Notice::DrainStarted { tenant: None }),
        Told::Snapshot(Arc::new(json!({ "active_sessions": 1 }))),
    ]
}
