//! Observers: what became of everything that each was told.
//!
//! Owns: one row per observer. Never: what it was told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observer's tally since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observer {
    /// Its name.
    pub name: String,
    /// Taken in good order.
    pub taken: u64,
    /// Never heard, because its queue was full or it is gone.
    pub dropped: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Ended in a panic.
    pub panicked: u64,
    /// Given up after the timeout.
    pub timed_out: u64,
    /// Waiting now.
    pub queued: u64,
    /// For how long it has been busy with the same thing, in milliseconds; 0 when idle.
    pub busy_ms: u64,
}
