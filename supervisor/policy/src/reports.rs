//! What is heard of hosts, and what of it is believed (law 2).
//!
//! Owns: the check that a host speaks of its own sessions and in the right order, its liveness, and its nearness to a
//! wall. Never: takes a host's word for who it is; the link has stamped that.
//!
//! A word about a session that is not the speaker's, or that it was never told to start, is a lie: the host is killed
//! (`protocol_violation{ownership}`, `{phase}`). A word of a host that is being killed is not heard. A word about a
//! host that is no more, by its generation, misses.

use openrtc_ipc::{AgentName, HostId, SessionId};

use crate::deaths::Death;
use crate::effect::Effect;
use crate::event::HostEvent;
use crate::exit::Intent;
use crate::hosts::{Cause, State};
use crate::outcome::{Asked, End};
use crate::policy::Policy;
use crate::sessions::Session;
use crate::timers::Timer;

impl Policy {
    /// Something happened to a host, or a host says so.
    pub(crate) fn host_event(&mut self, id: HostId, event: HostEvent, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.has_process()) else { return };
        match event {
            HostEvent::Up => host.up(),
            HostEvent::Ready { agents } => self.host_ready(id, agents, out),
            HostEvent::SetupFailed(failure) => self.host_not_set_up(id, failure, out),
            HostEvent::SessionStarted(session) => self.session_started(id, session, out),
            HostEvent::SessionRerouted(session, agent) => self.session_rerouted(id, session, agent, out),
            HostEvent::SessionEnded { session, status, error, denied } => {
                self.session_ended(id, session, End::Reported { status, error, denied }, out);
            }
            HostEvent::Violated { kind } => self.kill_host(id, Intent::Protocol { kind: kind.to_owned() }, out),
            HostEvent::Silent { ms } => self.host_silent(id, ms, out),
            HostEvent::Responsive => self.lift(id, Cause::Unresponsive, out),
            HostEvent::NearWall { .. } => self.condemn(id, Cause::Memory, out),
            HostEvent::OffWall => self.lift(id, Cause::Memory, out),
            HostEvent::Leaving => self.host_leaving(id, out),
            HostEvent::Exited(exit) => self.bury(id, Death::Exited(exit), out),
        }
    }

    fn host_ready(&mut self, id: HostId, agents: Vec<AgentName>, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        if !host.ready(self.now, agents) {
            return;
        }
        let waiting: Vec<SessionId> = host.sessions.iter().copied().collect();
        self.timers.cancel(&Timer::Boot(id));
        for session in waiting {
            self.start_if_ready(session, out);
        }
        self.tend(id, out);
    }

    fn host_silent(&mut self, id: HostId, ms: u64, out: &mut Vec<Effect>) {
        if ms >= self.rules.unresponsive_kill_ms {
            self.kill_host(id, Intent::Heartbeat { silent_ms: ms }, out);
        } else if ms >= self.rules.unresponsive_warn_ms {
            self.condemn(id, Cause::Unresponsive, out);
        }
    }

    /// A host that says goodbye goes by itself, and is killed if it does not.
    fn host_leaving(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let news = self.hosts.get(id).is_some_and(|host| !host.is_ending() && !host.causes.contains(&Cause::Leaving));
        if news {
            self.timers.set(Timer::Leave(id), self.now.plus_ms(self.rules.terminate_grace_ms));
            self.condemn(id, Cause::Leaving, out);
        }
    }

    /// The session that a host speaks of, if it may.
    fn spoken_of(&mut self, host: HostId, session: SessionId, out: &mut Vec<Effect>) -> Option<&mut Session> {
        if let State::Ending { killed: true, .. } = self.hosts.get(host)?.state {
            return None;
        }
        let lie = match self.sessions.get(session) {
            Some(found) if found.host == host && !found.is_pending() => None,
            Some(found) if found.host == host => Some("phase"),
            Some(_) | None => Some("ownership"),
        };
        if let Some(kind) = lie {
            self.kill_host(host, Intent::Protocol { kind: kind.to_owned() }, out);
            return None;
        }
        self.sessions.get_mut(session)
    }

    fn session_started(&mut self, host: HostId, id: SessionId, out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(session) = self.spoken_of(host, id, out) else { return };
        if !session.start(now) {
            return;
        }
        let tenant = session.plan.tenant.clone();
        self.tally.started += 1;
        if let Some(known) = self.tenants.get_mut(&tenant) {
            known.started += 1;
            if known.breaker.probes(id) {
                let good_at = now.plus_ms(self.rules.breaker_of(&tenant).half_open_success_after_ms);
                self.timers.set(Timer::Probe(id), good_at);
            }
        }
    }

    /// The application's own router chose another agent. It is booked where we would have allowed it; else the session is
    /// ended, and counts for the agent it was admitted with until then, so that no cap is overshot by a host's word.
    fn session_rerouted(&mut self, host: HostId, id: SessionId, agent: AgentName, out: &mut Vec<Effect>) {
        let Some(session) = self.spoken_of(host, id, out) else { return };
        let (tenant, runtime) = (session.plan.tenant.clone(), session.plan.runtime.clone());
        let known = self.rules.agents.get(&agent).filter(|rules| rules.runtime == runtime);
        let allowed = self.rules.allows(&tenant, &agent);
        let (places, sessions) = (&mut self.places, &mut self.sessions);
        let refused = match (known, allowed, sessions.get_mut(id)) {
            (Some(rules), true, Some(session)) => {
                if places.rebook(&mut session.place, &agent, rules.max_sessions) {
                    session.plan.agent = agent;
                    return;
                }
                Asked::FullAgent
            }
            _ => Asked::ForeignAgent,
        };
        self.tally.reroutes_refused += 1;
        self.end_session(id, refused, out);
    }

    fn session_ended(&mut self, host: HostId, id: SessionId, end: End<'_>, out: &mut Vec<Effect>) {
        if self.spoken_of(host, id, out).is_some() {
            self.conclude(id, end, out);
        }
    }
}
