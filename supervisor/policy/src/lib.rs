//! Decides: a state machine that takes events and returns effects.
//!
//! Owns: admission, routing, caps, breakers, placement, restarts, drain and outcomes of one supervisor. Never: waits,
//! reads a clock, rolls dice, or touches a process. Time and randomness are arguments.

mod admission;
mod assignment;
pub mod bounds;
mod breaker;
mod caps;
mod conclusion;
mod deaths;
pub mod dispatch;
mod drain;
pub mod effect;
mod ending;
pub mod event;
pub mod exit;
#[cfg(test)]
mod fixture;
mod hosts;
mod metadata;
mod namespace;
mod operator;
pub mod outcome;
mod placement;
pub mod policy;
#[cfg(test)]
mod reasons;
pub mod rejection;
mod reports;
mod restart;
mod retirement;
mod routing;
pub mod rules;
mod sessions;
mod tally;
mod tenants;
mod timers;
pub mod trace;
pub mod view;

pub use dispatch::{Dispatch, DispatchId};
pub use effect::{Admitted, Answer, Conclusion, Effect, HostPlan, Notice, SessionPlan};
pub use event::{Event, HostEvent, OperatorEvent, SetupFailure};
pub use exit::{Evidence, Exit, Intent, WaitStatus, attribute};
pub use outcome::{Blame, Outcome, Reason, Status};
pub use policy::Policy;
pub use rejection::{RejectReason, Rejection};
pub use rules::Rules;
pub use trace::Explanation;
pub use view::{BreakerView, Counters, HostView, SessionView, TenantView};

/// A point in time: milliseconds on a clock that never goes back, counted from the supervisor's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment and so many milliseconds.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if `earlier` is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
