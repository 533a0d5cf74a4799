//! What admission asked, and what it was answered.
//!
//! Owns: the names of the rules, and the record of them. Never: decides. Admission is written once, over a `Witness`;
//! the one of a real dispatch (`Unwatched`) hears nothing, so that its texts are never made.

use openrtc_ipc::{AgentName, HostId, RuntimeName, TenantId};

use crate::rejection::Rejection;

/// A rule of admission, or a rung of one of its two ladders. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The supervisor takes sessions.
    Serving,
    /// Room and metadata are within their bounds.
    Sizes,
    /// The dispatcher names the tenant.
    TenantExplicit,
    /// Job metadata names it.
    TenantJobMetadata,
    /// Room metadata names it.
    TenantRoomMetadata,
    /// The room's name does.
    TenantRoomName,
    /// Nobody does: `missing_tenant`.
    TenantMissing,
    /// It is configured, or need not be.
    TenantKnown,
    /// It is neither suspended nor archived.
    TenantStatus,
    /// It does not drain.
    TenantDraining,
    /// Its configuration can be used.
    TenantUsable,
    /// The room lies in its namespace.
    RoomNamespace,
    /// Its breaker lets sessions through.
    Breaker,
    /// The dispatcher names the agent.
    RouteExplicit,
    /// A routing rule does.
    RouteRule,
    /// Job metadata does.
    RouteJobMetadata,
    /// Room metadata does.
    RouteRoomMetadata,
    /// The room's name does.
    RouteRoomPrefix,
    /// The room is ours to serve: `accept_only_registered_rooms`.
    RouteOwned,
    /// Nobody names one: `[routing] fallback`.
    RouteFallback,
    /// The tenant may use the agent.
    AllowedAgents,
    /// The tenant has a place left.
    TenantCap,
    /// The agent has.
    AgentCap,
    /// The supervisor has.
    GlobalCap,
    /// A host can be had.
    Host,
}

impl Rule {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Sizes => "sizes",
            Self::TenantExplicit => "tenant_explicit",
            Self::TenantJobMetadata => "tenant_job_metadata",
            Self::TenantRoomMetadata => "tenant_room_metadata",
            Self::TenantRoomName => "tenant_room_name",
            Self::TenantMissing => "tenant_missing",
            Self::TenantKnown => "tenant_known",
            Self::TenantStatus => "tenant_status",
            Self::TenantDraining => "tenant_draining",
            Self::TenantUsable => "tenant_usable",
            Self::RoomNamespace => "room_namespace",
            Self::Breaker => "breaker",
            Self::RouteExplicit => "route_explicit",
            Self::RouteRule => "route_rule",
            Self::RouteJobMetadata => "route_job_metadata",
            Self::RouteRoomMetadata => "route_room_metadata",
            Self::RouteRoomPrefix => "route_room_prefix",
            Self::RouteOwned => "route_owned",
            Self::RouteFallback => "route_fallback",
            Self::AllowedAgents => "allowed_agents",
            Self::TenantCap => "tenant_cap",
            Self::AgentCap => "agent_cap",
            Self::GlobalCap => "global_cap",
            Self::Host => "host",
        }
    }
}

/// What a rule said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing against it.
    Passed,
    /// This rung names nothing; the next one is asked.
    Skipped,
    /// This rung names it.
    Chosen,
    /// No.
    Refused,
}

impl Said {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Chosen => "chosen",
            Self::Refused => "refused",
        }
    }
}

/// One rule, asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub rule: Rule,
    /// What it said.
    pub said: Said,
    /// What it saw, for a person.
    pub saw: String,
}

/// Where a session would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To this host.
    Host(HostId),
    /// To a new one, in whose favour this idle one would go.
    Fresh(Option<HostId>),
}

/// What a dispatch would become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whose.
    pub tenant: TenantId,
    /// Which agent.
    pub agent: AgentName,
    /// Which runtime.
    pub runtime: RuntimeName,
    /// Which rung chose the agent.
    pub routed_by: &'static str,
    /// Where it would go.
    pub destination: Destination,
}

/// What a dispatch would be answered now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every rule that was asked, in order.
    pub steps: Vec<Step>,
    /// The answer.
    pub verdict: Result<Expected, Rejection>,
}

/// Who hears what each rule said.
pub(crate) trait Witness {
    /// A rule or a rung that says what it says without refusing.
    fn note(&mut self, rule: Rule, said: Said, saw: impl FnOnce() -> String);

    /// A rule that passes, or refuses and says why itself.
    fn asked<T>(
        &mut self,
        rule: Rule,
        answer: Result<T, Rejection>,
        saw: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection>;

    /// A rung that names something, names nothing, or refuses.
    fn rung<T>(
        &mut self,
        rule: Rule,
        answer: Result<Option<T>, Rejection>,
        named: impl FnOnce(&T) -> String,
        nothing: impl FnOnce() -> String,
    ) -> Result<Option<T>, Rejection> {
        match &answer {
            Ok(Some(value)) => self.note(rule, Said::Chosen, || named(value)),
            Ok(None) => self.note(rule, Said::Skipped, nothing),
            Err(_) => return self.asked(rule, answer, |_| String::new()),
        }
        answer
    }

    /// The rung below which there is none: it names something, or refuses.
    fn last_rung<T>(
        &mut self,
        rule: Rule,
        answer: Result<T, Rejection>,
        named: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection> {
        match &answer {
            Ok(value) => self.note(rule, Said::Chosen, || named(value)),
            Err(_) => return self.asked(rule, answer, |_| String::new()),
        }
        answer
    }
}

/// Nobody.
pub(crate) struct Unwatched;

impl Witness for Unwatched {
    fn note(&mut self, _: Rule, _: Said, _: impl FnOnce() -> String) {}

    fn asked<T>(
        &mut self,
        _: Rule,
        answer: Result<T, Rejection>,
        _: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection> {
        answer
    }
}

impl Witness for Vec<Step> {
    fn note(&mut self, rule: Rule, said: Said, saw: impl FnOnce() -> String) {
        self.push(Step { rule, said, saw: saw() });
    }

    fn asked<T>(
        &mut self,
        rule: Rule,
        answer: Result<T, Rejection>,
        saw: impl FnOnce(&T) -> String,
    ) -> Result<T, Rejection> {
        match &answer {
            Ok(value) => self.note(rule, Said::Passed, || saw(value)),
            Err(rejection) => self.note(rule, Said::Refused, || rejection.detail.clone()),
        }
        answer
    }
}

/// A name from outside, as a trace tells it: quoted, and not longer than a line.
pub(crate) fn quoted(name: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let cut: String = name.chars().take(SHOWN_MAX).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Event;
    use crate::dispatch::Dispatch;
    use crate::event::OperatorEvent;
    use crate::fixture::{World, agent, dispatch, rules, tenant, tenant_rules};
    use crate::rules::{
        Fallback, HostScope, MissingTenant, RoutingRule, Rules, TenantRules, TenantStatus, UnknownTenant,
    };

    /// What is asked of policy, one after the other.
    #[derive(Debug, Clone)]
    enum Deed {
        Offer(Dispatch),
        Order(OperatorEvent),
        Pass(u64),
    }

    fn names() -> impl Strategy<Value = Option<String>> {
        let known = prop::sample::select(vec!["acme", "acme_corp", "globex", " acme ", "default", "a/b", "", "17"]);
        prop::option::of(known.prop_map(str::to_owned))
    }

    fn agents() -> impl Strategy<Value = Option<String>> {
        let known = prop::sample::select(vec!["support", "sales", "nobody", " ", "a b"]);
        prop::option::weighted(0.3, known.prop_map(str::to_owned))
    }

    fn metadata() -> impl Strategy<Value = String> {
        let texts = vec![
            "",
            "{",
            r#"{"tenant":"acme"}"#,
            r#"{"tenant":"globex","agent":"sales"}"#,
            r#"{"tenant":17}"#,
            r#"{"agent":"nobody"}"#,
            r#"{"vip":true,"demo":"support"}"#,
        ];
        prop::sample::select(texts).prop_map(str::to_owned)
    }

    fn offers() -> impl Strategy<Value = Dispatch> {
        let rooms = prop::sample::select(vec!["room", "acme_room", "acme_corp_sales-1", "sales-1", "globex_x", ""]);
        (names(), agents(), metadata(), metadata(), rooms, any::<bool>()).prop_map(
            |(tenant, agent, job_metadata, room_metadata, room, assigned_with_answer)| Dispatch {
                tenant,
                agent,
                job_metadata,
                room_metadata,
                room: room.to_owned(),
                assigned_with_answer,
                ..dispatch(0, "")
            },
        )
    }

    fn deeds() -> impl Strategy<Value = Deed> {
        let acme = || tenant("acme");
        prop_oneof![
            12 => offers().prop_map(Deed::Offer),
            1 => (0_u64..60_000).prop_map(Deed::Pass),
            1 => Just(Deed::Order(OperatorEvent::TripBreaker(acme(), Some(5_000)))),
            1 => Just(Deed::Order(OperatorEvent::SuspendTenant(tenant("globex")))),
            1 => Just(Deed::Order(OperatorEvent::ResumeTenant(tenant("globex")))),
            1 => Just(Deed::Order(OperatorEvent::DrainTenant(acme()))),
            1 => Just(Deed::Order(OperatorEvent::Drain)),
        ]
    }

    fn some_rules() -> impl Strategy<Value = Rules> {
        let tenants = (any::<bool>(), any::<bool>(), prop::option::of(0_u32..3), any::<bool>(), any::<bool>());
        let caps = (0_u32..6, prop::option::of(0_u32..4), prop::option::of(0_u32..3), 0_u32..4, 0_u32..3);
        let ladders = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (tenants, caps, ladders, any::<bool>(), any::<bool>()).prop_map(|(tenants, caps, ladders, reject, shared)| {
            let (suspended, unusable, cap, listed, registered_only) = tenants;
            let acme = TenantRules {
                status: if suspended { TenantStatus::Suspended } else { TenantStatus::Active },
                unusable: unusable.then(|| "no key".to_owned()),
                max_sessions: cap,
                allowed_agents: listed.then(|| vec![agent("support")]),
                ..tenant_rules()
            };
            let mut rules = rules();
            rules.tenants = [(tenant("acme"), acme), (tenant("acme_corp"), tenant_rules())].into();
            let (global, default_cap, agent_cap, max_hosts, strangers) = caps;
            rules.max_concurrent_sessions = global;
            rules.default_max_sessions = default_cap;
            rules.agents.values_mut().for_each(|agent| agent.max_sessions = agent_cap);
            (rules.max_hosts, rules.max_unregistered_hosts) = (max_hosts, strangers);
            let (prefix, unknown, missing, rule, room_prefix, half_open) = ladders;
            rules.rooms.tenant_prefix = prefix;
            rules.unknown_tenant = if unknown { UnknownTenant::Reject } else { UnknownTenant::DefaultConfig };
            rules.missing_tenant = if missing { MissingTenant::Reject } else { MissingTenant::Default };
            let vip = [("vip".to_owned(), "true".to_owned())].into();
            let to_sales = RoutingRule { tenant: None, metadata: vip, agent: agent("sales") };
            rules.routing.rules = if rule { vec![to_sales] } else { Vec::new() };
            rules.routing.room_prefix = room_prefix;
            rules.routing.fallback = if reject { Fallback::Reject } else { Fallback::Agent(agent("support")) };
            rules.accept_only_registered_rooms = registered_only;
            rules.host_scope = if shared { HostScope::Tenant } else { HostScope::Session };
            rules.breaker.half_open_max_sessions = half_open.then_some(1);
            rules
        })
    }

    /// Everything that policy remembers, as text, and what its places count.
    fn whole(world: &World) -> String {
        format!("{:?} {:?}", world.policy, world.policy.counters())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn an_explanation_is_what_a_real_dispatch_gets_a_moment_later_and_changes_nothing(
            rules in some_rules(),
            deeds in prop::collection::vec(deeds(), 1..24),
        ) {
            let mut world = World::new(rules);
            for deed in deeds {
                let offer = match deed {
                    Deed::Pass(ms) => {
                        world.pass_ms(ms);
                        continue;
                    }
                    Deed::Order(order) => {
                        world.order(order);
                        continue;
                    }
                    Deed::Offer(offer) => offer,
                };
                world.send(Event::Tick);
                world.take();
                let before = whole(&world);
                let explained = world.policy.explain(&offer);
                prop_assert_eq!(&before, &whole(&world));
                prop_assert!(world.effects.is_empty());
                let there: Vec<_> = world.policy.hosts().map(|host| host.id).collect();
                let last = explained.steps.last().expect("at least one rule is asked");
                match (world.offer(offer), explained.verdict) {
                    (Ok(admitted), Ok(expected)) => {
                        prop_assert_eq!(last.said, Said::Passed);
                        prop_assert_eq!(&admitted.tenant, &expected.tenant);
                        prop_assert_eq!(&admitted.agent, &expected.agent);
                        prop_assert_eq!(admitted.routed_by, expected.routed_by);
                        let host = world.policy.sessions().find(|it| it.plan.session == admitted.session);
                        let host = host.expect("it was opened").host;
                        match expected.destination {
                            Destination::Host(there) => prop_assert_eq!(host, there),
                            Destination::Fresh(_) => prop_assert!(!there.contains(&host)),
                        }
                    }
                    (Err(rejection), Err(foreseen)) => {
                        prop_assert_eq!(last.said, Said::Refused);
                        prop_assert_eq!(&last.saw, &rejection.detail);
                        prop_assert_eq!(rejection, foreseen);
                    }
                    (real, foreseen) => prop_assert!(false, "really {real:?}, foreseen {foreseen:?}"),
                }
            }
        }
    }

    #[test]
    fn each_rule_is_told_in_the_order_in_which_it_is_asked() {
        let mut world = World::new(rules());
        world.run("acme");
        let asked = Dispatch { job_metadata: r#"{"tenant":"acme","agent":"sales"}"#.to_owned(), ..dispatch(1, "") };
        let explained = world.policy.explain(&asked);
        let told: Vec<_> = explained.steps.iter().map(|step| (step.rule.name(), step.said.name())).collect();
        let expected = [
            ("serving", "passed"),
            ("sizes", "passed"),
            ("tenant_explicit", "skipped"),
            ("tenant_job_metadata", "chosen"),
            ("tenant_known", "passed"),
            ("tenant_status", "passed"),
            ("tenant_draining", "passed"),
            ("tenant_usable", "passed"),
            ("room_namespace", "passed"),
            ("breaker", "passed"),
            ("route_explicit", "skipped"),
            ("route_rule", "skipped"),
            ("route_job_metadata", "chosen"),
            ("allowed_agents", "passed"),
            ("tenant_cap", "passed"),
            ("agent_cap", "passed"),
            ("global_cap", "passed"),
            ("host", "passed"),
        ];
        assert_eq!(told, expected);
        let saw = |rule| explained.steps.iter().find(|step| step.rule == rule).unwrap().saw.as_str();
        assert_eq!(saw(Rule::GlobalCap), "the supervisor has 1 session and a cap of 50");
        assert_eq!(saw(Rule::RouteJobMetadata), r#"sales, by its "agent""#);
    }
}
