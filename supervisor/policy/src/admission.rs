//! Whether a dispatch becomes a session.
//!
//! Owns: the order of the questions (semantics H3, D11), and each answer's reason. Never: changes anything but the
//! places it reserves; a refusal gives them back.
//!
//! ```text
//! draining → sizes → tenant (parse, missing, unknown, suspended, draining, unusable) → room namespace → breaker
//!          → agent (route, allowed) → caps (tenant, agent, global) → host
//! ```
//!
//! The agent is chosen before the caps because one of the caps is the agent's: which one cannot be asked before the
//! agent is known, and all three are reserved together or not at all. So an unknown agent is refused as such even at a
//! full house. The breaker stands before both, so that an open one costs nothing but its own lookup.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, RuntimeName, TenantId};

use crate::bounds::ROOM_NAME_BYTES_MAX;
use crate::caps::{Caps, Full, Reservation};
use crate::dispatch::Dispatch;
use crate::drain::Phase;
use crate::metadata::{Metadata, parse_tenant};
use crate::namespace;
use crate::placement::Placement;
use crate::policy::Policy;
use crate::rejection::{RejectReason, Rejection};
use crate::routing::{Route, route};
use crate::rules::{MissingTenant, Rules, TenantStatus, UnknownTenant};

/// Yes: everything that the session needs to be opened.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentName,
    pub(crate) runtime: RuntimeName,
    pub(crate) routed_by: &'static str,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) placement: Placement,
    pub(crate) place: Reservation,
}

impl Policy {
    /// Yes, or the first reason why not.
    pub(crate) fn admit(&mut self, dispatch: &Dispatch) -> Result<Admission, Rejection> {
        self.serves()?;
        let metadata = within_bounds(dispatch)?;
        let tenant = self.tenant_of(dispatch, &metadata)?;
        self.admit_for(&tenant, dispatch, metadata).map_err(|rejection| rejection.of(&tenant))
    }

    fn admit_for(
        &mut self,
        tenant: &TenantId,
        dispatch: &Dispatch,
        metadata: Metadata,
    ) -> Result<Admission, Rejection> {
        self.tenant_may(tenant)?;
        let room = self.room_within_namespace(tenant, &dispatch.room)?;
        self.breaker_permits(tenant)?;
        let Route { agent, rules, by } = route(&self.rules, dispatch, tenant, &metadata, room)?;
        self.agent_allowed(tenant, agent)?;
        let (agent, runtime, agent_cap) = (agent.clone(), rules.runtime.clone(), rules.max_sessions);
        let place = self.reserve(tenant, &agent, agent_cap)?;
        let placement = self.place(tenant, &runtime)?;
        let metadata = metadata.merged(tenant);
        Ok(Admission { tenant: tenant.clone(), agent, runtime, routed_by: by, metadata, placement, place })
    }

    fn serves(&self) -> Result<(), Rejection> {
        match self.phase {
            Phase::Serving => Ok(()),
            Phase::Draining | Phase::Finishing | Phase::Finished => {
                Err(Rejection::new(RejectReason::Draining, "the supervisor is draining".to_owned()))
            }
        }
    }

    /// The tenant, by the first rung that names one (semantics A8), normalised once and for all.
    fn tenant_of(&self, dispatch: &Dispatch, metadata: &Metadata) -> Result<TenantId, Rejection> {
        if let Some(tenant) = parse_tenant(dispatch.tenant.as_deref().unwrap_or_default())? {
            return Ok(tenant);
        }
        if let Some(tenant) = metadata.tenant()? {
            return Ok(tenant);
        }
        if self.rules.rooms.tenant_prefix
            && let Some(tenant) = namespace::owner(&self.rules, &dispatch.room)
        {
            return Ok(tenant.clone());
        }
        match self.rules.missing_tenant {
            MissingTenant::Default => Ok(self.rules.default_tenant.clone()),
            MissingTenant::Reject => Err(Rejection::new(
                RejectReason::TenantMissing,
                "no tenant is named and missing_tenant = \"reject\"; name one in the metadata under \"tenant\""
                    .to_owned(),
            )),
        }
    }

    /// Whether the tenant may have new sessions at all.
    fn tenant_may(&self, tenant: &TenantId) -> Result<(), Rejection> {
        if self.rules.unknown_tenant == UnknownTenant::Reject && !self.rules.is_registered(tenant) {
            let detail = format!("tenant {tenant} is not configured and unknown_tenant = \"reject\"");
            return Err(Rejection::new(RejectReason::TenantUnknown, detail));
        }
        let suspended = |how| Rejection::new(RejectReason::TenantSuspended, format!("tenant {tenant} is {how}"));
        match self.status_of(tenant) {
            TenantStatus::Active => {}
            TenantStatus::Suspended => return Err(suspended("suspended")),
            TenantStatus::Archived => return Err(suspended("archived")),
        }
        if self.drains(tenant) {
            return Err(Rejection::new(RejectReason::Draining, format!("tenant {tenant} is draining")));
        }
        match self.rules.tenants.get(tenant).and_then(|rules| rules.unusable.as_ref()) {
            Some(why) => Err(Rejection::new(RejectReason::ConfigError, why.clone())),
            None => Ok(()),
        }
    }

    /// The room's name without its tenant's namespace.
    fn room_within_namespace<'a>(&self, tenant: &TenantId, room: &'a str) -> Result<&'a str, Rejection> {
        namespace::rest(&self.rules, tenant, room).ok_or_else(|| {
            let separator = &self.rules.rooms.separator;
            let detail =
                format!("Room must be prefixed with {tenant}{separator} and lie in no other tenant's namespace");
            Rejection::new(RejectReason::RoomNamespace, detail)
        })
    }

    fn breaker_permits(&self, tenant: &TenantId) -> Result<(), Rejection> {
        let Some(known) = self.tenants.get(tenant) else { return Ok(()) };
        known.breaker.permits(self.now, self.rules.breaker_of(tenant)).map_err(|wait_ms| {
            let detail =
                format!("too many of tenant {tenant}'s sessions failed; its breaker is {}", known.breaker.state_name());
            Rejection::new(RejectReason::CircuitOpen, detail).retry_after_ms(wait_ms)
        })
    }

    fn agent_allowed(&self, tenant: &TenantId, agent: &AgentName) -> Result<(), Rejection> {
        if self.rules.allows(tenant, agent) {
            return Ok(());
        }
        let detail = format!("agent {agent} is not among [tenants.{tenant}] allowed_agents");
        Err(Rejection::new(RejectReason::AgentNotAllowed, detail))
    }

    /// Holds a place under all three caps (law 5).
    fn reserve(
        &mut self,
        tenant: &TenantId,
        agent: &AgentName,
        agent_cap: Option<u32>,
    ) -> Result<Reservation, Rejection> {
        let global = self.rules.max_concurrent_sessions;
        let caps = Caps { tenant: self.rules.cap_of(tenant), agent: agent_cap, global };
        self.places.reserve(tenant, agent, caps).map_err(|full| {
            let (reason, detail) = match full {
                Full::Tenant(cap) => (RejectReason::TenantCap, format!("tenant {tenant} has {cap} sessions, its cap")),
                Full::Agent(cap) => (RejectReason::AgentCap, format!("agent {agent} has {cap} sessions, its cap")),
                Full::Global(cap) => (RejectReason::GlobalCap, format!("{cap} sessions run: max_concurrent_sessions")),
            };
            Rejection::new(reason, detail)
        })
    }

    /// The tenant's status; an operator's order wins over the configuration.
    pub(crate) fn status_of(&self, tenant: &TenantId) -> TenantStatus {
        let ordered = self.tenants.get(tenant).and_then(|known| known.ordered);
        let configured = self.rules.tenants.get(tenant).map(|rules| rules.status);
        ordered.or(configured).unwrap_or(TenantStatus::Active)
    }
}

impl Rules {
    /// Whether the tenant may use the agent.
    pub(crate) fn allows(&self, tenant: &TenantId, agent: &AgentName) -> bool {
        let allowed = self.tenants.get(tenant).and_then(|rules| rules.allowed_agents.as_ref());
        allowed.is_none_or(|allowed| allowed.contains(agent))
    }
}

fn within_bounds(dispatch: &Dispatch) -> Result<Metadata, Rejection> {
    let bytes = dispatch.room.len();
    if bytes > ROOM_NAME_BYTES_MAX {
        let detail = format!("room has {bytes} bytes; at most {ROOM_NAME_BYTES_MAX} are allowed");
        return Err(Rejection::new(RejectReason::ConfigError, detail));
    }
    Metadata::read(dispatch)
}
