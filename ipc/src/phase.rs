//! What a host may say when.
//!
//! Owns: the table phase × report. Never: asks who says it.
//!
//! ```text
//! Born ──Hello──► Greeted ──Launched──► Launched ──Ready──► Serving ──Bye──► Closed
//!                    └──SetupFailed──►     └──SetupFailed──► Closed
//! ```

use crate::report::Report;

/// How far a host has come, as the supervisor sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It exists; nothing was heard.
    Born,
    /// It said hello and was welcomed; it is walling itself in.
    Greeted,
    /// Its walls stand and it has the green light.
    Launched,
    /// It is ready, and may have sessions.
    Serving,
    /// It said goodbye or failed; nothing more is heard.
    Closed,
}

/// Whether a report of this kind is permitted in this phase.
///
/// A second hello is permitted while `Launched`: a foreign program says its own after it was exec'd.
pub fn permitted(phase: Phase, report: &Report) -> bool {
    match report {
        Report::Hello(_) => matches!(phase, Phase::Born | Phase::Launched),
        Report::Launched { .. } => phase == Phase::Greeted,
        Report::SetupFailed { .. } => matches!(phase, Phase::Greeted | Phase::Launched),
        Report::Ready { .. } => phase == Phase::Launched,
        Report::Log { .. } | Report::Pong { .. } | Report::Bye { .. } => {
            matches!(phase, Phase::Launched | Phase::Serving)
        }
        Report::SessionStarted { .. }
        | Report::SessionRerouted { .. }
        | Report::SessionEvent { .. }
        | Report::SessionEnded { .. }
        | Report::Snapshot(_) => phase == Phase::Serving,
    }
}
