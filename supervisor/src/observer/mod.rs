//! Who is told what happens: bounded queues, isolated from sessions and from each other.
//!
//! Owns: the observer trait, what observers are told, and the fan-out. Never: waits on an observer.

use std::sync::Arc;

use openrtc_ipc::{AgentName, HostId, LogLevel, SessionEvent, SessionId, SessionInfo, TenantId, WallStatus};
use openrtc_policy::{Exit, HostPlan, Notice};

use crate::ledger::EndedSession;

/// Who and where, stamped by the supervisor from the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Whose.
    pub tenant: TenantId,
    /// On which host.
    pub host: HostId,
    /// In which session, if in one.
    pub session: Option<SessionId>,
    /// By which agent, if in a session.
    pub agent: Option<AgentName>,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// Where a host's line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineSource {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// A log report on its channel.
    Report,
}

/// One thing that observers are told. Secrets of the host's tenant are already redacted.
#[derive(Debug, Clone)]
pub enum Told {
    /// A session started on its host.
    SessionStarted(Arc<SessionInfo>, HostId),
    /// Something happened in a session.
    SessionEvent(Stamp, Arc<SessionEvent>),
    /// A session ended, possibly without a start.
    SessionEnded(Arc<EndedSession>),
    /// A host is ready.
    HostUp {
        /// What for.
        plan: HostPlan,
        /// Its pid.
        pid: i32,
        /// The walls around it.
        walls: Vec<WallStatus>,
        /// From fork to ready, in milliseconds.
        ready_after_ms: u64,
    },
    /// A host is gone: the death report.
    HostDown {
        /// What for.
        plan: HostPlan,
        /// How it ended; `None` when it never came up.
        exit: Option<Exit>,
        /// What was collected.
        evidence: Option<openrtc_policy::Evidence>,
        /// Sessions lost with it.
        sessions: Vec<SessionId>,
    },
    /// A host wrote a line.
    Line(Stamp, LineSource, LogLevel, String),
    /// Policy noticed something.
    Notice(Notice),
    /// The periodic snapshot, as the JSON that `snapshot` prints.
    Snapshot(Arc<serde_json::Value>),
}
