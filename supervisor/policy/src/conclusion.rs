//! The end of a session, exactly once.
//!
//! Owns: taking a session out of the table, its conclusion, and what its tenant's breaker takes from it. Never: says
//! how it ended (that is `outcome.rs`).

use openrtc_ipc::{SessionId, TenantId};

use crate::breaker::{Change, Sample};
use crate::effect::{Conclusion, Effect, Notice};
use crate::outcome::{Blame, End, Outcome, Reason, Status, conclude};
use crate::policy::Policy;
use crate::rules::BreakerRules;
use crate::sessions::Session;
use crate::timers::Timer;

/// What a breaker takes from an outcome (semantics D10): a success, a failure of the tenant's own, else nothing.
pub(crate) fn sample(outcome: &Outcome, rules: &BreakerRules) -> Option<Sample> {
    match (outcome.status, outcome.blame, &outcome.reason) {
        (Status::Success, _, _) => Some(Sample::Good),
        (Status::Failed, Blame::Tenant, _) => Some(Sample::Bad),
        (_, _, Reason::OperatorKill) if rules.count_operator_kills => Some(Sample::Bad),
        (Status::Failed, Blame::Caller | Blame::Platform, _) | (Status::Cancelled, _, _) => None,
    }
}

impl Policy {
    /// Ends a session by itself: one cause, one sample.
    pub(crate) fn conclude(&mut self, id: SessionId, end: End<'_>, out: &mut Vec<Effect>) {
        let Some(session) = self.take_out(id) else { return };
        let (tenant, epoch, host) = (session.plan.tenant.clone(), session.epoch, session.host);
        if let Some(sample) = self.publish(session, end, out) {
            self.charge(&tenant, epoch, sample, out);
        }
        self.session_left(host, out);
    }

    /// Releases a session that was never assigned: it never was one, so there is nothing to conclude (its place is
    /// given back, and it is counted).
    pub(crate) fn release(&mut self, id: SessionId, out: &mut Vec<Effect>) {
        if let Some(session) = self.take_out(id) {
            self.tally.reservations_released += 1;
            self.session_left(session.host, out);
        }
    }

    /// Takes a session out of every table.
    pub(crate) fn take_out(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        self.timers.cancel_session(id);
        if let Some(host) = self.hosts.get_mut(session.host) {
            host.sessions.remove(&id);
            host.last_used = self.now;
        }
        if let Some(tenant) = self.tenants.get_mut(&session.plan.tenant) {
            tenant.breaker.let_go(id);
        }
        Some(session)
    }

    /// Says how a session ended; gives what the breaker may take from it.
    pub(crate) fn publish(&mut self, session: Session, end: End<'_>, out: &mut Vec<Effect>) -> Option<Sample> {
        let started_at = session.started_at();
        let (host, exit) = match &end {
            End::HostDied(exit) => (Some(session.host), Some((*exit).clone())),
            End::Reported { .. } | End::NotServed { .. } => (Some(session.host), None),
            End::NoHost(_) | End::CalledOff(_) => (None, None),
        };
        let outcome = conclude(session.asked(), end);
        let sample = sample(&outcome, self.rules.breaker_of(&session.plan.tenant));
        self.tally.ended(&outcome);
        if let Some(tenant) = self.tenants.get_mut(&session.plan.tenant) {
            tenant.failed += u64::from(outcome.status == Status::Failed);
        }
        if outcome.status == Status::Success {
            self.end_back_off(&session.plan.tenant, &session.plan.runtime);
        }
        let duration_ms = started_at.map_or(0, |at| self.now.ms_since(at));
        let started = started_at.is_some();
        // The place under the caps is released here, with the session.
        let plan = session.plan;
        out.push(Effect::Conclude(Box::new(Conclusion { plan, host, outcome, exit, duration_ms, started })));
        sample
    }

    /// Gives the tenant's breaker one sample.
    pub(crate) fn charge(&mut self, tenant: &TenantId, epoch: u64, sample: Sample, out: &mut Vec<Effect>) {
        let rules = self.rules.breaker_of(tenant);
        let Some(known) = self.tenants.get_mut(tenant) else { return };
        if let Some(change) = known.breaker.record(self.now, epoch, sample, rules) {
            self.breaker_changed(tenant, change, out);
        }
    }

    /// Tells of a breaker's change, and waits for the end of its cooldown.
    pub(crate) fn breaker_changed(&mut self, tenant: &TenantId, change: Change, out: &mut Vec<Effect>) {
        let timer = Timer::Breaker(tenant.clone());
        let tenant = tenant.clone();
        let notice = match change {
            Change::Opened { failures, samples, until } => {
                self.timers.set(timer, until);
                Notice::BreakerOpened { tenant, failures, samples, cooldown_ms: until.ms_since(self.now) }
            }
            Change::Probing => Notice::BreakerProbing { tenant },
            Change::Closed => {
                self.timers.cancel(&timer);
                Notice::BreakerClosed { tenant }
            }
        };
        out.push(Effect::Notice(notice));
    }
}
