//! What a host's task is told by the driver.
//!
//! Owns: orders, and the ways to end a host. Never: a queue without bound.

use std::os::fd::OwnedFd;

use openrtc_ipc::{Call, SessionId, SessionInfo};
use openrtc_policy::Intent;

/// A session to start.
#[derive(Debug)]
pub struct SessionStart {
    /// Which.
    pub info: SessionInfo,
    /// Job metadata as it was sent.
    pub job_metadata: String,
    /// Room metadata as it was sent.
    pub room_metadata: String,
    /// The call to join, where a LiveKit server has one.
    pub call: Option<Call>,
    /// What to play to the agent, and where to keep what it says.
    pub recordings: Recordings,
}

/// A session's two recordings.
#[derive(Debug, Default)]
pub struct Recordings {
    /// Played to the agent; open for reading.
    pub input: Option<OwnedFd>,
    /// What the agent says; open for writing.
    pub output: Option<OwnedFd>,
}

impl Recordings {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.input.is_none() && self.output.is_none()
    }
}

/// An order for a host that serves.
#[derive(Debug)]
pub enum Order {
    /// Start a session.
    StartSession(Box<SessionStart>),
    /// Its end is known to whoever dispatched it: the agent may leave the room.
    LeaveRoom(SessionId),
    /// Ask it to end a session, for this reason.
    EndSession(SessionId, &'static str),
    /// It gets no more sessions.
    Drain,
    /// It is to end its sessions and exit.
    Shutdown,
}

/// How a host is to end. The first intent is recorded; a kill may follow a terminate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Ask, SIGTERM and SIGCONT, then SIGKILL of the tree after the grace.
    Terminate(Intent),
    /// SIGKILL of the tree.
    Kill(Intent),
}

impl Ending {
    /// Whether this one must replace that one.
    pub fn is_stronger_than(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Kill(_), Self::Terminate(_)))
    }

    /// Why.
    pub fn intent(&self) -> &Intent {
        match self {
            Self::Terminate(intent) | Self::Kill(intent) => intent,
        }
    }
}
