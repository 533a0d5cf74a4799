//! Finishing without dropping a call (semantics I1, I2, H6).
//!
//! Owns: how far the supervisor's own drain has come, and the drains of tenants. Never: begins one twice; whoever asks
//! again changes nothing.
//!
//! ```text
//! Serving ── Drain ──► Draining ── Shutdown ──► Finishing
//!    └────────────── Shutdown ──────────────────────┤
//!                         Draining, Finishing ── last host gone ──► Finished
//! ```

use openrtc_ipc::TenantId;

use crate::effect::{Effect, Notice};
use crate::exit::Intent;
use crate::hosts::Cause;
use crate::policy::Policy;
use crate::sessions::State;
use crate::timers::Timer;

/// How far the supervisor's own drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// No new sessions; it finishes after the last.
    Draining,
    /// Every host was told to go.
    Finishing,
    /// It said that it has finished.
    Finished,
}

impl Policy {
    /// Whether a new host of this tenant would only be there to end.
    pub(crate) fn drains(&self, tenant: &TenantId) -> bool {
        self.phase != Phase::Serving || self.tenants.get(tenant).is_some_and(|known| known.draining)
    }

    /// No new sessions at all.
    pub(crate) fn drain(&mut self, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Serving => {
                self.phase = Phase::Draining;
                self.begin_drain(None, out);
            }
            Phase::Draining | Phase::Finishing | Phase::Finished => {}
        }
    }

    /// No new sessions for one tenant, until it is resumed.
    pub(crate) fn drain_tenant(&mut self, tenant: &TenantId, out: &mut Vec<Effect>) {
        let known = self.tenants.remember(tenant, &self.rules, &self.places);
        if !std::mem::replace(&mut known.draining, true) {
            self.begin_drain(Some(tenant), out);
        }
    }

    /// Every host is told to go, and whatever had not begun is off.
    pub(crate) fn shutdown(&mut self, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Serving | Phase::Draining => {
                self.phase = Phase::Finishing;
                self.timers.cancel(&Timer::Drain(None));
                self.end_hosts(None, &Intent::Shutdown, out);
            }
            Phase::Finishing | Phase::Finished => {}
        }
    }

    /// A drain's time is over.
    pub(crate) fn drain_over(&mut self, tenant: Option<&TenantId>, out: &mut Vec<Effect>) {
        self.end_hosts(tenant, &Intent::DrainTimeout, out);
    }

    /// Says once that all is done, when it was asked to finish and nothing is left.
    pub(crate) fn finish_when_done(&mut self, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Draining | Phase::Finishing if self.hosts.is_empty() && self.sessions.is_empty() => {
                self.phase = Phase::Finished;
                self.timers.cancel(&Timer::Drain(None));
                out.push(Effect::Finish);
            }
            Phase::Serving | Phase::Draining | Phase::Finishing | Phase::Finished => {}
        }
    }

    fn begin_drain(&mut self, tenant: Option<&TenantId>, out: &mut Vec<Effect>) {
        out.push(Effect::Notice(Notice::DrainStarted { tenant: tenant.cloned() }));
        self.timers.set(Timer::Drain(tenant.cloned()), self.now.plus_ms(self.rules.drain_timeout_ms));
        for host in self.hosts.ids_of(tenant) {
            self.condemn(host, Cause::Draining, out);
        }
    }

    fn end_hosts(&mut self, tenant: Option<&TenantId>, intent: &Intent, out: &mut Vec<Effect>) {
        let wanted = |id: &TenantId| tenant.is_none_or(|tenant| tenant == id);
        let unassigned = |state: &State| matches!(state, State::Offered | State::Doomed(_));
        let offered = self.sessions.iter().filter(|session| wanted(&session.plan.tenant) && unassigned(&session.state));
        let offered: Vec<_> = offered.map(|session| session.plan.session).collect();
        for session in offered {
            self.release(session, out);
        }
        for host in self.hosts.ids_of(tenant) {
            self.end_host(host, intent.clone(), out);
        }
    }
}
