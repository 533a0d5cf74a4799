//! How a host comes to its end, gently or not.
//!
//! Owns: condemning, draining, ending and killing of hosts. Never: signals; it asks for it, with the intent.
//!
//! A condemned host gets no new sessions; those it has go on (a call is worth more than a process). Everything that
//! changes about a host ends with `tend`, which sees what it needs now.

use openrtc_ipc::{HostId, SessionId};

use crate::effect::{Effect, Notice};
use crate::exit::Intent;
use crate::hosts::{Care, Cause, State};
use crate::outcome::Asked;
use crate::policy::Policy;
use crate::rules::HostScope;
use crate::timers::Timer;

impl Policy {
    /// Lets a host have no new sessions, for this cause.
    pub(crate) fn condemn(&mut self, id: HostId, cause: Cause, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| !host.is_ending()) else { return };
        if host.causes.insert(cause) {
            out.push(Effect::Notice(Notice::HostCondemned { host: id, cause: cause.name() }));
            self.tend(id, out);
        }
    }

    /// The cause has passed; without another the host is as before.
    pub(crate) fn lift(&mut self, id: HostId, cause: Cause, out: &mut Vec<Effect>) {
        if let Some(host) = self.hosts.get_mut(id) {
            host.causes.remove(&cause);
            self.tend(id, out);
        }
    }

    /// Sees to what a host needs, now that something about it has changed.
    pub(crate) fn tend(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get(id) else { return };
        let pending = host.sessions.iter().any(|session| self.sessions.get(*session).is_some_and(|s| s.is_pending()));
        let (care, last_used) = (host.care(pending), host.last_used);
        if care != Care::Watch {
            self.timers.cancel(&Timer::Idle(id));
        }
        match care {
            Care::None => {}
            Care::Watch => self.timers.set(Timer::Idle(id), last_used.plus_ms(self.rules.host_idle_timeout_ms)),
            Care::TellToDrain => self.tell_to_drain(id, out),
            Care::End => self.end_host(id, Intent::Drained, out),
        }
    }

    /// Ends a host in good order: its sessions are asked to end, and it has the grace to go. One that never served has
    /// nothing to lose and is killed; one that was never spawned just leaves.
    pub(crate) fn end_host(&mut self, id: HostId, intent: Intent, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get(id).filter(|host| !host.is_ending()) else { return };
        let queued = !host.has_process();
        let booting = host.is_booting();
        let sessions: Vec<SessionId> = host.sessions.iter().copied().collect();
        if let Some(host) = self.hosts.get_mut(id) {
            host.end(intent.clone(), booting);
        }
        for session in sessions {
            self.call_off(session, Asked::by(&intent), out);
        }
        self.timers.cancel_host(id);
        if queued {
            self.hosts.remove(id);
            self.restarts.leave(id);
        } else if booting {
            out.push(Effect::Kill(id, intent));
        } else {
            out.push(Effect::Terminate(id, intent));
        }
    }

    /// Kills a host and its tree. From now on nothing it says is believed: its sessions end with its process.
    pub(crate) fn kill_host(&mut self, id: HostId, intent: Intent, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get_mut(id).filter(|host| host.has_process()) else { return };
        if host.end(intent.clone(), true) {
            self.timers.cancel_host(id);
            out.push(Effect::Kill(id, intent));
        }
    }

    /// A session has left its host, which may have been made for it alone.
    pub(crate) fn session_left(&mut self, id: HostId, out: &mut Vec<Effect>) {
        match self.hosts.get(id).map(|host| host.plan.scope) {
            Some(HostScope::Session) => self.condemn(id, Cause::SessionOver, out),
            Some(HostScope::Tenant) => self.tend(id, out),
            None => {}
        }
    }

    fn tell_to_drain(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        if let State::Ready { since, .. } = host.state {
            host.state = State::Draining { since };
            out.push(Effect::DrainHost(id));
        }
    }
}
