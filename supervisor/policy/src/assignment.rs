//! From an answered dispatch to a session that its host was told to start.
//!
//! Owns: opening a session, its assignment, and its start as soon as its host is ready. Never: starts one twice.

use openrtc_ipc::SessionId;

use crate::admission::Admission;
use crate::bounds::RESERVATION_TTL_MS;
use crate::dispatch::Dispatch;
use crate::effect::{Admitted, Answer, Effect, Notice, SessionPlan};
use crate::hosts::{self, Cause};
use crate::outcome::End;
use crate::policy::Policy;
use crate::sessions::{Session, State};
use crate::timers::Timer;

impl Policy {
    /// Somebody wants a session: the answer comes first, then what follows from it.
    pub(crate) fn offered(&mut self, dispatch: Dispatch, out: &mut Vec<Effect>) {
        match self.admit(&dispatch) {
            Ok(admission) => self.open_session(dispatch, admission, out),
            Err(rejection) => {
                self.tally.rejected(rejection.reason);
                if let Some(tenant) = rejection.tenant.as_ref().and_then(|id| self.tenants.get_mut(id)) {
                    *tenant.rejections.entry(rejection.reason).or_default() += 1;
                }
                out.push(Effect::Answer(dispatch.id, Answer::Rejected(rejection)));
            }
        }
    }

    fn open_session(&mut self, dispatch: Dispatch, admission: Admission, out: &mut Vec<Effect>) {
        let Admission { tenant, agent, runtime, routed_by, metadata, placement, place } = admission;
        let session = self.sessions.next_id();
        let admitted = Admitted { session, tenant: tenant.clone(), agent: agent.clone(), routed_by };
        out.push(Effect::Answer(dispatch.id, Answer::Admitted(admitted)));
        self.tally.admitted(&agent);
        self.announce(&tenant, &dispatch, out);
        let known = self.tenants.remember(&tenant, &self.rules, &self.places);
        let epoch = known.breaker.admitted(session);
        let host = self.settle_on(placement, session, &tenant, &runtime, out);
        let state = if dispatch.assigned_with_answer { State::Waiting } else { State::Offered };
        if !dispatch.assigned_with_answer {
            self.timers.set(Timer::Offer(session), self.now.plus_ms(RESERVATION_TTL_MS));
        }
        let Dispatch { room, job_id, job_metadata, room_metadata, .. } = dispatch;
        let plan = SessionPlan { session, tenant, agent, runtime, room, job_id, metadata, job_metadata, room_metadata };
        self.sessions.insert(Session { plan, host, state, admitted_at: self.now, epoch, place });
        // Not before the session is known: one that is yet to be started keeps its host from being told to drain.
        if self.has_served(host) {
            self.condemn(host, Cause::Served, out);
        }
        self.tend(host, out);
        self.start_if_ready(session, out);
    }

    /// Says once what an operator may not have meant: a tenant without configuration (semantics B5), or a session of
    /// nobody in particular although there are tenants (decision H2).
    fn announce(&mut self, tenant: &openrtc_ipc::TenantId, dispatch: &Dispatch, out: &mut Vec<Effect>) {
        if self.rules.tenants.contains_key(tenant) {
            return;
        }
        if *tenant == self.rules.default_tenant {
            if !self.rules.tenants.is_empty() && !std::mem::replace(&mut self.ran_as_default, true) {
                out.push(Effect::Notice(Notice::RanAsDefault { room: dispatch.room.clone() }));
            }
            return;
        }
        let known = self.tenants.remember(tenant, &self.rules, &self.places);
        if !std::mem::replace(&mut known.announced, true) {
            out.push(Effect::Notice(Notice::UnconfiguredTenant { tenant: tenant.clone() }));
        }
    }

    /// The dispatcher gave us the session that we accepted. One whose reservation has expired is gone, and only counted.
    pub(crate) fn assigned(&mut self, id: SessionId, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(id) else {
            self.tally.assigned_late += 1;
            return;
        };
        match &session.state {
            State::Offered => {
                session.state = State::Waiting;
                self.timers.cancel(&Timer::Offer(id));
                self.start_if_ready(id, out);
            }
            State::Doomed(death) => {
                // Its host's death was charged when it happened.
                let death = death.clone();
                if let Some(session) = self.take_out(id) {
                    self.publish(session, death.end(), out);
                }
            }
            State::Waiting | State::Starting | State::Running { .. } | State::Ending { .. } => {}
        }
    }

    /// Starts a session whose time has come: it is ours, and its host serves.
    pub(crate) fn start_if_ready(&mut self, id: SessionId, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let State::Waiting = session.state else { return };
        let host = session.host;
        let Some(hosts::State::Ready { agents, .. }) = self.hosts.get(host).map(|host| &host.state) else { return };
        if !agents.is_empty() && !agents.contains(&session.plan.agent) {
            let served: Vec<&str> = agents.iter().take(16).map(|agent| agent.as_str()).collect();
            let detail = format!("its host serves {}, not {}", served.join(", "), session.plan.agent);
            return self.conclude(id, End::NotServed { detail }, out);
        }
        session.state = State::Starting;
        out.push(Effect::StartSession(host, session.plan.clone()));
        let runtime = self.rules.runtimes.get(&session.plan.runtime);
        if let Some(session_ms_max) = runtime.and_then(|rules| rules.session_ms_max) {
            self.timers.set(Timer::Duration(id), self.now.plus_ms(session_ms_max));
        }
        self.tend(host, out);
    }
}
