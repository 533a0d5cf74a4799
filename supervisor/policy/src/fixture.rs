//! Rules, names and dispatches for policy's own tests.
//!
//! Owns: one small agency: agents `support` and `sales` on `command`, nobody configured. Never: built into the product.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, EndStatus, HostId, RuntimeName, SessionId, TenantId};

use crate::Moment;
use crate::dispatch::{Dispatch, DispatchId};
use crate::effect::{Admitted, Answer, Conclusion, Effect, HostPlan, Notice};
use crate::event::{Event, HostEvent, OperatorEvent};
use crate::exit::Exit;
use crate::policy::Policy;
use crate::rejection::Rejection;
use crate::rules::{
    AgentRules, BreakerRules, Fallback, HostScope, MissingTenant, RoomRules, RoutingRules, Rules, RuntimeRules,
    TenantRules, TenantStatus, UnknownTenant,
};

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

pub(crate) fn runtime(name: &str) -> RuntimeName {
    RuntimeName::parse(name).unwrap()
}

/// The seeds' numbers, switched on.
pub(crate) fn seed_breaker() -> BreakerRules {
    BreakerRules {
        enabled: true,
        cooldown_ms: 30_000,
        failure_ratio: 0.5,
        min_samples: 5,
        window_ms: 60_000,
        half_open_max_sessions: None,
        half_open_success_after_ms: 10_000,
        count_operator_kills: false,
    }
}

pub(crate) fn tenant_rules() -> TenantRules {
    TenantRules {
        status: TenantStatus::Active,
        max_sessions: None,
        allowed_agents: None,
        host_scope: None,
        breaker: seed_breaker(),
        unusable: None,
    }
}

pub(crate) fn rules() -> Rules {
    let command = AgentRules { runtime: runtime("command"), max_sessions: None };
    Rules {
        max_concurrent_sessions: 50,
        default_max_sessions: None,
        unknown_tenant: UnknownTenant::DefaultConfig,
        missing_tenant: MissingTenant::Default,
        default_tenant: tenant("default"),
        accept_only_registered_rooms: false,
        drain_timeout_ms: 30_000,
        terminate_grace_ms: 10_000,
        initialize_timeout_ms: 10_000,
        max_concurrent_spawns: 4,
        spawn_attempts: 3,
        restart_backoff_ms: vec![1_000, 2_000, 5_000, 15_000, 60_000],
        max_hosts: 256,
        max_unregistered_hosts: 16,
        host_idle_timeout_ms: 300_000,
        host_scope: HostScope::Tenant,
        breaker: seed_breaker(),
        unresponsive_warn_ms: 500,
        unresponsive_kill_ms: 15_000,
        routing: RoutingRules {
            rules: Vec::new(),
            metadata_agent_keys: vec!["agent".to_owned(), "demo".to_owned()],
            room_prefix: true,
            fallback: Fallback::Agent(agent("support")),
        },
        rooms: RoomRules { tenant_prefix: false, separator: "_".to_owned() },
        tenants: BTreeMap::new(),
        agents: BTreeMap::from([(agent("support"), command.clone()), (agent("sales"), command)]),
        runtimes: BTreeMap::from([(
            runtime("command"),
            RuntimeRules { max_sessions_per_host: None, recycle_after_sessions: None, session_ms_max: None },
        )]),
    }
}

/// A local dispatch of this tenant.
pub(crate) fn dispatch(id: u64, tenant: &str) -> Dispatch {
    Dispatch {
        id: DispatchId(id),
        room: "room".to_owned(),
        job_id: None,
        tenant: Some(tenant.to_owned()),
        agent: None,
        job_metadata: String::new(),
        room_metadata: String::new(),
        assigned_with_answer: true,
    }
}

/// A policy, its clock, and everything it asked for and was not yet taken.
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) now: Moment,
    pub(crate) effects: Vec<Effect>,
    dispatches: u64,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { policy: Policy::new(rules, 7), now: Moment(0), effects: Vec::new(), dispatches: 0 }
    }

    pub(crate) fn send(&mut self, event: Event) {
        self.policy.handle(self.now, event, &mut self.effects);
    }

    pub(crate) fn order(&mut self, order: OperatorEvent) {
        self.send(Event::Operator(order));
    }

    pub(crate) fn host(&mut self, host: HostId, event: HostEvent) {
        self.send(Event::Host(host, event));
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.send(Event::Tick);
    }

    /// Everything asked for since the last time.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn offer(&mut self, dispatch: Dispatch) -> Result<Admitted, Rejection> {
        self.dispatches += 1;
        let id = DispatchId(self.dispatches);
        self.send(Event::DispatchOffered(Dispatch { id, ..dispatch }));
        let answer = self.effects.iter().find_map(|effect| match effect {
            Effect::Answer(answered, answer) if *answered == id => Some(answer.clone()),
            _ => None,
        });
        match answer.expect("every dispatch is answered at once") {
            Answer::Admitted(admitted) => Ok(admitted),
            Answer::Rejected(rejection) => Err(rejection),
        }
    }

    /// Admits a local session of the tenant; gives it and its host.
    pub(crate) fn admit(&mut self, tenant: &str) -> (SessionId, HostId) {
        let session = self.offer(dispatch(0, tenant)).expect("admitted").session;
        (session, self.policy.sessions.get(session).expect("there").host)
    }

    /// Admits a session, brings its host up, and has it run.
    pub(crate) fn run(&mut self, tenant: &str) -> (SessionId, HostId) {
        let (session, host) = self.admit(tenant);
        self.host(host, HostEvent::Up);
        self.host(host, HostEvent::Ready { agents: Vec::new() });
        self.host(host, HostEvent::SessionStarted(session));
        (session, host)
    }

    pub(crate) fn end(&mut self, host: HostId, session: SessionId, status: EndStatus) {
        self.host(host, HostEvent::SessionEnded { session, status, error: None, denied: None });
    }

    pub(crate) fn die(&mut self, host: HostId) {
        self.host(host, HostEvent::Exited(Exit::Crashed { signal: 11, claimed: false }));
    }

    pub(crate) fn spawned(&self) -> Vec<HostPlan> {
        self.effects
            .iter()
            .filter_map(|effect| if let Effect::Spawn(plan) = effect { Some(plan.clone()) } else { None })
            .collect()
    }

    pub(crate) fn conclusions(&self) -> Vec<&Conclusion> {
        self.effects
            .iter()
            .filter_map(|effect| if let Effect::Conclude(it) = effect { Some(&**it) } else { None })
            .collect()
    }

    pub(crate) fn notices(&self) -> Vec<&Notice> {
        self.effects.iter().filter_map(|effect| if let Effect::Notice(it) = effect { Some(it) } else { None }).collect()
    }

    pub(crate) fn asked(&self, wanted: &Effect) -> usize {
        self.effects.iter().filter(|effect| *effect == wanted).count()
    }
}
