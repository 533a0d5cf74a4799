//! How fast hosts may be made, and made again.
//!
//! Owns: the queue of hosts to be spawned, and the back-off of those that keep dying. Never: charges a breaker, or
//! restarts a host by itself; the next session does.
//!
//! A host that dies of itself makes the next one of its tenant and runtime wait, longer each time, whoever was to
//! blame: a back-off costs little, and a tenant that kills itself by an unexplained SIGKILL must not spin. A death of a
//! session-scoped host that had become ready is no such sign, because the next session does not restart anything.
//! A success, or a healthy minute without a death, ends the back-off.

use std::collections::{BTreeMap, VecDeque};

use openrtc_ipc::{HostId, RuntimeName, TenantId};

use crate::Moment;
use crate::bounds::QUEUED_MS_MAX;
use crate::effect::{Effect, Notice};
use crate::exit::Exit;
use crate::hosts::{Host, State};
use crate::policy::Policy;
use crate::rules::HostScope;
use crate::timers::Timer;

/// Milliseconds without a death after which a tenant's hosts of one runtime count as healthy.
const HEALTHY_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
struct Backoff {
    deaths: usize,
    until: Moment,
}

/// The queue and the back-offs.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    queue: VecDeque<HostId>,
    backoffs: BTreeMap<(TenantId, RuntimeName), Backoff>,
}

impl Restarts {
    /// Milliseconds until the next host of this tenant and runtime may be made, if it has to wait.
    pub(crate) fn wait_ms(&self, now: Moment, tenant: &TenantId, runtime: &RuntimeName) -> Option<u64> {
        let backoff = self.backoffs.get(&(tenant.clone(), runtime.clone()))?;
        Some(backoff.until.ms_since(now)).filter(|ms| *ms > 0)
    }

    /// A host leaves the queue for good.
    pub(crate) fn leave(&mut self, host: HostId) {
        self.queue.retain(|queued| *queued != host);
    }

    /// Books a death; gives the wait that it brings.
    fn died(&mut self, now: Moment, key: (TenantId, RuntimeName), waits_ms: &[u64]) -> Option<u64> {
        let last = waits_ms.len().checked_sub(1)?;
        let deaths = self.backoffs.get(&key).map_or(0, |backoff| backoff.deaths);
        let wait_ms = waits_ms[deaths.min(last)];
        self.backoffs.insert(key, Backoff { deaths: deaths + 1, until: now.plus_ms(wait_ms) });
        Some(wait_ms)
    }
}

impl Policy {
    /// A host waits for its turn.
    pub(crate) fn queue_spawn(&mut self, host: HostId) {
        self.restarts.queue.push_back(host);
        self.timers.set(Timer::Queued(host), self.now.plus_ms(QUEUED_MS_MAX));
    }

    /// Spawns whoever has its turn: in order, but one tenant's full house does not hold up the others.
    pub(crate) fn spawn_next(&mut self, out: &mut Vec<Effect>) {
        while let Some(at) = self.restarts.queue.iter().position(|host| self.may_spawn(*host)) {
            let Some(id) = self.restarts.queue.remove(at) else { return };
            let Some(host) = self.hosts.get_mut(id) else { continue };
            host.state = State::Spawning;
            out.push(Effect::Spawn(host.plan.clone()));
            self.timers.cancel(&Timer::Queued(id));
            self.timers.set(Timer::Boot(id), self.now.plus_ms(self.rules.initialize_timeout_ms));
        }
    }

    /// Whether a process more is within `max_concurrent_spawns` and the bounds on hosts.
    fn may_spawn(&self, id: HostId) -> bool {
        let Some(host) = self.hosts.get(id) else { return true };
        let count = |counts: &dyn Fn(&Host) -> bool| self.hosts.iter().filter(|host| counts(host)).count();
        let stranger = |host: &Host| !self.rules.is_registered(&host.plan.tenant);
        count(&Host::is_booting) < self.rules.max_concurrent_spawns as usize
            && count(&Host::has_process) < self.rules.max_hosts as usize
            && (!stranger(host)
                || count(&|host| host.has_process() && stranger(host)) < self.rules.max_unregistered_hosts as usize)
    }

    /// A host died: the next one waits, unless we meant it to die or could not set it up.
    pub(crate) fn back_off(&mut self, host: &Host, exit: &Exit, out: &mut Vec<Effect>) {
        let ours = exit.planned() || matches!(exit, Exit::SetupFailed { .. });
        let served = host.plan.scope == HostScope::Session && host.ready_since().is_some();
        if ours || served {
            return;
        }
        let (tenant, runtime) = (host.plan.tenant.clone(), host.plan.runtime.clone());
        let key = (tenant.clone(), runtime.clone());
        if let Some(wait_ms) = self.restarts.died(self.now, key, &self.rules.restart_backoff_ms) {
            let healthy_at = self.now.plus_ms(wait_ms).plus_ms(HEALTHY_MS);
            self.timers.set(Timer::Healthy(tenant.clone(), runtime.clone()), healthy_at);
            out.push(Effect::Notice(Notice::RestartBackedOff { tenant, runtime, wait_ms }));
        }
    }

    /// A session succeeded, or no host died for a healthy while.
    pub(crate) fn end_back_off(&mut self, tenant: &TenantId, runtime: &RuntimeName) {
        let key = (tenant.clone(), runtime.clone());
        if self.restarts.backoffs.remove(&key).is_some() {
            self.timers.cancel(&Timer::Healthy(key.0, key.1));
        }
    }
}
