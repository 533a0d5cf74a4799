//! What the end of a host means for the sessions it carried.
//!
//! Owns: burying a host: its sessions' conclusions, the one sample of its breaker (decision R2), its back-off, and the
//! new attempt where our own set-up failed. Never: attributes an exit (that is `exit.rs`).

use openrtc_ipc::{HostId, SessionId, SetupStep};

use crate::bounds::QUEUED_MS_MAX;
use crate::breaker::Sample;
use crate::conclusion::sample;
use crate::effect::{Effect, Notice};
use crate::event::SetupFailure;
use crate::exit::{Exit, Intent};
use crate::hosts::State;
use crate::outcome::{End, conclude};
use crate::policy::Policy;
use crate::sessions;

/// Linux's error number for "timed out".
const ETIMEDOUT: i32 = 110;

/// How a host came to its end.
#[derive(Debug, Clone)]
pub(crate) enum Death {
    /// Its process died.
    Exited(Exit),
    /// There never was a process that served.
    NotSetUp(SetupFailure),
}

impl Death {
    /// What it is to a session.
    pub(crate) fn end(&self) -> End<'_> {
        match self {
            Self::Exited(exit) => End::HostDied(exit),
            Self::NotSetUp(failure) => End::NoHost(failure),
        }
    }
}

impl Policy {
    /// A host could not be brought up. Our own making is tried again, with the sessions that wait; the breaker is never
    /// charged.
    pub(crate) fn host_not_set_up(&mut self, id: HostId, failure: SetupFailure, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get(id) else { return };
        let again = failure.retry && host.attempt < self.rules.spawn_attempts && !host.sessions.is_empty();
        match &host.state {
            State::Ending { intent, .. } => {
                let exit = Exit::from(intent);
                self.bury(id, Death::Exited(exit), out);
            }
            State::Spawning | State::Up if again => self.try_again(id, out),
            State::Queued | State::Spawning | State::Up | State::Ready { .. } | State::Draining { .. } => {
                self.bury(id, Death::NotSetUp(failure), out);
            }
        }
    }

    /// A host was not ready in time. Until its walls stand only our own code has run, so that is our failure; after that
    /// it is the tenant's.
    pub(crate) fn host_boot_timeout(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.get(id) else { return };
        let intent = match host.state {
            State::Spawning => Intent::Setup { step: SetupStep::Hello, errno: ETIMEDOUT },
            State::Queued | State::Up | State::Ready { .. } | State::Draining { .. } | State::Ending { .. } => {
                Intent::BootTimeout { limit_ms: self.rules.initialize_timeout_ms }
            }
        };
        self.kill_host(id, intent, out);
    }

    /// A host waited too long for its turn to be spawned.
    pub(crate) fn host_not_spawned(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let detail = format!(
            "no turn to spawn its host within {QUEUED_MS_MAX} ms: raise max_concurrent_spawns ({}) or max_hosts ({})",
            self.rules.max_concurrent_spawns, self.rules.max_hosts
        );
        let failure = SetupFailure { step: SetupStep::Fork, errno: 0, detail, retry: false };
        self.bury(id, Death::NotSetUp(failure), out);
    }

    /// A host is gone: each of its sessions is concluded, its tenant's breaker takes at most one sample, and the next
    /// host may have to wait.
    pub(crate) fn bury(&mut self, id: HostId, death: Death, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.remove(id) else { return };
        self.timers.cancel_host(id);
        self.restarts.leave(id);
        let mut lost = Vec::new();
        let mut charged_epoch = None;
        for session in &host.sessions {
            let Some(found) = self.sessions.get(*session) else { continue };
            if !matches!(found.state, sessions::State::Offered | sessions::State::Doomed(_)) {
                lost.push(*session);
            }
            charged_epoch = charged_epoch.max(self.lose(*session, &death, out));
        }
        if let Some(epoch) = charged_epoch {
            self.charge(&host.plan.tenant, epoch, Sample::Bad, out);
        }
        let exit = match death {
            Death::Exited(exit) => {
                self.back_off(&host, &exit, out);
                Some(exit)
            }
            Death::NotSetUp(_) => None,
        };
        out.push(Effect::Notice(Notice::HostGone { plan: host.plan, exit, sessions: lost }));
    }

    /// A session lost its host; gives its breaker epoch if that is the tenant's failure. One that is not assigned yet
    /// is only doomed: if it never is, it never was a session.
    fn lose(&mut self, id: SessionId, death: &Death, out: &mut Vec<Effect>) -> Option<u64> {
        let session = self.sessions.get_mut(id)?;
        let epoch = session.epoch;
        let sample = match session.state {
            sessions::State::Offered | sessions::State::Doomed(_) => {
                session.state = sessions::State::Doomed(death.clone());
                sample(&conclude(None, death.end()), self.rules.breaker_of(&session.plan.tenant))
            }
            sessions::State::Waiting
            | sessions::State::Starting
            | sessions::State::Running { .. }
            | sessions::State::Ending { .. } => {
                let session = self.take_out(id)?;
                self.publish(session, death.end(), out)
            }
        };
        (sample == Some(Sample::Bad)).then_some(epoch)
    }

    /// Makes another host in the place of one that could not be set up; its sessions go on waiting.
    fn try_again(&mut self, id: HostId, out: &mut Vec<Effect>) {
        let Some(host) = self.hosts.remove(id) else { return };
        self.timers.cancel_host(id);
        out.push(Effect::Notice(Notice::HostGone { plan: host.plan.clone(), exit: None, sessions: Vec::new() }));
        let plan = host.plan;
        let next = self.make_host(plan.tenant, plan.runtime, plan.scope, host.attempt + 1);
        for session in &host.sessions {
            if let Some(session) = self.sessions.get_mut(*session) {
                session.host = next;
            }
        }
        if let Some(next) = self.hosts.get_mut(next) {
            next.sessions = host.sessions;
            next.causes.extend(host.causes);
        }
    }
}
