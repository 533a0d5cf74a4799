//! What the worker looks like from outside.
//!
//! Owns: counters, the standing of the connection, and why calls cannot come. Never: changes anything.

use std::sync::Arc;
use std::time::Duration;

use crate::worker::load::LoadReport;

/// What happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Registrations.
    pub registered: u64,
    /// Connections that ended or were not made.
    pub disconnected: u64,
    /// Offers, the automatically refused ones included.
    pub offers: u64,
    /// Acceptances sent.
    pub accepted: u64,
    /// Refusals sent, with whatever `terminate`.
    pub refused: u64,
    /// Refusals whose `terminate` was not honoured, because the job was not dispatched to our agent name.
    pub terminate_withheld: u64,
    /// Assignments of jobs that we had accepted.
    pub assigned: u64,
    /// Offers and acceptances that came to nothing.
    pub lapsed: u64,
    /// Assignments of jobs that we did not wait for; reported as failed at once.
    pub assigned_late: u64,
    /// Terminations asked for by the server.
    pub terminations: u64,
    /// Jobs reported as success.
    pub succeeded: u64,
    /// Jobs reported as failed.
    pub failed: u64,
    /// Terminal updates that were forgotten because too many waited.
    pub updates_lost: u64,
    /// Messages of a newer server, skipped.
    pub messages_unknown: u64,
    /// Frames that were no message, skipped.
    pub messages_unreadable: u64,
    /// Messages that made no sense where they came, skipped.
    pub messages_unexpected: u64,
    /// Messages of ours that were too large to be sent.
    pub messages_too_large: u64,
    /// Decisions about jobs that were no longer there.
    pub decisions_stale: u64,
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkView {
    /// Not started.
    Idle,
    /// Connecting, or waiting to.
    Connecting {
        /// Delays since the last stable registration.
        attempt: u32,
        /// Why the last connection ended.
        why: Option<Arc<str>>,
    },
    /// Connected, not registered yet.
    Registering,
    /// Registered.
    Registered {
        /// The server's name for us.
        worker_id: Arc<str>,
        /// The server's version.
        server_version: Arc<str>,
        /// The server's node.
        node_id: Arc<str>,
    },
    /// Shut down.
    Stopped,
}

/// Why no call can come now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotDispatchable {
    /// There is no registration.
    #[error("the worker is not registered with the server")]
    NotRegistered,
    /// The last report was that the worker is full.
    #[error("the worker is full")]
    Full,
    /// The worker drains.
    #[error("the worker is draining")]
    Draining,
    /// The worker was shut down.
    #[error("the worker is stopped")]
    Stopped,
}

/// The worker at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The connection.
    pub link: LinkView,
    /// Whether it drains.
    pub draining: bool,
    /// What the server was told last on this connection, or would be.
    pub report: LoadReport,
    /// Offers and acceptances that wait.
    pub pending: usize,
    /// Jobs that are assigned.
    pub live: usize,
    /// Terminal updates that wait for a connection.
    pub updates_waiting: usize,
    /// Connections that are only kept for their jobs.
    pub leaving: usize,
    /// The last ping's time there and back.
    pub round_trip: Option<Duration>,
    /// What happened since the start.
    pub counters: Counters,
}

impl Standing {
    /// Whether the server can offer us anything now.
    pub fn dispatchable(&self) -> Result<(), NotDispatchable> {
        match self.link {
            LinkView::Stopped => Err(NotDispatchable::Stopped),
            LinkView::Idle | LinkView::Connecting { .. } | LinkView::Registering => Err(NotDispatchable::NotRegistered),
            LinkView::Registered { .. } if self.draining => Err(NotDispatchable::Draining),
            LinkView::Registered { .. } if !self.report.available() => Err(NotDispatchable::Full),
            LinkView::Registered { .. } => Ok(()),
        }
    }
}
