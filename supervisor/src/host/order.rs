//! What a host's task is told by the driver.
//!
//! Owns: orders, and the ways to end a host. Never: a queue without bound.

use std::os::fd::OwnedFd;

use openrtc_ipc::{SessionId, SessionInfo};
use openrtc_policy::Intent;

/// An order for a host that serves.
#[derive(Debug)]
pub enum Order {
    /// Start a session, with its recording if there is one.
    StartSession(Box<SessionInfo>, Option<OwnedFd>),
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
