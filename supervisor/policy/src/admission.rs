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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::OperatorEvent;
    use crate::fixture::{World, agent, dispatch, rules, tenant, tenant_rules};
    use crate::rules::{Fallback, HostScope, TenantRules};

    type Change = fn(&mut Rules);

    /// Why a dispatch of `acme` is refused under these rules.
    fn refusal(change: Change, dispatch: Dispatch) -> Rejection {
        let mut rules = rules();
        change(&mut rules);
        World::new(rules).offer(dispatch).unwrap_err()
    }

    fn configure(rules: &mut Rules, acme: TenantRules) {
        rules.tenants.insert(tenant("acme"), acme);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let acme = || dispatch(1, "acme");
        let nobody = || dispatch(1, "");
        let cases: Vec<(RejectReason, Change, Dispatch)> = vec![
            (RejectReason::TenantInvalid, |_| {}, dispatch(1, "a/b")),
            (RejectReason::TenantMissing, |rules| rules.missing_tenant = MissingTenant::Reject, nobody()),
            (RejectReason::TenantUnknown, |rules| rules.unknown_tenant = UnknownTenant::Reject, acme()),
            (
                RejectReason::TenantSuspended,
                |rules| configure(rules, TenantRules { status: TenantStatus::Suspended, ..tenant_rules() }),
                acme(),
            ),
            (
                RejectReason::TenantSuspended,
                |rules| configure(rules, TenantRules { status: TenantStatus::Archived, ..tenant_rules() }),
                acme(),
            ),
            (
                RejectReason::ConfigError,
                |rules| configure(rules, TenantRules { unusable: Some("no key".to_owned()), ..tenant_rules() }),
                acme(),
            ),
            (RejectReason::ConfigError, |_| {}, Dispatch { room: "r".repeat(ROOM_NAME_BYTES_MAX + 1), ..acme() }),
            (RejectReason::RoomNamespace, |rules| rules.rooms.tenant_prefix = true, acme()),
            (RejectReason::TenantCap, |rules| rules.default_max_sessions = Some(0), acme()),
            (
                RejectReason::AgentCap,
                |rules| rules.agents.values_mut().for_each(|agent| agent.max_sessions = Some(0)),
                acme(),
            ),
            (RejectReason::GlobalCap, |rules| rules.max_concurrent_sessions = 0, acme()),
            (RejectReason::UnknownAgent, |rules| rules.routing.fallback = Fallback::Reject, acme()),
            (RejectReason::NotOwned, |rules| rules.accept_only_registered_rooms = true, acme()),
            (
                RejectReason::AgentNotAllowed,
                |rules| configure(rules, TenantRules { allowed_agents: Some(Vec::new()), ..tenant_rules() }),
                acme(),
            ),
            (RejectReason::HostUnavailable, |rules| rules.max_hosts = 0, acme()),
        ];
        for (reason, change, dispatch) in cases {
            let rejection = refusal(change, dispatch);
            assert_eq!(rejection.reason, reason);
            assert!(!rejection.detail.is_empty());
        }
    }

    #[test]
    fn a_refusal_starts_nothing_and_holds_nothing() {
        let mut world = World::new(rules());
        let malformed = Dispatch { tenant: None, job_metadata: r#"{"tenant":"a/b"}"#.to_owned(), ..dispatch(1, "") };
        assert_eq!(world.offer(malformed).unwrap_err().reason, RejectReason::TenantInvalid);
        assert_eq!(world.effects.len(), 1, "the answer, and nothing else");
        assert_eq!((world.policy.active(), world.policy.hosts().count()), (0, 0));
        assert_eq!(world.policy.counters().rejections[&RejectReason::TenantInvalid], 1);
    }

    #[test]
    fn the_first_reason_that_fails_is_given() {
        // Everything is wrong at once; each fault is mended in turn, and the next one shows.
        let mut rules = rules();
        configure(
            &mut rules,
            TenantRules {
                status: TenantStatus::Suspended,
                unusable: Some("no key".to_owned()),
                allowed_agents: Some(vec![agent("sales")]),
                max_sessions: Some(0),
                ..tenant_rules()
            },
        );
        rules.rooms.tenant_prefix = true;
        rules.max_concurrent_sessions = 0;
        rules.max_hosts = 0;
        rules.agents.values_mut().for_each(|agent| agent.max_sessions = Some(0));
        let mut world = World::new(rules.clone());
        world.order(OperatorEvent::TripBreaker(tenant("acme"), None));
        let mut asked = Dispatch { agent: Some("nobody".to_owned()), ..dispatch(1, "a b") };
        let mut seen = Vec::new();
        for mend in 0..11 {
            seen.push(world.offer(asked.clone()).unwrap_err().reason);
            let acme = rules.tenants.get_mut(&tenant("acme")).unwrap();
            match mend {
                0 => asked.tenant = Some("acme".to_owned()),
                1 => acme.status = TenantStatus::Active,
                2 => acme.unusable = None,
                3 => asked.room = "acme_room".to_owned(),
                4 => world.order(OperatorEvent::ResetBreaker(tenant("acme"))),
                5 => asked.agent = Some("support".to_owned()),
                6 => acme.allowed_agents = None,
                7 => acme.max_sessions = None,
                8 => rules.agents.values_mut().for_each(|agent| agent.max_sessions = None),
                9 => rules.max_concurrent_sessions = 1,
                _ => rules.max_hosts = 1,
            }
            world.send(crate::Event::RulesChanged(Box::new(rules.clone())));
        }
        use RejectReason::*;
        let expected = [
            TenantInvalid,
            TenantSuspended,
            ConfigError,
            RoomNamespace,
            CircuitOpen,
            UnknownAgent,
            AgentNotAllowed,
            TenantCap,
            AgentCap,
            GlobalCap,
            HostUnavailable,
        ];
        assert_eq!(seen, expected);
        world.offer(asked.clone()).unwrap();
        world.order(OperatorEvent::Drain);
        asked.tenant = Some("a b".to_owned());
        assert_eq!(world.offer(asked).unwrap_err().reason, Draining);
    }

    #[test]
    fn the_tenant_is_named_by_the_first_rung_that_names_one() {
        let mut rules = rules();
        rules.rooms.tenant_prefix = true;
        for name in ["explicit", "job", "room", "named"] {
            rules.tenants.insert(tenant(name), tenant_rules());
        }
        rules.rooms.separator = ".".to_owned();
        let policy = Policy::new(rules, 1);
        let mut asked = Dispatch {
            tenant: Some(" explicit ".to_owned()),
            job_metadata: r#"{"tenant":" job "}"#.to_owned(),
            room_metadata: r#"{"tenant":"room"}"#.to_owned(),
            room: "named.x".to_owned(),
            ..dispatch(1, "")
        };
        let named = |asked: &Dispatch| policy.tenant_of(asked, &Metadata::read(asked).unwrap()).unwrap().to_string();
        assert_eq!(named(&asked), "explicit");
        asked.tenant = None;
        assert_eq!(named(&asked), "job");
        asked.job_metadata = String::new();
        assert_eq!(named(&asked), "room");
        asked.room_metadata = String::new();
        assert_eq!(named(&asked), "named");
        asked.room = "x".to_owned();
        assert_eq!(named(&asked), "default");
    }

    #[test]
    fn a_padded_tenant_meets_the_same_cap_and_breaker_as_a_plain_one() {
        let mut rules = rules();
        configure(&mut rules, TenantRules { max_sessions: Some(1), ..tenant_rules() });
        let mut world = World::new(rules);
        world.offer(dispatch(0, "acme")).unwrap();
        let padded = Dispatch { tenant: None, job_metadata: r#"{"tenant":" acme "}"#.to_owned(), ..dispatch(0, "") };
        assert_eq!(world.offer(padded.clone()).unwrap_err().reason, RejectReason::TenantCap);
        world.order(OperatorEvent::TripBreaker(tenant("acme"), None));
        let rejection = world.offer(padded).unwrap_err();
        assert_eq!((rejection.reason, rejection.retry_after_ms), (RejectReason::CircuitOpen, Some(30_000)));
    }

    #[test]
    fn a_room_in_its_tenants_namespace_routes_by_the_agent_that_follows() {
        let mut rules = rules();
        rules.rooms.tenant_prefix = true;
        configure(&mut rules, tenant_rules());
        let mut world = World::new(rules);
        let admitted = world.offer(Dispatch { room: "acme_sales-17".to_owned(), ..dispatch(0, "") }).unwrap();
        assert_eq!(
            (admitted.tenant, admitted.agent, admitted.routed_by),
            (tenant("acme"), agent("sales"), "room_prefix")
        );
    }

    #[test]
    fn an_operators_order_wins_over_the_configuration_until_it_is_resumed() {
        let mut world = World::new(rules());
        world.order(OperatorEvent::SuspendTenant(tenant("acme")));
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::TenantSuspended);
        world.offer(dispatch(0, "globex")).unwrap();
        world.order(OperatorEvent::ResumeTenant(tenant("acme")));
        world.offer(dispatch(0, "acme")).unwrap();
    }

    #[test]
    fn lowering_a_cap_ends_no_session_and_admits_none() {
        let mut world = World::new(rules());
        world.run("acme");
        world.run("acme");
        let mut lower = rules();
        lower.max_concurrent_sessions = 1;
        world.take();
        world.send(crate::Event::RulesChanged(Box::new(lower)));
        assert_eq!(world.take(), []);
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::GlobalCap);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// C4: however a thousand dispatches come, and whatever their tenants and scopes, exactly fifty get in.
        #[test]
        fn a_thousand_dispatches_at_once_under_a_cap_of_fifty_give_exactly_fifty(
            tenants in proptest::collection::vec(0_u8..7, 1_000),
            local in proptest::collection::vec(any::<bool>(), 1_000),
            shared in any::<bool>(),
        ) {
            let mut rules = rules();
            rules.max_unregistered_hosts = 256;
            rules.host_scope = if shared { HostScope::Tenant } else { HostScope::Session };
            let mut world = World::new(rules);
            let mut admitted = 0;
            for (tenant, local) in tenants.iter().zip(local) {
                let asked = Dispatch { assigned_with_answer: local, ..dispatch(0, &format!("t{tenant}")) };
                match world.offer(asked) {
                    Ok(_) => admitted += 1,
                    Err(rejection) => prop_assert_eq!(rejection.reason, RejectReason::GlobalCap),
                }
                prop_assert!(world.policy.active() <= 50);
                world.take();
            }
            prop_assert_eq!(admitted, 50);
            prop_assert_eq!(world.policy.active(), 50);
        }
    }
}
