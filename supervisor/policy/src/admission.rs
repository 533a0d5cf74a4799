//! Whether a dispatch becomes a session.
//!
//! Owns: the order of the questions (semantics H3, D11), and each answer's reason. Never: changes anything before every
//! question was answered; then it reserves the place, and nothing else.
//!
//! ```text
//! draining → sizes → tenant (parse, missing, unknown, suspended, draining, unusable) → room namespace → breaker
//!          → agent (route, allowed) → caps (tenant, agent, global) → host
//! ```
//!
//! The agent is chosen before the caps because one of the caps is the agent's: which one cannot be asked before the
//! agent is known, and all three are reserved together or not at all. So an unknown agent is refused as such even at a
//! full house. The breaker stands before both, so that an open one costs nothing but its own lookup.
//!
//! The questions are asked in one place, [`Policy::judge`], of a policy that it cannot change: a real dispatch is judged
//! unwatched and then takes its place; an explained one is judged before a witness, and that is all.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, RuntimeName, TenantId};

use crate::bounds::{METADATA_BYTES_MAX, ROOM_NAME_BYTES_MAX};
use crate::caps::{Caps, Reservation, Whose};
use crate::dispatch::Dispatch;
use crate::drain::Phase;
use crate::metadata::{Metadata, Source, parse_tenant};
use crate::namespace;
use crate::placement::Placement;
use crate::policy::Policy;
use crate::rejection::{RejectReason, Rejection};
use crate::routing::{Route, route};
use crate::rules::{MissingTenant, Rules, TenantStatus, UnknownTenant};
use crate::trace::{Destination, Expected, Explanation, Rule, Unwatched, Witness, quoted};

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

/// Every question was answered with yes, and nothing was done about it yet.
struct Judgement {
    tenant: TenantId,
    agent: AgentName,
    runtime: RuntimeName,
    routed_by: &'static str,
    metadata: Metadata,
    placement: Placement,
}

impl Policy {
    /// Yes, or the first reason why not.
    pub(crate) fn admit(&mut self, dispatch: &Dispatch) -> Result<Admission, Rejection> {
        let Judgement { tenant, agent, runtime, routed_by, metadata, placement } =
            self.judge(dispatch, &mut Unwatched)?;
        let place = self.places.take(&tenant, &agent);
        let metadata = metadata.merged(&tenant);
        Ok(Admission { tenant, agent, runtime, routed_by, metadata, placement, place })
    }

    /// What this dispatch would be answered if it were offered now, and every rule that says so. Changes nothing.
    pub fn explain(&self, dispatch: &Dispatch) -> Explanation {
        let mut steps = Vec::new();
        let verdict = self.judge(dispatch, &mut steps).map(|judgement| Expected {
            tenant: judgement.tenant,
            agent: judgement.agent,
            runtime: judgement.runtime,
            routed_by: judgement.routed_by,
            destination: match judgement.placement {
                Placement::Attach(host) => Destination::Host(host),
                Placement::Fresh { evict } => Destination::Fresh(evict),
            },
        });
        Explanation { steps, verdict }
    }

    fn judge(&self, dispatch: &Dispatch, witness: &mut impl Witness) -> Result<Judgement, Rejection> {
        witness.asked(Rule::Serving, self.serves(), |()| "the supervisor takes sessions".to_owned())?;
        let metadata = witness.asked(Rule::Sizes, within_bounds(dispatch), |_| sizes(dispatch))?;
        let tenant = self.tenant_of(dispatch, &metadata, witness)?;
        self.judge_for(&tenant, dispatch, metadata, witness).map_err(|rejection| rejection.of(&tenant))
    }

    fn judge_for(
        &self,
        tenant: &TenantId,
        dispatch: &Dispatch,
        metadata: Metadata,
        witness: &mut impl Witness,
    ) -> Result<Judgement, Rejection> {
        self.tenant_may(tenant, witness)?;
        let room =
            witness.asked(
                Rule::RoomNamespace,
                self.room_within_namespace(tenant, &dispatch.room),
                |room| match self.rules.rooms.tenant_prefix {
                    true => format!("in the namespace of {tenant}; the rest of its name is {}", quoted(room)),
                    false => "rooms have no namespaces: [rooms] namespace_mode is off".to_owned(),
                },
            )?;
        witness.asked(Rule::Breaker, self.breaker_permits(tenant), |()| self.breaker_in_words(tenant))?;
        let Route { agent, rules, by } = route(&self.rules, dispatch, tenant, &metadata, room, witness)?;
        witness.asked(Rule::AllowedAgents, self.agent_allowed(tenant, agent), |()| {
            let listed = self.rules.allowed_agents(tenant).is_some();
            if listed { format!("{agent} is listed") } else { format!("{tenant} may use every agent") }
        })?;
        self.caps_have_room(tenant, agent, rules.max_sessions, witness)?;
        let (agent, runtime) = (agent.clone(), rules.runtime.clone());
        let placement = witness.asked(Rule::Host, self.place(tenant, &runtime), |place| match place {
            Placement::Attach(host) => format!("host {host} of {tenant} on runtime {runtime} takes it"),
            Placement::Fresh { evict: None } => format!("a new host of {tenant} on runtime {runtime}"),
            Placement::Fresh { evict: Some(idle) } => {
                format!("a new host of {tenant} on runtime {runtime}; the idle host {idle} makes room")
            }
        })?;
        Ok(Judgement { tenant: tenant.clone(), agent, runtime, routed_by: by, metadata, placement })
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
    fn tenant_of(
        &self,
        dispatch: &Dispatch,
        metadata: &Metadata,
        witness: &mut impl Witness,
    ) -> Result<TenantId, Rejection> {
        let named = |tenant: &TenantId| tenant.to_string();
        let explicit = parse_tenant(dispatch.tenant.as_deref().unwrap_or_default());
        let nobody = || "the dispatcher names none".to_owned();
        if let Some(tenant) = witness.rung(Rule::TenantExplicit, explicit, named, nobody)? {
            return Ok(tenant);
        }
        for (rule, source) in [(Rule::TenantJobMetadata, Source::Job), (Rule::TenantRoomMetadata, Source::Room)] {
            let nothing = || "it has no \"tenant\"".to_owned();
            if let Some(tenant) = witness.rung(rule, metadata.tenant(source), named, nothing)? {
                return Ok(tenant);
            }
        }
        let prefixed = self.rules.rooms.tenant_prefix;
        let owner = prefixed.then(|| namespace::owner(&self.rules, &dispatch.room)).flatten().cloned();
        let nowhere = || match prefixed {
            true => "the room lies in no configured tenant's namespace".to_owned(),
            false => "rooms have no namespaces: [rooms] namespace_mode is off".to_owned(),
        };
        if let Some(tenant) = witness.rung(Rule::TenantRoomName, Ok(owner), named, nowhere)? {
            return Ok(tenant);
        }
        let default = match self.rules.missing_tenant {
            MissingTenant::Default => Ok(self.rules.default_tenant.clone()),
            MissingTenant::Reject => Err(Rejection::new(
                RejectReason::TenantMissing,
                "no tenant is named and missing_tenant = \"reject\"; name one in the metadata under \"tenant\""
                    .to_owned(),
            )),
        };
        let fallen_back = |tenant: &TenantId| format!("{tenant}, by missing_tenant = \"default\"");
        witness.last_rung(Rule::TenantMissing, default, fallen_back)
    }

    /// Whether the tenant may have new sessions at all.
    fn tenant_may(&self, tenant: &TenantId, witness: &mut impl Witness) -> Result<(), Rejection> {
        let configured = self.rules.tenants.get(tenant);
        witness.asked(Rule::TenantKnown, self.tenant_known(tenant), |()| match configured {
            Some(_) => format!("{tenant} is configured"),
            None => format!("{tenant} is not configured, and unknown_tenant lets it run on the defaults"),
        })?;
        witness.asked(Rule::TenantStatus, self.tenant_active(tenant), |()| "active".to_owned())?;
        let drains = match self.drains(tenant) {
            true => Err(Rejection::new(RejectReason::Draining, format!("tenant {tenant} is draining"))),
            false => Ok(()),
        };
        witness.asked(Rule::TenantDraining, drains, |()| "it does not drain".to_owned())?;
        let usable = match configured.and_then(|rules| rules.unusable.as_ref()) {
            Some(why) => Err(Rejection::new(RejectReason::ConfigError, why.clone())),
            None => Ok(()),
        };
        witness.asked(Rule::TenantUsable, usable, |()| "its keys could be read".to_owned())
    }

    fn tenant_known(&self, tenant: &TenantId) -> Result<(), Rejection> {
        if self.rules.unknown_tenant == UnknownTenant::Reject && !self.rules.is_registered(tenant) {
            let detail = format!("tenant {tenant} is not configured and unknown_tenant = \"reject\"");
            return Err(Rejection::new(RejectReason::TenantUnknown, detail));
        }
        Ok(())
    }

    fn tenant_active(&self, tenant: &TenantId) -> Result<(), Rejection> {
        let suspended = |how| Rejection::new(RejectReason::TenantSuspended, format!("tenant {tenant} is {how}"));
        match self.status_of(tenant) {
            TenantStatus::Active => Ok(()),
            TenantStatus::Suspended => Err(suspended("suspended")),
            TenantStatus::Archived => Err(suspended("archived")),
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

    fn breaker_in_words(&self, tenant: &TenantId) -> String {
        let (breaker, rules) = (self.breaker(tenant), self.rules.breaker_of(tenant));
        match (rules.enabled, breaker.state) {
            (false, "closed") => "off".to_owned(),
            (_, "half_open") => "half open: this session would be a probe".to_owned(),
            (_, state) => format!(
                "{state}: {} of {} failed in the last {} s; opens at {} or more, above {} %",
                breaker.failures,
                breaker.samples,
                rules.window_ms / 1000,
                rules.min_samples,
                rules.failure_ratio * 100.0
            ),
        }
    }

    fn agent_allowed(&self, tenant: &TenantId, agent: &AgentName) -> Result<(), Rejection> {
        if self.rules.allows(tenant, agent) {
            return Ok(());
        }
        let detail = format!("agent {agent} is not among [tenants.{tenant}] allowed_agents");
        Err(Rejection::new(RejectReason::AgentNotAllowed, detail))
    }

    /// Whether there is a place under all three caps: tenant, then agent, then global (semantics D11).
    fn caps_have_room(
        &self,
        tenant: &TenantId,
        agent: &AgentName,
        agent_cap: Option<u32>,
        witness: &mut impl Witness,
    ) -> Result<(), Rejection> {
        let global = self.rules.max_concurrent_sessions;
        let caps = Caps { tenant: self.rules.cap_of(tenant), agent: agent_cap, global };
        for level in self.places.levels(tenant, agent, caps) {
            let (rule, reason) = match level.whose {
                Whose::Tenant => (Rule::TenantCap, RejectReason::TenantCap),
                Whose::Agent => (Rule::AgentCap, RejectReason::AgentCap),
                Whose::Global => (Rule::GlobalCap, RejectReason::GlobalCap),
            };
            let room = level.room().map_err(|cap| {
                let detail = match level.whose {
                    Whose::Tenant => format!("tenant {tenant} has {cap} sessions, its cap"),
                    Whose::Agent => format!("agent {agent} has {cap} sessions, its cap"),
                    Whose::Global => format!("{cap} sessions run: max_concurrent_sessions"),
                };
                Rejection::new(reason, detail)
            });
            witness.asked(rule, room, |()| {
                let cap = level.cap.map_or_else(|| "no cap".to_owned(), |cap| format!("a cap of {cap}"));
                let who = match level.whose {
                    Whose::Tenant => format!("tenant {tenant}"),
                    Whose::Agent => format!("agent {agent}"),
                    Whose::Global => "the supervisor".to_owned(),
                };
                format!("{who} has {} and {cap}", sessions(level.held))
            })?;
        }
        Ok(())
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
    pub fn allows(&self, tenant: &TenantId, agent: &AgentName) -> bool {
        self.allowed_agents(tenant).is_none_or(|allowed| allowed.contains(agent))
    }

    fn allowed_agents(&self, tenant: &TenantId) -> Option<&Vec<AgentName>> {
        self.tenants.get(tenant).and_then(|rules| rules.allowed_agents.as_ref())
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

fn sizes(dispatch: &Dispatch) -> String {
    format!(
        "room {} of {ROOM_NAME_BYTES_MAX} bytes, job metadata {} and room metadata {} of {METADATA_BYTES_MAX}",
        dispatch.room.len(),
        dispatch.job_metadata.len(),
        dispatch.room_metadata.len()
    )
}

fn sessions(count: u32) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
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
        let named = |asked: &Dispatch| {
            let metadata = Metadata::read(asked).unwrap();
            policy.tenant_of(asked, &metadata, &mut Unwatched).unwrap().to_string()
        };
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
