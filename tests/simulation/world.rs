//! The random world around policy: dispatchers, operators, hosts that break at any phase, and a clock that jumps.
//!
//! Owns: the choice of what happens next. Never: judges; the model does.

use std::collections::{BTreeSet, VecDeque};

use fastrand::Rng;
use openrtc_ipc::{AgentName, EndStatus, HostId, SessionId, SetupStep, TenantId};
use openrtc_policy::bounds::RESERVATION_TTL_MS;
use openrtc_policy::{Event, Exit, HostEvent, HostPlan, Intent, Moment, OperatorEvent, Policy, SetupFailure};

use crate::agency;
use crate::model::{Model, Stage};

/// What goes wrong in an era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Everything, by anybody's fault; hosts lie, reports are lost, repeated and reordered.
    Any,
    /// Only what is ours or the machine's: set-up failures, the kernel's killer above, SIGKILLs out of nowhere.
    OursOnly,
    /// Nothing.
    None,
}

/// One era.
pub(crate) struct World {
    rng: Rng,
    faults: Faults,
    policy: Policy,
    model: Model,
    now: Moment,
    dispatches: u64,
    /// Words of hosts that were lost, or will be heard once more.
    echoes: VecDeque<(HostId, HostEvent)>,
    /// Sessions whose application chose an agent that it may not run: if their end is heard, it is the tenant's failure.
    astray: BTreeSet<SessionId>,
}

impl World {
    pub(crate) fn new(mut rng: Rng, faults: Faults) -> Self {
        let rules = agency::rules(&mut rng);
        let policy = Policy::new(rules.clone(), rng.u32(..));
        let model = Model::new(rules, faults != Faults::Any);
        Self {
            rng,
            faults,
            policy,
            model,
            now: Moment(0),
            dispatches: 0,
            echoes: VecDeque::new(),
            astray: BTreeSet::new(),
        }
    }

    /// Something happens, and everything is checked.
    pub(crate) fn step(&mut self) {
        self.end_what_was_asked();
        self.let_time_pass();
        match self.rng.u8(..100) {
            0..30 => self.dispatch(),
            30..45 => self.assign(),
            45..90 => self.any_host(),
            90..94 => self.echo(),
            94..98 => self.operator(),
            98 if self.rng.u8(..4) == 0 => self.change_rules(),
            _ => self.send(Event::Tick),
        }
    }

    /// No more dispatches; every host obeys; gives the books.
    pub(crate) fn come_to_rest(mut self) -> Model {
        let first = self.rng.u8(..3);
        if first > 0 {
            self.finish(first == 1);
        }
        for _ in 0..10_000 {
            let hosts: Vec<HostId> = self.model.processes.keys().copied().collect();
            for host in hosts {
                self.obey(host);
            }
            let next = self.policy.next_deadline().unwrap_or(self.now);
            self.now = self.now.max(next);
            self.send(Event::Tick);
            if self.policy.hosts().next().is_none() && self.policy.active() == 0 {
                break;
            }
        }
        self.finish(true);
        self.finish(false);
        self.model.check_rest(&self.policy);
        self.model
    }

    fn send(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.model.speaker = if let Event::Host(host, _) = &event { Some(*host) } else { None };
        self.policy.handle(self.now, event, &mut effects);
        self.model.book(self.now, &effects);
        self.model.check(&self.policy);
    }

    /// Where nobody but us is at fault, a session ends as soon as it is asked to.
    fn end_what_was_asked(&mut self) {
        if self.faults != Faults::Any {
            let asked = self.model.processes.iter().flat_map(|(host, it)| it.asked.iter().map(|id| (*host, *id)));
            for (host, session) in asked.collect::<Vec<_>>() {
                self.end(host, session);
            }
        }
    }

    fn let_time_pass(&mut self) {
        let ms = match self.rng.u16(..1_000) {
            0 => self.rng.u64(60_000..900_000),
            1..5 => self.rng.u64(1_000..20_000),
            5..500 => self.rng.u64(..100),
            _ => 0,
        };
        self.now = self.now.plus_ms(ms);
    }

    fn dispatch(&mut self) {
        self.dispatches += 1;
        let dispatch = agency::dispatch(&mut self.rng, self.dispatches);
        self.model.unanswered = Some((dispatch.id, dispatch.assigned_with_answer));
        self.send(Event::DispatchOffered(dispatch));
    }

    /// The dispatcher gives a session, or takes it back, or talks of one that was given or is over.
    fn assign(&mut self) {
        // What is due happens first, so that the books know what is still held.
        self.send(Event::Tick);
        let offered = self.model.offered.keys().nth(self.rng.usize(..4)).copied();
        let assigned = self.model.assigned.keys().nth(self.rng.usize(..40)).copied();
        let over = self.model.concluded.last().copied();
        let session = match self.rng.u8(..8) {
            0 => assigned.or(offered),
            1 => over.or(assigned),
            _ => offered,
        };
        let Some(session) = session else { return };
        let offered_at = self.model.offered.remove(&session);
        if self.rng.u8(..4) == 0 {
            return self.send(Event::DispatchLost(session));
        }
        if let Some(at) = offered_at {
            let held = self.policy.sessions().any(|held| held.plan.session == session);
            let expired = self.now.ms_since(at) >= RESERVATION_TTL_MS;
            assert!(!(held && expired), "the reservation of {session} did not expire");
            if held {
                self.model.assigned.insert(session, None);
            }
        }
        self.send(Event::DispatchAssigned(session));
    }

    fn any_host(&mut self) {
        let count = self.model.processes.len();
        if count == 0 {
            return self.send(Event::Tick);
        }
        let pick = self.rng.usize(..count);
        let (host, process) = self.model.processes.iter().nth(pick).expect("counted");
        let (host, stage, ending, killed) = (*host, process.stage, process.intent.is_some(), process.killed);
        if ending && (killed || self.rng.bool()) {
            return self.obey(host);
        }
        match stage {
            Stage::Spawned | Stage::Up if self.faulty(8) => self.fail_to_start(host),
            Stage::Spawned => self.come_up(host),
            Stage::Up => self.serve(host),
            Stage::Ready if self.faulty(40) => self.die(host),
            Stage::Ready if self.faults == Faults::Any && self.rng.u8(..12) == 0 => self.misbehave(host),
            Stage::Ready => self.talk(host),
        }
    }

    /// Whether a fault strikes now: one in so many.
    fn faulty(&mut self, one_in: u8) -> bool {
        self.faults != Faults::None && self.rng.u8(..one_in) == 0
    }

    fn come_up(&mut self, host: HostId) {
        self.model.processes.get_mut(&host).expect("there").stage = Stage::Up;
        self.send(Event::Host(host, HostEvent::Up));
        // A tenant's own boot may take longer than it may; where every fault is ours it does not.
        if self.faults != Faults::Any {
            self.serve(host);
        }
    }

    fn serve(&mut self, host: HostId) {
        let Some(process) = self.model.processes.get_mut(&host) else { return };
        if process.intent.is_none() {
            process.stage = Stage::Ready;
        }
        self.say(host, HostEvent::Ready { agents: Vec::new() });
    }

    /// A report reaches policy; or is lost, or is heard twice.
    fn say(&mut self, host: HostId, event: HostEvent) {
        if self.faults == Faults::Any {
            match self.rng.u8(..40) {
                0 => self.echoes.push_back((host, event.clone())),
                1 if !matches!(event, HostEvent::Ready { .. }) => {
                    self.echoes.push_back((host, event));
                    return;
                }
                _ => {}
            }
            self.echoes.truncate(64);
        }
        self.send(Event::Host(host, event));
    }

    /// A word that was lost is heard late, or one that was heard is heard again.
    fn echo(&mut self) {
        match self.echoes.pop_front() {
            Some((host, event)) if self.may_be_said(host, &event) => {
                self.blame_for(host, &event);
                self.send(Event::Host(host, event));
            }
            Some(_) | None => self.send(Event::Tick),
        }
    }

    /// Whether a host may say this where no tenant does wrong: its router chooses among the agents that it may run.
    fn may_be_said(&self, host: HostId, event: &HostEvent) -> bool {
        match event {
            HostEvent::SessionRerouted(_, agent) => self.faults == Faults::Any || self.may_run(host, agent),
            _ => true,
        }
    }

    fn may_run(&self, host: HostId, agent: &AgentName) -> bool {
        let (Some(process), rules) = (self.model.processes.get(&host), &self.model.rules) else { return false };
        let HostPlan { tenant, runtime, .. } = &process.plan;
        let known = rules.agents.get(agent).is_some_and(|rules| rules.runtime == *runtime);
        let allowed = rules.tenants.get(tenant).and_then(|rules| rules.allowed_agents.as_ref());
        known && allowed.is_none_or(|allowed| allowed.contains(agent))
    }

    fn talk(&mut self, host: HostId) {
        let process = &self.model.processes[&host];
        let count = process.sessions.len();
        if count == 0 {
            return self.send(Event::Tick);
        }
        let session = *process.sessions.iter().nth(self.rng.usize(..count)).expect("counted");
        let event = match self.rng.u8(..10) {
            0..4 => HostEvent::SessionStarted(session),
            4 => HostEvent::SessionRerouted(session, agency::any_agent(&mut self.rng)),
            _ => HostEvent::SessionEnded { session, status: self.end_status(), error: None, denied: None },
        };
        if !self.may_be_said(host, &event) {
            return self.send(Event::Tick);
        }
        self.blame_for(host, &event);
        self.say(host, event);
    }

    fn end_status(&mut self) -> EndStatus {
        match self.rng.u8(..4) {
            0 if self.faults == Faults::Any => EndStatus::Failed,
            1 => EndStatus::Cancelled,
            _ => EndStatus::Success,
        }
    }

    /// The books of who failed: an upper bound, so a failure that policy never hears of may stand in them.
    fn blame_for(&mut self, host: HostId, event: &HostEvent) {
        let Some(process) = self.model.processes.get(&host) else { return };
        let tenant = process.plan.tenant.clone();
        match event {
            HostEvent::SessionRerouted(session, agent) if !self.may_run(host, agent) => {
                self.astray.insert(*session);
            }
            HostEvent::SessionEnded { session, status, .. }
                if *status == EndStatus::Failed || self.astray.contains(session) =>
            {
                self.model.blame_tenant(&tenant, self.now);
            }
            _ => {}
        }
    }

    fn misbehave(&mut self, host: HostId) {
        let others = SessionId { run: 0, seq: self.rng.u64(..=self.dispatches) };
        let near = self.policy.sessions().nth(self.rng.usize(..8)).map(|session| session.plan.session);
        let event = match self.rng.u8(..8) {
            0 => HostEvent::SessionStarted(near.unwrap_or(others)),
            1 => {
                let session = near.unwrap_or(others);
                HostEvent::SessionEnded { session, status: EndStatus::Success, error: None, denied: None }
            }
            2 => HostEvent::Violated { kind: "malformed" },
            3 => HostEvent::Silent { ms: self.rng.u64(..20_000) },
            4 => HostEvent::Responsive,
            5 => HostEvent::NearWall { observed_bytes: 1 },
            6 => HostEvent::OffWall,
            _ => HostEvent::Leaving,
        };
        self.say(host, event);
    }

    fn fail_to_start(&mut self, host: HostId) {
        let retry = self.rng.bool();
        let detail = "simulated".to_owned();
        self.gone(host);
        let failure = SetupFailure { step: SetupStep::Fork, errno: 11, detail, retry };
        self.send(Event::Host(host, HostEvent::SetupFailed(failure)));
    }

    fn die(&mut self, host: HostId) {
        let ours = [Exit::OomAncestor, Exit::UnknownSigkill, Exit::Unknown];
        let theirs = [
            Exit::Exited { code: 1, hint: None },
            Exit::Crashed { signal: 11, claimed: false },
            Exit::OomOwnLimit { peak_bytes: None, limit_bytes: None },
            Exit::IpcClosed,
        ];
        let theirs = (self.faults == Faults::Any && self.rng.bool()).then(|| theirs[self.rng.usize(..4)].clone());
        if theirs.is_some() {
            let tenant = self.model.processes[&host].plan.tenant.clone();
            self.model.blame_tenant(&tenant, self.now);
        }
        let exit = theirs.unwrap_or_else(|| ours[self.rng.usize(..3)].clone());
        self.exit(host, exit);
    }

    /// A process ends. What is due happens first: it may be killed for a fault of its tenant in the very moment in
    /// which it dies of something else, and the first reason wins.
    fn gone(&mut self, host: HostId) {
        self.send(Event::Tick);
        let process = &self.model.processes[&host];
        let tenants = matches!(
            process.intent,
            Some(
                Intent::Heartbeat { .. }
                    | Intent::Protocol { .. }
                    | Intent::BootTimeout { .. }
                    | Intent::ChannelClosed
                    | Intent::SessionLimit { .. }
            )
        );
        if tenants {
            let tenant = process.plan.tenant.clone();
            self.model.blame_tenant(&tenant, self.now);
        }
        self.model.bury(host);
    }

    fn exit(&mut self, host: HostId, exit: Exit) {
        self.gone(host);
        self.send(Event::Host(host, HostEvent::Exited(exit)));
    }

    /// A host does as it was told, and then some: it comes up, it ends a session when asked, it goes when told to.
    fn obey(&mut self, host: HostId) {
        let Some(process) = self.model.processes.get(&host) else { return };
        let ended = process.asked.iter().chain(&process.sessions).next().copied();
        let (stage, killed, intent) = (process.stage, process.killed, process.intent.clone());
        match (intent, stage, ended) {
            (Some(_), _, Some(session)) if !killed && self.rng.bool() => self.end(host, session),
            (Some(intent), _, _) => self.exit(host, Exit::from(&intent)),
            (None, Stage::Spawned, _) => self.come_up(host),
            (None, Stage::Up, _) => self.serve(host),
            (None, Stage::Ready, Some(session)) => self.end(host, session),
            (None, Stage::Ready, None) => {}
        }
    }

    fn end(&mut self, host: HostId, session: SessionId) {
        let event = HostEvent::SessionEnded { session, status: EndStatus::Cancelled, error: None, denied: None };
        self.send(Event::Host(host, event));
    }

    fn operator(&mut self) {
        let tenant = agency::any_tenant(&mut self.rng);
        let order = match self.rng.u8(..11) {
            0 => {
                self.model.closed_doors.insert(tenant.clone());
                OperatorEvent::SuspendTenant(tenant)
            }
            1..4 => {
                self.model.closed_doors.remove(&tenant);
                OperatorEvent::ResumeTenant(tenant)
            }
            4 => {
                self.model.closed_doors.insert(tenant.clone());
                OperatorEvent::DrainTenant(tenant)
            }
            5 if self.rng.bool() => OperatorEvent::TripBreaker(tenant, Some(self.rng.u64(..10_000))),
            5 => OperatorEvent::ResetBreaker(tenant),
            6 if self.rng.bool() => {
                self.drop_door(&tenant);
                OperatorEvent::ForgetTenantOrder(tenant)
            }
            7 if self.rng.u8(..4) == 0 => OperatorEvent::KillTenant(tenant),
            8 | 9 => match self.model.processes.keys().nth(self.rng.usize(..8)) {
                Some(host) => OperatorEvent::RecycleHost(*host),
                None => OperatorEvent::RecycleHost(HostId { index: 0, generation: 0 }),
            },
            6 | 7 => match self.model.processes.keys().nth(self.rng.usize(..8)) {
                Some(host) => OperatorEvent::KillHost(*host),
                None => OperatorEvent::KillHost(HostId { index: 0, generation: 0 }),
            },
            _ => match self.policy.sessions().nth(self.rng.usize(..8)) {
                Some(session) => OperatorEvent::EndSession(session.plan.session),
                None => OperatorEvent::EndSession(SessionId { run: 0, seq: 0 }),
            },
        };
        self.send(Event::Operator(order));
    }

    /// A status that was ordered is taken back; a drain goes on.
    fn drop_door(&mut self, tenant: &TenantId) {
        if !self.policy.tenants().any(|known| known.id == tenant && known.draining) {
            self.model.closed_doors.remove(tenant);
        }
    }

    fn change_rules(&mut self) {
        let rules = agency::rules(&mut self.rng);
        self.model.rules_changed(rules.clone());
        self.send(Event::RulesChanged(Box::new(rules)));
    }

    fn finish(&mut self, gently: bool) {
        self.model.may_finish = true;
        self.send(Event::Operator(if gently { OperatorEvent::Drain } else { OperatorEvent::Shutdown }));
    }
}
