//! What must be true, kept apart from policy: its own books, written from the effects alone.
//!
//! Owns: the checks. Never: asks policy what to expect; it only compares policy's own views with its books.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_ipc::{AgentName, HostId, SessionId, TenantId};
use openrtc_policy::rules::HostScope;
use openrtc_policy::{
    Answer, Blame, Conclusion, DispatchId, Effect, HostPlan, Intent, Moment, Notice, Policy, Reason, RejectReason,
    Rules, SessionPlan, Status,
};

/// Of so many checks one also compares the places that policy holds by tenant and agent, which is slow to ask for.
const CHECKS_PER_FULL_ONE: u64 = 16;

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Spawned,
    Up,
    Ready,
}

/// A process that policy asked for.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) plan: HostPlan,
    pub(crate) stage: Stage,
    /// Sessions it was told to start and that are not concluded.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// Those of them that it was asked to end.
    pub(crate) asked: BTreeSet<SessionId>,
    /// The first reason it was told to go.
    pub(crate) intent: Option<Intent>,
    pub(crate) killed: bool,
    drained: bool,
    started: u32,
}

/// The books.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    pub(crate) processes: BTreeMap<HostId, Process>,
    /// Dispatches asked and not answered; empty between events.
    pub(crate) unanswered: Option<(DispatchId, bool)>,
    /// Admitted, not yet assigned: since when.
    pub(crate) offered: BTreeMap<SessionId, Moment>,
    /// Assigned and not concluded.
    pub(crate) assigned: BTreeMap<SessionId, Option<HostId>>,
    pub(crate) concluded: BTreeSet<SessionId>,
    pub(crate) closed_doors: BTreeSet<TenantId>,
    pub(crate) may_finish: bool,
    pub(crate) ours_only: bool,
    pub(crate) admitted: u64,
    /// When each tenant's code failed, as the world knows that it did.
    tenant_faults: BTreeMap<TenantId, Vec<Moment>>,
    open_breakers: BTreeMap<TenantId, Moment>,
    finishes: u32,
    gone: BTreeSet<HostId>,
    counts: Counts,
    checks: u64,
    /// Which host's word policy has just heard.
    pub(crate) speaker: Option<HostId>,
    /// Everything of note that happened, by name: a world in which little happens proves little.
    pub(crate) seen: BTreeSet<String>,
    /// Sessions per host that any rules of this era allowed: a host may carry what was placed under earlier ones.
    per_host_max: u32,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    tenants: BTreeMap<TenantId, u32>,
    agents: BTreeMap<AgentName, u32>,
}

impl Counts {
    fn add(&mut self, tenant: &TenantId, agent: &AgentName) {
        self.all += 1;
        match self.tenants.get_mut(tenant) {
            Some(count) => *count += 1,
            None => _ = self.tenants.insert(tenant.clone(), 1),
        }
        match self.agents.get_mut(agent) {
            Some(count) => *count += 1,
            None => _ = self.agents.insert(agent.clone(), 1),
        }
    }
}

impl Model {
    pub(crate) fn new(rules: Rules, ours_only: bool) -> Self {
        Self {
            per_host_max: per_host(&rules),
            rules,
            processes: BTreeMap::new(),
            unanswered: None,
            offered: BTreeMap::new(),
            assigned: BTreeMap::new(),
            concluded: BTreeSet::new(),
            closed_doors: BTreeSet::new(),
            may_finish: false,
            ours_only,
            admitted: 0,
            tenant_faults: BTreeMap::new(),
            open_breakers: BTreeMap::new(),
            finishes: 0,
            gone: BTreeSet::new(),
            counts: Counts::default(),
            checks: 0,
            speaker: None,
            seen: BTreeSet::new(),
        }
    }

    /// The operator changed the rules.
    pub(crate) fn rules_changed(&mut self, rules: Rules) {
        self.per_host_max = self.per_host_max.max(per_host(&rules));
        self.rules = rules;
    }

    /// The world made a tenant's code fail.
    pub(crate) fn blame_tenant(&mut self, tenant: &TenantId, now: Moment) {
        self.tenant_faults.entry(tenant.clone()).or_default().push(now);
    }

    /// A process is gone; policy is about to hear of it.
    pub(crate) fn bury(&mut self, host: HostId) {
        assert!(self.processes.remove(&host).is_some(), "{host} died twice");
        self.gone.insert(host);
    }

    /// Books what policy asked for, and checks that it may.
    pub(crate) fn book(&mut self, now: Moment, effects: &[Effect]) {
        for effect in effects {
            self.seen.insert(kind(effect));
            match effect {
                Effect::Answer(id, answer) => self.answered(now, *id, answer),
                Effect::Spawn(plan) => self.spawned(plan),
                Effect::StartSession(host, plan) => self.started(*host, plan),
                Effect::EndSession(host, session, _) => {
                    let process = self.process(*host);
                    assert!(process.sessions.contains(session), "{session} is ended on {host}, which does not run it");
                    process.asked.insert(*session);
                }
                Effect::DrainHost(host) => {
                    let process = self.process(*host);
                    assert!(!std::mem::replace(&mut process.drained, true), "{host} was told to drain twice");
                }
                Effect::Terminate(host, intent) => {
                    let process = self.process(*host);
                    assert_eq!(process.intent, None, "{host} was told to go after it was told to go");
                    process.intent = Some(intent.clone());
                }
                Effect::Kill(host, intent) => {
                    let process = self.process(*host);
                    assert!(!std::mem::replace(&mut process.killed, true), "{host} was killed twice");
                    process.intent.get_or_insert_with(|| intent.clone());
                }
                Effect::Conclude(conclusion) => self.conclude(conclusion),
                Effect::Notice(notice) => self.noticed(now, notice),
                Effect::Finish => self.finish(),
            }
        }
        assert_eq!(self.unanswered, None, "a dispatch was not answered at once");
    }

    /// Compares policy's views with the books.
    pub(crate) fn check(&mut self, policy: &Policy) {
        let (mut counts, mut assigned) = (Counts::default(), 0);
        for session in policy.sessions() {
            counts.add(&session.plan.tenant, &session.plan.agent);
            if session.state != "offered" {
                assigned += 1;
                assert!(self.assigned.contains_key(&session.plan.session), "{session:?} was never assigned");
            }
        }
        assert_eq!(assigned, self.assigned.len(), "an assigned session was dropped without a conclusion");
        assert_eq!(policy.active(), counts.all, "places held and sessions there differ");
        let processes = policy.hosts().filter(|host| host.state != "queued").count();
        assert_eq!(processes, self.processes.len(), "policy and world differ on the processes there are");
        self.checks += 1;
        if self.checks.is_multiple_of(CHECKS_PER_FULL_ONE) {
            let counters = policy.counters();
            assert_eq!(counters.sessions_by_tenant, counts.tenants, "places held by tenant");
            assert_eq!(counters.sessions_by_agent, counts.agents, "places held by agent");
        }
        self.check_caps(&counts);
        self.counts = counts;
    }

    /// A count may stand above a cap that was lowered, but it may never grow above one.
    fn check_caps(&self, counts: &Counts) {
        let all = counts.all;
        assert!(all <= self.counts.all || all <= self.rules.max_concurrent_sessions, "global cap overshot: {all}");
        for (tenant, count) in &counts.tenants {
            let default = self.rules.default_max_sessions;
            let cap = self.rules.tenants.get(tenant).map_or(default, |rules| rules.max_sessions).unwrap_or(u32::MAX);
            let grew = *count > self.counts.tenants.get(tenant).copied().unwrap_or(0);
            assert!(!grew || *count <= cap, "cap {cap} of {tenant} overshot: {count}");
        }
        for (agent, count) in &counts.agents {
            let cap = self.rules.agents.get(agent).and_then(|rules| rules.max_sessions).unwrap_or(u32::MAX);
            let grew = *count > self.counts.agents.get(agent).copied().unwrap_or(0);
            assert!(!grew || *count <= cap, "cap {cap} of {agent} overshot: {count}");
        }
    }

    /// After everything has ended: nothing is left, and everything is accounted for.
    pub(crate) fn check_rest(&self, policy: &Policy) {
        assert_eq!(policy.active(), 0, "reservations leaked");
        assert_eq!(policy.sessions().count(), 0, "sessions leaked");
        assert_eq!(policy.hosts().count(), 0, "hosts leaked: {:?}", policy.hosts().collect::<Vec<_>>());
        assert!(self.processes.is_empty(), "processes were never ended: {:?}", self.processes);
        let (concluded, released) = (self.concluded.len() as u64, policy.counters().reservations_released);
        assert_eq!(self.admitted, concluded + released, "an admission is not accounted for");
        assert_eq!(self.finishes, 1, "it must have finished exactly once");
    }

    fn process(&mut self, host: HostId) -> &mut Process {
        self.processes.get_mut(&host).unwrap_or_else(|| panic!("{host} is asked for something and does not exist"))
    }

    fn answered(&mut self, now: Moment, id: DispatchId, answer: &Answer) {
        let (asked, assigned) = self.unanswered.take().expect("an answer to nothing");
        assert_eq!(asked, id, "the answer to another dispatch");
        match answer {
            Answer::Admitted(admitted) => {
                let (tenant, session) = (&admitted.tenant, admitted.session);
                assert!(!self.may_finish, "{session} was admitted during the drain");
                assert!(!self.closed_doors.contains(tenant), "{session} of {tenant}, which may have none");
                assert!(!self.open_breakers.contains_key(tenant), "{session} passed an open breaker");
                assert!(!self.concluded.contains(&session), "{session} was given twice");
                self.admitted += 1;
                if assigned {
                    self.assigned.insert(session, None);
                } else {
                    self.offered.insert(session, now);
                }
            }
            Answer::Rejected(rejection) => {
                if rejection.reason == RejectReason::HostUnavailable {
                    assert!(rejection.retry_after_ms.is_some(), "no word on when to ask again");
                }
            }
        }
    }

    fn spawned(&mut self, plan: &HostPlan) {
        let registered =
            |plan: &HostPlan| self.rules.tenants.contains_key(&plan.tenant) || plan.tenant == self.rules.default_tenant;
        let strangers = self.processes.values().filter(|process| !registered(&process.plan)).count();
        let booting = |process: &&Process| process.stage != Stage::Ready && process.intent.is_none();
        let booting = self.processes.values().filter(booting).count();
        assert!(booting < self.rules.max_concurrent_spawns as usize, "{booting} hosts were being brought up already");
        assert!(self.processes.len() < self.rules.max_hosts as usize, "max_hosts overshot");
        assert!(
            registered(plan) || strangers < self.rules.max_unregistered_hosts as usize,
            "max_unregistered_hosts overshot"
        );
        assert!(!self.gone.contains(&plan.host), "{} was used before", plan.host);
        let process = Process {
            plan: plan.clone(),
            stage: Stage::Spawned,
            sessions: BTreeSet::new(),
            asked: BTreeSet::new(),
            intent: None,
            killed: false,
            drained: false,
            started: 0,
        };
        assert!(self.processes.insert(plan.host, process).is_none(), "{} was spawned twice", plan.host);
    }

    fn started(&mut self, host: HostId, plan: &SessionPlan) {
        let session = plan.session;
        let per_host_max = self.per_host_max as usize;
        let booked = self.assigned.get_mut(&session).unwrap_or_else(|| panic!("{session} starts and is not assigned"));
        assert_eq!(booked.replace(host), None, "{session} was started twice");
        let process = self.process(host);
        assert_eq!(process.stage, Stage::Ready, "{session} starts on {host}, which is not ready");
        assert!(process.intent.is_none() && !process.drained, "{session} starts on {host}, which was told to go");
        assert_eq!(process.plan.tenant, plan.tenant, "{host} is given another tenant's session");
        process.sessions.insert(session);
        process.started += 1;
        let (running, started) = (process.sessions.len(), process.started);
        match process.plan.scope {
            HostScope::Session => assert_eq!(started, 1, "{host} was made for one session"),
            HostScope::Tenant => assert!(running <= per_host_max, "{host} carries {running} sessions"),
        }
    }

    fn conclude(&mut self, conclusion: &Conclusion) {
        let session = conclusion.plan.session;
        let Some(host) = self.assigned.remove(&session) else { panic!("{session} was concluded and is not assigned") };
        assert!(self.concluded.insert(session), "{session} was concluded twice");
        if let Some(process) = host.and_then(|host| self.processes.get_mut(&host)) {
            process.sessions.remove(&session);
            process.asked.remove(&session);
        }
        let outcome = &conclusion.outcome;
        if matches!(outcome.reason, Reason::Completed | Reason::Error) {
            assert_eq!(host, self.speaker, "the end of {session} was believed of another host");
        }
        if outcome.status != Status::Failed {
            assert_eq!(outcome.blame, Blame::Caller, "nobody failed in {outcome:?}");
        }
        if self.ours_only {
            assert_ne!(outcome.blame, Blame::Tenant, "no tenant did anything wrong here: {conclusion:?}");
        }
    }

    fn noticed(&mut self, now: Moment, notice: &Notice) {
        match notice {
            Notice::BreakerOpened { tenant, failures, cooldown_ms, .. } => {
                self.open_breakers.insert(tenant.clone(), now.plus_ms(*cooldown_ms));
                if *failures > 0 {
                    self.check_opening(tenant, *failures, now);
                }
            }
            Notice::BreakerProbing { tenant } | Notice::BreakerClosed { tenant } => {
                self.open_breakers.remove(tenant);
            }
            Notice::RanAsDefault { .. }
            | Notice::UnconfiguredTenant { .. }
            | Notice::HostCondemned { .. }
            | Notice::HostGone { .. }
            | Notice::RestartBackedOff { .. }
            | Notice::DrainStarted { .. } => {}
        }
    }

    /// A breaker may count no failure that the tenant did not commit, and none twice.
    fn check_opening(&mut self, tenant: &TenantId, failures: u32, now: Moment) {
        assert!(!self.ours_only, "the breaker of {tenant} opened though every fault was ours");
        let window_ms = 60_000;
        let faults = self.tenant_faults.remove(tenant).unwrap_or_default();
        let recent = faults.iter().filter(|at| now.ms_since(**at) <= window_ms).count();
        assert!(failures as usize <= recent, "{tenant} failed {recent} times, and its breaker counted {failures}");
    }

    fn finish(&mut self) {
        assert!(self.may_finish, "it finished and nobody asked");
        assert!(self.processes.is_empty(), "it finished before its hosts");
        assert!(self.assigned.is_empty(), "it finished before its sessions");
        self.finishes += 1;
        assert_eq!(self.finishes, 1, "it finished twice");
    }
}

fn per_host(rules: &Rules) -> u32 {
    let runtimes = rules.runtimes.values();
    runtimes.map(|runtime| runtime.max_sessions_per_host.unwrap_or(u32::MAX)).max().unwrap_or(u32::MAX)
}

/// What an effect is, without whom it is about.
fn kind(effect: &Effect) -> String {
    let word = |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match effect {
        Effect::Answer(_, Answer::Admitted(admitted)) => format!("admitted {}", admitted.routed_by),
        Effect::Answer(_, Answer::Rejected(rejection)) => format!("rejected {}", rejection.reason.name()),
        Effect::EndSession(_, _, reason) => format!("end {reason}"),
        Effect::Terminate(_, intent) => format!("terminate {}", word(format!("{intent:?}"))),
        Effect::Kill(_, intent) => format!("kill {}", word(format!("{intent:?}"))),
        Effect::Conclude(conclusion) => format!("concluded {}", word(format!("{:?}", conclusion.outcome.reason))),
        Effect::Notice(Notice::HostCondemned { cause, .. }) => format!("condemned {cause}"),
        Effect::Notice(notice) => word(format!("{notice:?}")),
        Effect::Spawn(_) | Effect::StartSession(..) | Effect::DrainHost(_) | Effect::Finish => {
            word(format!("{effect:?}"))
        }
    }
}
