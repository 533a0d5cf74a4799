//! What a host says of itself between events.
//!
//! Owns: the host's self-description. Never: stands for a measurement; memory and CPU are read from outside.

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// A host's own view, sent with each pong and on demand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSnapshot {
    /// Sessions it believes it is running.
    pub sessions: Vec<SessionId>,
    /// Events it dropped because its own queue was full, since it started.
    pub events_dropped: u64,
    /// Delay of its event loop at the last ping, in microseconds.
    pub loop_lag_micros: u64,
}
