//! Who holds how many places.
//!
//! Owns: the counts under the three caps. Never: lets a count differ from the places that are held.
//!
//! A place is a value ([`Reservation`]), and a count is the number of such values alive. So a place cannot be released
//! twice (there is nothing left to release), nor forgotten (whoever drops it has released it): law 5 by construction.

use std::collections::BTreeMap;
use std::sync::Arc;

use openrtc_ipc::{AgentName, TenantId};

use crate::bounds::UNKNOWN_TENANTS_MAX;

/// A count: as many as there are clones of it out.
#[derive(Debug, Default)]
struct Count(Arc<()>);

impl Count {
    fn held(&self) -> u32 {
        u32::try_from(Arc::strong_count(&self.0) - 1).unwrap_or(u32::MAX)
    }

    fn take(&self) -> Place {
        Place { _count: Arc::clone(&self.0) }
    }
}

#[derive(Debug)]
struct Place {
    _count: Arc<()>,
}

/// A place for one session under every cap. Dropping it releases it.
#[must_use = "dropping a reservation releases it"]
#[derive(Debug)]
pub(crate) struct Reservation {
    agent: Place,
    _tenant: Place,
    _global: Place,
}

/// The caps that hold for one dispatch; `None` is no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Of its tenant.
    pub(crate) tenant: Option<u32>,
    /// Of its agent, over all tenants.
    pub(crate) agent: Option<u32>,
    /// Of the supervisor.
    pub(crate) global: u32,
}

/// The first cap that was full, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The tenant's.
    Tenant(u32),
    /// The agent's.
    Agent(u32),
    /// The supervisor's.
    Global(u32),
}

/// Every place that is held.
#[derive(Debug, Default)]
pub(crate) struct Places {
    global: Count,
    tenants: BTreeMap<TenantId, Count>,
    agents: BTreeMap<AgentName, Count>,
}

impl Places {
    /// Holds a place under all three caps, or none: tenant, then agent, then global (semantics D11).
    pub(crate) fn reserve(&mut self, tenant: &TenantId, agent: &AgentName, caps: Caps) -> Result<Reservation, Full> {
        if let Some(cap) = caps.tenant.filter(|cap| self.of_tenant(tenant) >= *cap) {
            return Err(Full::Tenant(cap));
        }
        if let Some(cap) = caps.agent.filter(|cap| self.of_agent(agent) >= *cap) {
            return Err(Full::Agent(cap));
        }
        if self.all() >= caps.global {
            return Err(Full::Global(caps.global));
        }
        self.forget_the_empty();
        Ok(Reservation {
            agent: self.agents.entry(agent.clone()).or_default().take(),
            _tenant: self.tenants.entry(tenant.clone()).or_default().take(),
            _global: self.global.take(),
        })
    }

    /// Books a held place under another agent, if that agent's cap has room; whether it had.
    pub(crate) fn rebook(&mut self, place: &mut Reservation, agent: &AgentName, cap: Option<u32>) -> bool {
        let room = cap.is_none_or(|cap| self.of_agent(agent) < cap);
        if room {
            place.agent = self.agents.entry(agent.clone()).or_default().take();
        }
        room
    }

    /// Places held in all.
    pub(crate) fn all(&self) -> u32 {
        self.global.held()
    }

    /// Places held by a tenant.
    pub(crate) fn of_tenant(&self, tenant: &TenantId) -> u32 {
        self.tenants.get(tenant).map_or(0, Count::held)
    }

    /// Places held by an agent.
    pub(crate) fn of_agent(&self, agent: &AgentName) -> u32 {
        self.agents.get(agent).map_or(0, Count::held)
    }

    /// Tenants that hold places, and how many.
    pub(crate) fn by_tenant(&self) -> BTreeMap<TenantId, u32> {
        held(&self.tenants)
    }

    /// Agents that hold places, and how many.
    pub(crate) fn by_agent(&self) -> BTreeMap<AgentName, u32> {
        held(&self.agents)
    }

    /// Invented tenant ids must not add up.
    fn forget_the_empty(&mut self) {
        if self.tenants.len() >= UNKNOWN_TENANTS_MAX {
            self.tenants.retain(|_, count| count.held() > 0);
        }
    }
}

fn held<K: Ord + Clone>(counts: &BTreeMap<K, Count>) -> BTreeMap<K, u32> {
    counts.iter().map(|(key, count)| (key.clone(), count.held())).filter(|(_, held)| *held > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{agent, tenant};

    fn caps(tenant: Option<u32>, agent: Option<u32>, global: u32) -> Caps {
        Caps { tenant, agent, global }
    }

    #[test]
    fn a_place_needs_room_under_all_three_caps_and_the_tenants_is_asked_first() {
        let (acme, globex) = (tenant("acme"), tenant("globex"));
        let (support, sales) = (agent("support"), agent("sales"));
        let caps = caps(Some(1), Some(2), 3);
        let mut places = Places::default();
        let _a = places.reserve(&acme, &support, caps).unwrap();
        assert_eq!(places.reserve(&acme, &support, caps).unwrap_err(), Full::Tenant(1));
        let _b = places.reserve(&globex, &support, caps).unwrap();
        assert_eq!(places.reserve(&tenant("initech"), &support, caps).unwrap_err(), Full::Agent(2));
        let _c = places.reserve(&tenant("initech"), &sales, caps).unwrap();
        assert_eq!(places.reserve(&tenant("hooli"), &sales, caps).unwrap_err(), Full::Global(3));
    }

    #[test]
    fn a_refused_reservation_holds_nothing_and_a_dropped_one_is_released() {
        let (acme, support) = (tenant("acme"), agent("support"));
        let mut places = Places::default();
        let held = places.reserve(&acme, &support, caps(None, None, 1)).unwrap();
        let _ = places.reserve(&acme, &support, caps(None, None, 1)).unwrap_err();
        assert_eq!((places.all(), places.of_tenant(&acme), places.of_agent(&support)), (1, 1, 1));
        drop(held);
        assert_eq!((places.all(), places.of_tenant(&acme), places.of_agent(&support)), (0, 0, 0));
    }

    #[test]
    fn a_rebooked_place_counts_for_the_new_agent_only_and_never_above_its_cap() {
        let (acme, support, sales) = (tenant("acme"), agent("support"), agent("sales"));
        let mut places = Places::default();
        let mut held = places.reserve(&acme, &support, caps(None, None, 9)).unwrap();
        assert!(!places.rebook(&mut held, &sales, Some(0)));
        assert!(places.rebook(&mut held, &sales, Some(1)));
        assert_eq!((places.of_agent(&support), places.of_agent(&sales), places.all()), (0, 1, 1));
    }
}
