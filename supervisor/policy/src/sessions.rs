//! Every session from its admission to its conclusion.
//!
//! Owns: the table of sessions, their states, and the ids they get. Never: outlives a conclusion; an ended session is
//! the ledger's.
//!
//! ```text
//!            DispatchAssigned        host Ready        SessionStarted
//! Offered ───────────────────► Waiting ─────► Starting ─────────────► Running
//!    │ host gone                  │               └─────── asked ────────┤
//!    ▼                            │                                      ▼
//! Doomed ── DispatchAssigned ──►(concluded)◄── SessionEnded, host gone ─ Ending
//!    └─ expired, lost: released, and never was a session
//! ```

use std::collections::BTreeMap;

use openrtc_ipc::{HostId, SessionId};

use crate::Moment;
use crate::caps::Reservation;
use crate::deaths::Death;
use crate::effect::SessionPlan;
use crate::outcome::Asked;

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum State {
    /// A place is held; the dispatcher has yet to say that it is ours.
    Offered,
    /// As before, but its host is gone: it is over as soon as it is assigned.
    Doomed(Death),
    /// Ours; its host is not ready.
    Waiting,
    /// Its host was told to start it.
    Starting,
    /// Its host says that it runs.
    Running { since: Moment },
    /// It was asked to end.
    Ending { started_at: Option<Moment>, asked: Asked },
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What was admitted.
    pub(crate) plan: SessionPlan,
    /// Where it runs or shall run.
    pub(crate) host: HostId,
    /// Where it stands.
    pub(crate) state: State,
    /// When it was admitted.
    pub(crate) admitted_at: Moment,
    /// The epoch of its tenant's breaker at that time.
    pub(crate) epoch: u64,
    /// Its place under the caps: released when the session leaves the table, because then this is dropped.
    pub(crate) place: Reservation,
}

impl Session {
    /// When its host said that it started.
    pub(crate) fn started_at(&self) -> Option<Moment> {
        match self.state {
            State::Running { since } => Some(since),
            State::Ending { started_at, .. } => started_at,
            State::Offered | State::Doomed(_) | State::Waiting | State::Starting => None,
        }
    }

    /// Why we asked it to end, if we did.
    pub(crate) fn asked(&self) -> Option<Asked> {
        match self.state {
            State::Ending { asked, .. } => Some(asked),
            State::Offered | State::Doomed(_) | State::Waiting | State::Starting | State::Running { .. } => None,
        }
    }

    /// Whether its host has yet to be told to start it.
    pub(crate) fn is_pending(&self) -> bool {
        match self.state {
            State::Offered | State::Doomed(_) | State::Waiting => true,
            State::Starting | State::Running { .. } | State::Ending { .. } => false,
        }
    }

    /// Its host says that it started; whether that is news.
    pub(crate) fn start(&mut self, now: Moment) -> bool {
        match &mut self.state {
            State::Starting => {
                self.state = State::Running { since: now };
                true
            }
            State::Ending { started_at: at @ None, .. } => {
                *at = Some(now);
                true
            }
            State::Running { .. } | State::Ending { started_at: Some(_), .. } => false,
            State::Offered | State::Doomed(_) | State::Waiting => false,
        }
    }

    /// Notes that it was asked to end, if its host was told of it at all; the first who asks wins.
    pub(crate) fn ask(&mut self, asked: Asked) -> bool {
        let started_at = match self.state {
            State::Starting => None,
            State::Running { since } => Some(since),
            State::Ending { .. } | State::Offered | State::Doomed(_) | State::Waiting => return false,
        };
        self.state = State::Ending { started_at, asked };
        true
    }

    /// Name of the state.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Offered | State::Doomed(_) => "offered",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running { .. } => "running",
            State::Ending { .. } => "ending",
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Sessions {
    run: u32,
    last_seq: u64,
    table: BTreeMap<SessionId, Session>,
}

impl Sessions {
    /// An empty table of this run of the supervisor.
    pub(crate) fn new(run: u32) -> Self {
        Self { run, last_seq: 0, table: BTreeMap::new() }
    }

    /// An id that was never given before.
    pub(crate) fn next_id(&mut self) -> SessionId {
        self.last_seq += 1;
        SessionId { run: self.run, seq: self.last_seq }
    }

    /// Takes a session in.
    pub(crate) fn insert(&mut self, session: Session) {
        self.table.insert(session.plan.session, session);
    }

    /// One session.
    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.table.get(&id)
    }

    /// One session.
    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.table.get_mut(&id)
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.table.remove(&id)
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.table.values()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
