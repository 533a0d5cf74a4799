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

/// Whose cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The tenant's.
    Tenant,
    /// The agent's.
    Agent,
    /// The supervisor's.
    Global,
}

/// How full one cap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Whose.
    pub(crate) whose: Whose,
    /// Places held under it.
    pub(crate) held: u32,
    /// The cap; `None` is none.
    pub(crate) cap: Option<u32>,
}

impl Level {
    /// Whether there is one more place, else the cap.
    pub(crate) fn room(self) -> Result<(), u32> {
        self.cap.filter(|cap| self.held >= *cap).map_or(Ok(()), Err)
    }
}

/// Every place that is held.
#[derive(Debug, Default)]
pub(crate) struct Places {
    global: Count,
    tenants: BTreeMap<TenantId, Count>,
    agents: BTreeMap<AgentName, Count>,
}

impl Places {
    /// How full the three caps of a dispatch are, in the order in which they are asked (semantics D11).
    pub(crate) fn levels(&self, tenant: &TenantId, agent: &AgentName, caps: Caps) -> [Level; 3] {
        [
            Level { whose: Whose::Tenant, held: self.of_tenant(tenant), cap: caps.tenant },
            Level { whose: Whose::Agent, held: self.of_agent(agent), cap: caps.agent },
            Level { whose: Whose::Global, held: self.all(), cap: Some(caps.global) },
        ]
    }

    /// Holds a place under all three caps; whoever takes it has asked all three [`Level`]s since the last event.
    pub(crate) fn take(&mut self, tenant: &TenantId, agent: &AgentName) -> Reservation {
        self.forget_the_empty();
        Reservation {
            agent: self.agents.entry(agent.clone()).or_default().take(),
            _tenant: self.tenants.entry(tenant.clone()).or_default().take(),
            _global: self.global.take(),
        }
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

    /// A place, or whose cap is full.
    fn reserve(places: &mut Places, tenant: &TenantId, agent: &AgentName, caps: Caps) -> Result<Reservation, Whose> {
        match places.levels(tenant, agent, caps).into_iter().find(|level| level.room().is_err()) {
            Some(full) => Err(full.whose),
            None => Ok(places.take(tenant, agent)),
        }
    }

    fn caps(tenant: Option<u32>, agent: Option<u32>, global: u32) -> Caps {
        Caps { tenant, agent, global }
    }

    #[test]
    fn a_place_needs_room_under_all_three_caps_and_the_tenants_is_asked_first() {
        let (acme, globex) = (tenant("acme"), tenant("globex"));
        let (support, sales) = (agent("support"), agent("sales"));
        let caps = caps(Some(1), Some(2), 3);
        let mut places = Places::default();
        let _a = reserve(&mut places, &acme, &support, caps).unwrap();
        assert_eq!(reserve(&mut places, &acme, &support, caps).unwrap_err(), Whose::Tenant);
        let _b = reserve(&mut places, &globex, &support, caps).unwrap();
        assert_eq!(reserve(&mut places, &tenant("initech"), &support, caps).unwrap_err(), Whose::Agent);
        let _c = reserve(&mut places, &tenant("initech"), &sales, caps).unwrap();
        assert_eq!(reserve(&mut places, &tenant("hooli"), &sales, caps).unwrap_err(), Whose::Global);
    }

    #[test]
    fn a_refused_reservation_holds_nothing_and_a_dropped_one_is_released() {
        let (acme, support) = (tenant("acme"), agent("support"));
        let mut places = Places::default();
        let held = reserve(&mut places, &acme, &support, caps(None, None, 1)).unwrap();
        let _ = reserve(&mut places, &acme, &support, caps(None, None, 1)).unwrap_err();
        assert_eq!((places.all(), places.of_tenant(&acme), places.of_agent(&support)), (1, 1, 1));
        drop(held);
        assert_eq!((places.all(), places.of_tenant(&acme), places.of_agent(&support)), (0, 0, 0));
    }

    #[test]
    fn a_rebooked_place_counts_for_the_new_agent_only_and_never_above_its_cap() {
        let (acme, support, sales) = (tenant("acme"), agent("support"), agent("sales"));
        let mut places = Places::default();
        let mut held = reserve(&mut places, &acme, &support, caps(None, None, 9)).unwrap();
        assert!(!places.rebook(&mut held, &sales, Some(0)));
        assert!(places.rebook(&mut held, &sales, Some(1)));
        assert_eq!((places.of_agent(&support), places.of_agent(&sales), places.all()), (0, 1, 1));
    }
}
