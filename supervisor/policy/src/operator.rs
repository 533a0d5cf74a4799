//! An operator's orders.
//!
//! Owns: what each order changes. Never: asks whether the operator may; the control socket has.

use openrtc_ipc::TenantId;

use crate::breaker::Change;
use crate::effect::Effect;
use crate::event::OperatorEvent;
use crate::exit::Intent;
use crate::hosts::{Cause, Host};
use crate::outcome::Asked;
use crate::policy::Policy;
use crate::rules::TenantStatus;
use crate::timers::Timer;

impl Policy {
    /// Carries out an order.
    pub(crate) fn operator(&mut self, order: OperatorEvent, out: &mut Vec<Effect>) {
        match order {
            OperatorEvent::EndSession(session) => self.end_session(session, Asked::Operator, out),
            OperatorEvent::KillHost(host) => self.kill_host(host, Intent::Operator, out),
            OperatorEvent::RecycleHost(host) => self.condemn(host, Cause::Recycled, out),
            OperatorEvent::KillTenant(tenant) => self.kill_tenant(&tenant, out),
            OperatorEvent::SuspendTenant(tenant) => self.order_status(&tenant, TenantStatus::Suspended),
            OperatorEvent::ResumeTenant(tenant) => self.resume_tenant(&tenant),
            OperatorEvent::ForgetTenantOrder(tenant) => self.forget_status(&tenant),
            OperatorEvent::DrainTenant(tenant) => self.drain_tenant(&tenant, out),
            OperatorEvent::TripBreaker(tenant, for_ms) => self.trip_breaker(&tenant, for_ms, out),
            OperatorEvent::ResetBreaker(tenant) => self.reset_breaker(&tenant, out),
            OperatorEvent::Drain => self.drain(out),
            OperatorEvent::Shutdown => self.shutdown(out),
        }
    }

    fn order_status(&mut self, tenant: &TenantId, status: TenantStatus) {
        self.tenants.remember(tenant, &self.rules, &self.places).ordered = Some(status);
    }

    /// Whether it drains is another matter: `resume_tenant` ends that.
    fn forget_status(&mut self, tenant: &TenantId) {
        if let Some(known) = self.tenants.get_mut(tenant) {
            known.ordered = None;
        }
    }

    /// A host without a process has nothing to be killed, and just leaves.
    fn kill_tenant(&mut self, tenant: &TenantId, out: &mut Vec<Effect>) {
        for id in self.hosts.ids_of(Some(tenant)) {
            match self.hosts.get(id).is_some_and(Host::has_process) {
                true => self.kill_host(id, Intent::Operator, out),
                false => self.end_host(id, Intent::Operator, out),
            }
        }
    }

    /// Sessions are allowed again, whether the tenant was suspended or drained. Hosts that were told to drain do so.
    fn resume_tenant(&mut self, tenant: &TenantId) {
        self.order_status(tenant, TenantStatus::Active);
        self.timers.cancel(&Timer::Drain(Some(tenant.clone())));
        if let Some(known) = self.tenants.get_mut(tenant) {
            known.draining = false;
        }
    }

    fn trip_breaker(&mut self, tenant: &TenantId, for_ms: Option<u64>, out: &mut Vec<Effect>) {
        let for_ms = for_ms.unwrap_or(self.rules.breaker_of(tenant).cooldown_ms);
        let known = self.tenants.remember(tenant, &self.rules, &self.places);
        let change: Change = known.breaker.trip(self.now, for_ms);
        self.breaker_changed(tenant, change, out);
    }

    fn reset_breaker(&mut self, tenant: &TenantId, out: &mut Vec<Effect>) {
        let change = self.tenants.get_mut(tenant).and_then(|known| known.breaker.reset());
        if let Some(change) = change {
            self.breaker_changed(tenant, change, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use openrtc_ipc::EndStatus;

    use super::*;
    use crate::event::{Event, HostEvent};
    use crate::exit::Exit;
    use crate::fixture::{World, dispatch, rules, tenant, tenant_rules};
    use crate::outcome::Reason;
    use crate::rejection::RejectReason;
    use crate::rules::TenantRules;

    #[test]
    fn a_recycled_host_keeps_its_sessions_takes_no_other_and_ends_with_the_last() {
        let mut world = World::new(rules());
        let (session, old) = world.run("acme");
        world.order(OperatorEvent::RecycleHost(old));
        world.order(OperatorEvent::RecycleHost(old));
        assert_eq!(world.asked(&Effect::DrainHost(old)), 1);
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 0);
        let (_, new) = world.admit("acme");
        assert_ne!(old, new);
        world.end(old, session, EndStatus::Success);
        assert_eq!(world.conclusions()[0].outcome.reason, Reason::Completed);
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 1);
    }

    #[test]
    fn a_recycled_host_without_sessions_ends_at_once_and_a_late_order_misses_its_successor() {
        let mut world = World::new(rules());
        let (session, old) = world.run("acme");
        world.end(old, session, EndStatus::Success);
        world.order(OperatorEvent::RecycleHost(old));
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 1);
        world.host(old, HostEvent::Exited(Exit::from(&Intent::Drained)));
        let (_, new) = world.run("acme");
        assert_eq!(old.index, new.index);
        world.order(OperatorEvent::RecycleHost(old));
        assert_eq!(world.asked(&Effect::DrainHost(new)), 0);
    }

    #[test]
    fn a_host_that_is_recycled_before_its_session_began_starts_it_first() {
        let mut world = World::new(rules());
        let (session, old) = world.admit("acme");
        world.order(OperatorEvent::RecycleHost(old));
        world.host(old, HostEvent::Up);
        world.host(old, HostEvent::Ready { agents: Vec::new() });
        assert!(world.effects.iter().any(|it| matches!(it, Effect::StartSession(_, plan) if plan.session == session)));
        world.host(old, HostEvent::SessionStarted(session));
        world.end(old, session, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 1);
    }

    #[test]
    fn a_host_that_served_its_number_keeps_its_sessions_and_ends_with_the_last() {
        let mut rules = rules();
        rules.runtimes.get_mut(&crate::fixture::runtime("command")).unwrap().recycle_after_sessions = Some(2);
        let mut world = World::new(rules);
        let (first, old) = world.run("acme");
        world.end(old, first, EndStatus::Success);
        let (second, same) = world.run("acme");
        assert_eq!(same, old);
        assert_eq!(world.asked(&Effect::DrainHost(old)), 1);
        let (_, new) = world.run("acme");
        assert_ne!(new, old);
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 0);
        world.end(old, second, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 1);
        assert_eq!(world.conclusions()[1].outcome.reason, Reason::Completed);
    }

    #[test]
    fn killing_a_tenant_kills_every_host_of_it_and_none_of_another() {
        let mut rules = rules();
        rules.max_concurrent_spawns = 2;
        rules.host_scope = crate::rules::HostScope::Session;
        let mut world = World::new(rules);
        let (_, first) = world.run("acme");
        let (_, other) = world.run("globex");
        let (_, booting) = world.admit("acme");
        world.admit("acme");
        let (queued, _) = world.admit("acme");
        world.order(OperatorEvent::KillTenant(tenant("acme")));
        for host in [first, booting] {
            assert_eq!(world.asked(&Effect::Kill(host, Intent::Operator)), 1);
        }
        assert_eq!(world.asked(&Effect::Kill(other, Intent::Operator)), 0);
        let ended: Vec<_> = world.conclusions().iter().map(|it| it.plan.session).collect();
        assert_eq!(ended, [queued], "what had no process ends at once");
    }

    #[test]
    fn a_taken_back_order_leaves_what_the_configuration_says() {
        let mut rules = rules();
        let closed = TenantRules { status: TenantStatus::Suspended, ..tenant_rules() };
        rules.tenants.insert(tenant("closed"), closed);
        let mut world = World::new(rules);
        world.order(OperatorEvent::ResumeTenant(tenant("closed")));
        world.offer(dispatch(0, "closed")).unwrap();
        world.order(OperatorEvent::ForgetTenantOrder(tenant("closed")));
        assert_eq!(world.offer(dispatch(0, "closed")).unwrap_err().reason, RejectReason::TenantSuspended);
        world.order(OperatorEvent::SuspendTenant(tenant("acme")));
        assert!(world.offer(dispatch(0, "acme")).is_err());
        world.order(OperatorEvent::ForgetTenantOrder(tenant("acme")));
        world.offer(dispatch(0, "acme")).unwrap();
    }

    #[test]
    fn new_rules_never_take_a_session_away_and_orders_hold_under_them() {
        let mut world = World::new(rules());
        for _ in 0..3 {
            world.run("acme");
        }
        world.order(OperatorEvent::SuspendTenant(tenant("globex")));
        let capped = |max| {
            let mut rules = rules();
            let own = TenantRules { max_sessions: Some(max), ..tenant_rules() };
            rules.tenants = ["acme", "globex"].map(|name| (tenant(name), own.clone())).into();
            Event::RulesChanged(Box::new(rules))
        };
        world.send(capped(1));
        assert_eq!((world.policy.active(), world.conclusions().len()), (3, 0));
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::TenantCap);
        assert_eq!(world.offer(dispatch(0, "globex")).unwrap_err().reason, RejectReason::TenantSuspended);
        world.send(capped(4));
        world.offer(dispatch(0, "acme")).unwrap();
    }
}
