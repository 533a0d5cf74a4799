//! How a session is brought to its end.
//!
//! Owns: asking it to end, and what happens when it does not. Never: concludes one that its host still runs.
//!
//! A session that has not ended within `terminate_grace_ms` of being asked is killed with its host where the host is
//! its own. A shared host is not killed for it, because that would end its tenant's other calls: it is asked again each
//! grace, every refusal is counted, and the host is condemned, so that it is recycled when its other sessions are over
//! and new ones go elsewhere.

use openrtc_ipc::SessionId;

use crate::effect::Effect;
use crate::exit::Intent;
use crate::hosts::Cause;
use crate::outcome::{Asked, End};
use crate::policy::Policy;
use crate::rules::HostScope;
use crate::sessions::State;
use crate::timers::Timer;

impl Policy {
    /// Ends a session: at once if its host does not know of it, else by asking.
    pub(crate) fn end_session(&mut self, id: SessionId, asked: Asked, out: &mut Vec<Effect>) {
        if self.call_off(id, asked, out) {
            self.ask_to_end(id, out);
        }
    }

    /// Takes back what its host was not told of, and marks what it was; whether the host is to be told now.
    pub(crate) fn call_off(&mut self, id: SessionId, asked: Asked, out: &mut Vec<Effect>) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        match session.state {
            State::Offered | State::Doomed(_) => {
                self.release(id, out);
                false
            }
            State::Waiting => {
                self.conclude(id, End::CalledOff(asked), out);
                false
            }
            State::Starting | State::Running { .. } => session.ask(asked),
            State::Ending { .. } => false,
        }
    }

    /// A session that was asked to end has had its time.
    pub(crate) fn end_grace_over(&mut self, id: SessionId, out: &mut Vec<Effect>) {
        let Some((session, asked)) = self.sessions.get(id).and_then(|session| Some((session, session.asked()?))) else {
            return;
        };
        let host = session.host;
        match self.hosts.get(host).filter(|host| !host.is_ending()).map(|host| host.plan.scope) {
            None => {}
            Some(HostScope::Session) => {
                let intent = match asked {
                    Asked::Operator => Intent::Operator,
                    Asked::Shutdown => Intent::Shutdown,
                    Asked::DrainTimeout => Intent::DrainTimeout,
                    Asked::Duration | Asked::CallerLeft | Asked::CallOver | Asked::ForeignAgent | Asked::FullAgent => {
                        Intent::SessionLimit { limit_ms: self.rules.terminate_grace_ms }
                    }
                };
                self.kill_host(host, intent, out);
            }
            Some(HostScope::Tenant) => {
                self.tally.ends_ignored += 1;
                self.condemn(host, Cause::SessionStuck, out);
                self.ask_to_end(id, out);
            }
        }
    }

    fn ask_to_end(&mut self, id: SessionId, out: &mut Vec<Effect>) {
        if let Some((session, asked)) = self.sessions.get(id).and_then(|session| Some((session, session.asked()?))) {
            out.push(Effect::EndSession(session.host, id, asked.name()));
            let grace_ms = self.rules.terminate_grace_ms.max(1);
            self.timers.set(Timer::EndGrace(id), self.now.plus_ms(grace_ms));
        }
    }
}
