//! Everything that policy is told: a closed list.
//!
//! Owns: the events. Never: carries a handle, a socket or a pid.

use openrtc_ipc::{AgentName, EndStatus, HostId, SessionId, SetupStep, TenantId};

use crate::dispatch::Dispatch;
use crate::exit::Exit;

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody wants a session.
    DispatchOffered(Dispatch),
    /// The dispatcher gave us the session that we accepted (LiveKit); local dispatches are assigned with the answer.
    DispatchAssigned(SessionId),
    /// The dispatcher gave it to somebody else, or took it back.
    DispatchLost(SessionId),
    /// The call is over on its own account: its room is closed, or its agent has left it.
    CallOver(SessionId),
    /// About a host.
    Host(HostId, HostEvent),
    /// An operator wants something.
    Operator(OperatorEvent),
    /// New rules were loaded.
    RulesChanged(Box<crate::rules::Rules>),
    /// Time has passed; see `Policy::next_deadline`.
    Tick,
}

/// Why a host could not be brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupFailure {
    /// The step that failed.
    pub step: SetupStep,
    /// The system's error number, or 0.
    pub errno: i32,
    /// Field, value and remedy, for a person.
    pub detail: String,
    /// Whether trying again could help: a missing required wall or program does not mend itself.
    pub retry: bool,
}

/// Something happened to a host. Stamped by the link; what only the host says is checked here again.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEvent {
    /// Its process exists and its walls stand.
    Up,
    /// It can serve these agents (empty: those it was configured with).
    Ready {
        /// Agents.
        agents: Vec<AgentName>,
    },
    /// It could not be brought up; no process of it is left.
    SetupFailed(SetupFailure),
    /// It says that a session started.
    SessionStarted(SessionId),
    /// It says that the application's router chose another agent.
    SessionRerouted(SessionId, AgentName),
    /// It says that a session ended.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// How.
        status: EndStatus,
        /// Why.
        error: Option<String>,
        /// The path that the wall denied it, if that is why.
        denied: Option<String>,
    },
    /// It broke the protocol; `kind` as in `protocol_violation{kind}`.
    Violated {
        /// `oversized`, `malformed`, `phase`, `slow`, `not_reading`, `ownership`, …
        kind: &'static str,
    },
    /// It did not answer pings for so long.
    Silent {
        /// Milliseconds.
        ms: u64,
    },
    /// It answers again.
    Responsive,
    /// It nears a wall (memory above the warning mark): no new sessions for it.
    NearWall {
        /// Measured, in bytes.
        observed_bytes: u64,
    },
    /// It is below the mark again.
    OffWall,
    /// It said goodbye, or is closing its channel in good order.
    Leaving,
    /// Its process is gone, reaped and attributed.
    Exited(Exit),
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorEvent {
    /// End one session.
    EndSession(SessionId),
    /// Kill one host and its tree.
    KillHost(HostId),
    /// No new sessions for one host, which ends when its last has ended; new ones get another.
    RecycleHost(HostId),
    /// Kill every host of the tenant and their trees.
    KillTenant(TenantId),
    /// No new sessions for the tenant.
    SuspendTenant(TenantId),
    /// Allow them again.
    ResumeTenant(TenantId),
    /// What was ordered about the tenant's status is taken back: the configuration's holds again.
    ForgetTenantOrder(TenantId),
    /// No new sessions for the tenant, its hosts end when their sessions have; after the drain time they are killed.
    DrainTenant(TenantId),
    /// Open a tenant's breaker by hand for so long; `None`: the cooldown.
    TripBreaker(TenantId, Option<u64>),
    /// Close a tenant's breaker by hand.
    ResetBreaker(TenantId),
    /// No new sessions at all; finish when the last has ended, or the drain time is over.
    Drain,
    /// Finish at once: terminate every host.
    Shutdown,
}
