//! What is remembered of each tenant.
//!
//! Owns: operators' orders about tenants, their breakers and their tallies; and the bound on tenants that are not in
//! the configuration. Never: holds a session.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;

use crate::bounds::UNKNOWN_TENANTS_MAX;
use crate::breaker::Breaker;
use crate::caps::Places;
use crate::rejection::RejectReason;
use crate::rules::{BreakerRules, HostScope, Rules, TenantStatus};

/// One tenant.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    /// An operator's order; it wins over the configuration (decision H4).
    pub(crate) ordered: Option<TenantStatus>,
    /// Whether it drains, or drained: no new sessions until it is resumed.
    pub(crate) draining: bool,
    /// Its breaker.
    pub(crate) breaker: Breaker,
    /// Sessions that its hosts said had started.
    pub(crate) started: u64,
    /// Sessions that failed.
    pub(crate) failed: u64,
    /// Its refused dispatches.
    pub(crate) rejections: BTreeMap<RejectReason, u64>,
    /// Whether it was said that it runs on the defaults.
    pub(crate) announced: bool,
    last_seen: u64,
}

impl Tenant {
    /// Whether forgetting it would change what becomes of its next dispatch.
    fn matters(&self) -> bool {
        self.ordered.is_some() || self.draining || !self.breaker.is_blank()
    }
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    known: BTreeMap<TenantId, Tenant>,
    seen: u64,
}

impl Tenants {
    /// The tenant, if anything is remembered of it.
    pub(crate) fn get(&self, id: &TenantId) -> Option<&Tenant> {
        self.known.get(id)
    }

    /// The tenant, if anything is remembered of it.
    pub(crate) fn get_mut(&mut self, id: &TenantId) -> Option<&mut Tenant> {
        self.known.get_mut(id)
    }

    /// The tenant, remembered from now on. Of too many that are not configured, the one unheard of for the longest is
    /// forgotten: first one of which nothing matters, and never one that has sessions.
    pub(crate) fn remember(&mut self, id: &TenantId, rules: &Rules, places: &Places) -> &mut Tenant {
        self.seen += 1;
        if !self.known.contains_key(id) && !rules.tenants.contains_key(id) {
            self.make_room(rules, places);
        }
        let tenant = self.known.entry(id.clone()).or_default();
        tenant.last_seen = self.seen;
        tenant
    }

    /// All that are remembered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TenantId, &Tenant)> {
        self.known.iter()
    }

    fn make_room(&mut self, rules: &Rules, places: &Places) {
        let unknown = || self.known.iter().filter(|(id, _)| !rules.tenants.contains_key(id));
        if unknown().count() < UNKNOWN_TENANTS_MAX {
            return;
        }
        let idle = unknown().filter(|(id, _)| places.of_tenant(id) == 0);
        let forgotten = idle.min_by_key(|(_, tenant)| (tenant.matters(), tenant.last_seen)).map(|(id, _)| id.clone());
        if let Some(id) = forgotten {
            self.known.remove(&id);
        }
    }
}

impl Rules {
    /// Whether the tenant's hosts are counted without the smaller bound for invented ids (decision H1). The default
    /// tenant is nobody's invention.
    pub(crate) fn is_registered(&self, tenant: &TenantId) -> bool {
        self.tenants.contains_key(tenant) || *tenant == self.default_tenant
    }

    /// The rules of the tenant's breaker.
    pub(crate) fn breaker_of(&self, tenant: &TenantId) -> &BreakerRules {
        self.tenants.get(tenant).map_or(&self.breaker, |rules| &rules.breaker)
    }

    /// The tenant's cap; `None` is none. The default is for those not configured: into a configured tenant's own cap
    /// it was merged at load, so that `max_sessions = "off"` there means off.
    pub(crate) fn cap_of(&self, tenant: &TenantId) -> Option<u32> {
        self.tenants.get(tenant).map_or(self.default_max_sessions, |rules| rules.max_sessions)
    }

    /// The tenant's scope of hosts.
    pub(crate) fn scope_of(&self, tenant: &TenantId) -> HostScope {
        self.tenants.get(tenant).and_then(|rules| rules.host_scope).unwrap_or(self.host_scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;
    use crate::fixture::{rules, tenant, tenant_rules};
    use crate::rules::TenantRules;

    #[test]
    fn the_default_cap_is_for_tenants_that_are_not_configured() {
        let mut rules = rules();
        rules.default_max_sessions = Some(3);
        rules.tenants.insert(tenant("off"), tenant_rules());
        rules.tenants.insert(tenant("own"), TenantRules { max_sessions: Some(9), ..tenant_rules() });
        let caps = ["off", "own", "invented"].map(|name| rules.cap_of(&tenant(name)));
        assert_eq!(caps, [None, Some(9), Some(3)]);
    }

    #[test]
    fn invented_tenants_are_bounded_and_an_open_breaker_is_not_flushed_by_them() {
        let (rules, places) = (rules(), Places::default());
        let mut tenants = Tenants::default();
        tenants.remember(&tenant("tripped"), &rules, &places).breaker.trip(Moment(0), 1_000);
        for n in 0..3 * UNKNOWN_TENANTS_MAX {
            tenants.remember(&tenant(&format!("invented-{n}")), &rules, &places);
        }
        assert_eq!(tenants.iter().count(), UNKNOWN_TENANTS_MAX);
        assert!(tenants.get(&tenant("tripped")).is_some());
        assert!(tenants.get(&tenant("invented-0")).is_none());
    }
}
