//! Everything that policy asks for: a closed list.
//!
//! Owns: the effects. Never: says how they are done.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};

use crate::dispatch::DispatchId;
use crate::exit::{Exit, Intent};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::rules::HostScope;

/// A session as it was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPlan {
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// Which agent.
    pub agent: AgentName,
    /// Which runtime.
    pub runtime: RuntimeName,
    /// The room.
    pub room: String,
    /// The dispatcher's name for it.
    pub job_id: Option<String>,
    /// Room and job metadata merged, job over room, values as text; `tenant` always there.
    pub metadata: BTreeMap<String, String>,
    /// Job metadata as it was sent.
    pub job_metadata: String,
    /// Room metadata as it was sent.
    pub room_metadata: String,
}

/// A host to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// The host.
    pub host: HostId,
    /// Whose.
    pub tenant: TenantId,
    /// Of which runtime.
    pub runtime: RuntimeName,
    /// For a tenant, or for one session.
    pub scope: HostScope,
}

/// Yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// Which agent.
    pub agent: AgentName,
    /// Which rule chose the agent: `explicit`, `rule`, `job_metadata`, `room_metadata`, `room_prefix`, `fallback`.
    pub routed_by: &'static str,
}

/// The answer to a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A place is held for it.
    Admitted(Admitted),
    /// It is refused.
    Rejected(Rejection),
}

/// How an admitted session ended: exactly one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    /// What was admitted.
    pub plan: SessionPlan,
    /// On which host, if it came to one.
    pub host: Option<HostId>,
    /// How it ended.
    pub outcome: Outcome,
    /// How its host's process ended, if that ended the session.
    pub exit: Option<Exit>,
    /// From the host's start of the session to its end, in milliseconds; 0 if it never started.
    pub duration_ms: u64,
    /// Whether the host ever said that it started.
    pub started: bool,
}

/// Something worth telling: observers and logs get it, nothing is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A breaker opened.
    BreakerOpened {
        /// Whose.
        tenant: TenantId,
        /// Failures in the window.
        failures: u32,
        /// Samples in the window.
        samples: u32,
        /// For how long, in milliseconds.
        cooldown_ms: u64,
    },
    /// A breaker is half open: probing.
    BreakerProbing {
        /// Whose.
        tenant: TenantId,
    },
    /// A breaker closed again.
    BreakerClosed {
        /// Whose.
        tenant: TenantId,
    },
    /// A session ran as the default tenant although tenants are configured (decision H2); said once.
    RanAsDefault {
        /// In this room.
        room: String,
    },
    /// A tenant that is not configured runs on the defaults (semantics B5); said once per tenant.
    UnconfiguredTenant {
        /// Which.
        tenant: TenantId,
    },
    /// A host takes no new sessions any more, and why.
    HostCondemned {
        /// Which.
        host: HostId,
        /// `memory`, `unresponsive`, `draining`, …
        cause: &'static str,
    },
    /// A host's exit was booked.
    HostGone {
        /// Its plan.
        plan: HostPlan,
        /// How it ended; `None` when it never came up.
        exit: Option<Exit>,
        /// Sessions lost with it.
        sessions: Vec<SessionId>,
    },
    /// The next host of this tenant and runtime waits, in milliseconds.
    RestartBackedOff {
        /// Whose.
        tenant: TenantId,
        /// Of which runtime.
        runtime: RuntimeName,
        /// How long.
        wait_ms: u64,
    },
    /// Draining began.
    DrainStarted {
        /// Of one tenant, or of all.
        tenant: Option<TenantId>,
    },
}

/// Something to do. Performing one only enqueues (decision P9).
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer a dispatch.
    Answer(DispatchId, Answer),
    /// Bring up a host.
    Spawn(HostPlan),
    /// Start a session on a host that is ready.
    StartSession(HostId, SessionPlan),
    /// Ask the host to end a session, giving this reason (`operator_kill`, `duration_limit`, …).
    EndSession(HostId, SessionId, &'static str),
    /// Tell a host to take no more sessions.
    DrainHost(HostId),
    /// Shut a host down: ask, SIGTERM (+SIGCONT), and SIGKILL of the tree after the grace; record the intent first.
    Terminate(HostId, Intent),
    /// Kill a host's whole tree now; record the intent first.
    Kill(HostId, Intent),
    /// A session is over: record it, tell the observers, wake who waits.
    Conclude(Box<Conclusion>),
    /// Tell.
    Notice(Notice),
    /// Every host is gone and we were asked to finish: leave.
    Finish,
}
