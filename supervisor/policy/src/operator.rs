//! An operator's orders.
//!
//! Owns: what each order changes. Never: asks whether the operator may; the control socket has.

use openrtc_ipc::TenantId;

use crate::breaker::Change;
use crate::effect::Effect;
use crate::event::OperatorEvent;
use crate::exit::Intent;
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
            OperatorEvent::SuspendTenant(tenant) => self.order_status(&tenant, TenantStatus::Suspended),
            OperatorEvent::ResumeTenant(tenant) => self.resume_tenant(&tenant),
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
