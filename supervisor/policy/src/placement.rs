//! Which host a session gets (decision H1).
//!
//! Owns: the choice between a host that is there and a fresh one, and the bounds on hosts. Never: acts before the
//! dispatch was answered; `place` only decides, `settle_on` carries out.
//!
//! Hosts are filled before another is made, so that those not needed any more run empty and end by themselves.

use openrtc_ipc::{HostId, RuntimeName, SessionId, TenantId};

use crate::bounds::BUSY_RETRY_MS;
use crate::effect::Effect;
use crate::hosts::{Cause, Host};
use crate::policy::Policy;
use crate::rejection::{RejectReason, Rejection};
use crate::rules::HostScope;

/// Where a session goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// To this host.
    Attach(HostId),
    /// To a new one, in whose favour an idle one may have to go.
    Fresh { evict: Option<HostId> },
}

impl Policy {
    /// Chooses a host, or says why none can be had.
    pub(crate) fn place(&self, tenant: &TenantId, runtime: &RuntimeName) -> Result<Placement, Rejection> {
        if self.rules.scope_of(tenant) == HostScope::Tenant
            && let Some(host) = self.shared_host(tenant, runtime)
        {
            return Ok(Placement::Attach(host));
        }
        if let Some(wait_ms) = self.restarts.wait_ms(self.now, tenant, runtime) {
            let detail = format!("hosts of tenant {tenant} on runtime {runtime} keep dying; the next may start later");
            return Err(Rejection::new(RejectReason::HostUnavailable, detail).retry_after_ms(wait_ms));
        }
        let stranger = |host: &Host| !self.rules.is_registered(&host.plan.tenant);
        let mut evict = None;
        if !self.rules.is_registered(tenant) {
            evict = self.room_for_one(self.rules.max_unregistered_hosts, "max_unregistered_hosts", &stranger)?;
        }
        if evict.is_none() {
            evict = self.room_for_one(self.rules.max_hosts, "max_hosts", &|_| true)?;
        }
        Ok(Placement::Fresh { evict })
    }

    /// Puts the session on its host, which is made if it must be. The host's first need is seen to by the caller.
    pub(crate) fn settle_on(
        &mut self,
        placement: Placement,
        session: SessionId,
        tenant: &TenantId,
        runtime: &RuntimeName,
        out: &mut Vec<Effect>,
    ) -> HostId {
        let id = match placement {
            Placement::Attach(host) => host,
            Placement::Fresh { evict } => {
                if let Some(idle) = evict {
                    self.condemn(idle, Cause::Idle, out);
                }
                self.make_host(tenant.clone(), runtime.clone(), self.rules.scope_of(tenant), 1)
            }
        };
        if let Some(host) = self.hosts.get_mut(id) {
            host.sessions.insert(session);
            host.served += 1;
            host.last_used = self.now;
        }
        id
    }

    /// Whether this was the last session that a tenant's host is to serve.
    pub(crate) fn has_served(&self, id: HostId) -> bool {
        let Some(host) = self.hosts.get(id).filter(|host| host.plan.scope == HostScope::Tenant) else { return false };
        let rules = self.rules.runtimes.get(&host.plan.runtime);
        rules.and_then(|rules| rules.recycle_after_sessions).is_some_and(|max| host.served >= max)
    }

    /// Makes a host and queues it; one made while its tenant drains is to end with its sessions.
    pub(crate) fn make_host(
        &mut self,
        tenant: TenantId,
        runtime: RuntimeName,
        scope: HostScope,
        attempt: u32,
    ) -> HostId {
        let draining = self.drains(&tenant);
        let id = self.hosts.insert(tenant, runtime, scope, attempt, self.now);
        if let Some(host) = self.hosts.get_mut(id)
            && draining
        {
            host.causes.insert(Cause::Draining);
        }
        self.queue_spawn(id);
        id
    }

    /// The fullest host of this tenant and runtime that takes one more, those that serve already first.
    fn shared_host(&self, tenant: &TenantId, runtime: &RuntimeName) -> Option<HostId> {
        let sessions_max = self.rules.runtimes.get(runtime).and_then(|rules| rules.max_sessions_per_host);
        let open = self.hosts.iter().filter(|host| host.takes(tenant, runtime, sessions_max));
        let best = open.max_by_key(|host| (host.ready_since().is_some(), host.sessions.len()));
        best.map(|host| host.plan.host)
    }

    /// Whether one host more is within this bound; if only just not, the idle host that was not used for the longest
    /// goes. A host on its way out does not count here: the new one waits in the queue until it is gone.
    fn room_for_one(
        &self,
        bound: u32,
        name: &'static str,
        counts: &dyn Fn(&Host) -> bool,
    ) -> Result<Option<HostId>, Rejection> {
        let staying = || self.hosts.iter().filter(|host| counts(host) && !host.is_ending());
        let count = staying().count();
        if count < bound as usize {
            return Ok(None);
        }
        let idle = staying().filter(|host| host.is_idle()).min_by_key(|host| (host.last_used, host.plan.host));
        match idle {
            Some(host) if count == bound as usize => Ok(Some(host.plan.host)),
            Some(_) | None => {
                let detail = format!("{count} hosts run, none of them idle, and {name} = {bound}");
                Err(Rejection::new(RejectReason::HostUnavailable, detail).retry_after_ms(BUSY_RETRY_MS))
            }
        }
    }
}
