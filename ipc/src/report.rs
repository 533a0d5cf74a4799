//! Host to supervisor: allegations.
//!
//! Owns: the closed list of things a host may say. Never: carries a tenant or an agent that would be believed.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{AgentName, SessionId};
use crate::lockdown::SetupStep;
use crate::session::SessionEvent;
use crate::snapshot::HostSnapshot;
use crate::wall::WallReport;

/// Most agents that a host may name when it is ready.
pub const READY_AGENTS_MAX: usize = 1024;
/// Most walls that a host may report; there are fewer.
pub const LAUNCHED_WALLS_MAX: usize = 64;

/// The first report, in every version of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL`] of the host.
    pub protocol: u16,
    /// Name of the host program.
    pub program: String,
    /// Version of the host program.
    pub version: String,
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For debugging.
    Debug,
    /// Normal.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// How a host says that a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    /// It ran to its end.
    Success,
    /// It failed.
    Failed,
    /// It was ended on request.
    Cancelled,
    /// It could not run because of how it is configured.
    Misconfigured,
}

/// One message from a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Always first.
    Hello(Hello),
    /// The walls that only the child can raise are up; said by our own code before anything of the tenant's runs.
    Launched {
        /// What it achieved, wall by wall.
        #[serde(deserialize_with = "bounded::list::<_, _, LAUNCHED_WALLS_MAX>")]
        walls: Vec<WallReport>,
    },
    /// Our own code in the child could not finish setting up.
    SetupFailed {
        /// At which step.
        step: SetupStep,
        /// The system's error number, or 0.
        errno: i32,
        /// What it was doing, for a person.
        detail: String,
    },
    /// It can serve these agents.
    Ready {
        /// Their names.
        #[serde(deserialize_with = "bounded::list::<_, _, READY_AGENTS_MAX>")]
        agents: Vec<AgentName>,
    },
    /// A session runs.
    SessionStarted {
        /// Which.
        session: SessionId,
    },
    /// The application's own router chose another agent.
    SessionRerouted {
        /// Which session.
        session: SessionId,
        /// The agent it now runs.
        agent: AgentName,
    },
    /// Something happened in a session.
    SessionEvent {
        /// Which.
        session: SessionId,
        /// What.
        event: SessionEvent,
    },
    /// A session is over.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// How.
        status: EndStatus,
        /// Why, when it failed; cut to a bound by the receiver.
        error: Option<String>,
    },
    /// A log line of the host itself.
    Log {
        /// How grave.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// The host's own view.
    Snapshot(HostSnapshot),
    /// Answer to a ping.
    Pong {
        /// The ping's number.
        nonce: u64,
    },
    /// It will exit now, of its own accord.
    Bye {
        /// Why.
        reason: String,
    },
}
