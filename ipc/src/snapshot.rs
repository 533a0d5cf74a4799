//! What a host says of itself between events.
//!
//! Owns: the host's self-description. Never: stands for a measurement; memory and CPU are read from outside.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::SessionId;

/// Most sessions that a snapshot names; a host with more leaves the rest out.
pub const SNAPSHOT_SESSIONS_MAX: usize = 10_000;

/// A host's own view, sent with each pong and on demand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSnapshot {
    /// Sessions it believes it is running.
    #[serde(deserialize_with = "bounded::list::<_, _, SNAPSHOT_SESSIONS_MAX>")]
    pub sessions: Vec<SessionId>,
    /// Events it dropped because its own queue was full, since it started.
    pub events_dropped: u64,
    /// Delay of its event loop at the last ping, in microseconds.
    pub loop_lag_micros: u64,
}
