//! The state machine: events in, effects out.
//!
//! Owns: the order in which an event is dealt with. Never: decides anything itself; each noun's file does.

use openrtc_ipc::SessionId;

use crate::Moment;
use crate::caps::Places;
use crate::drain::Phase;
use crate::effect::Effect;
use crate::event::Event;
use crate::exit::Intent;
use crate::hosts::{Cause, Hosts};
use crate::outcome::Asked;
use crate::restart::Restarts;
use crate::rules::Rules;
use crate::sessions::Sessions;
use crate::tally::Tally;
use crate::tenants::Tenants;
use crate::timers::{Timer, Timers};

/// Every decision of one supervisor.
#[derive(Debug)]
pub struct Policy {
    pub(crate) rules: Rules,
    pub(crate) now: Moment,
    pub(crate) phase: Phase,
    pub(crate) sessions: Sessions,
    pub(crate) places: Places,
    pub(crate) hosts: Hosts,
    pub(crate) restarts: Restarts,
    pub(crate) tenants: Tenants,
    pub(crate) timers: Timers,
    pub(crate) tally: Tally,
    /// Whether it was said that a session ran as the default tenant although tenants are configured.
    pub(crate) ran_as_default: bool,
}

impl Policy {
    /// A supervisor that serves nobody yet. `run` is a random number that tells its sessions from those of other runs.
    pub fn new(rules: Rules, run: u32) -> Self {
        Self {
            rules,
            now: Moment::default(),
            phase: Phase::Serving,
            sessions: Sessions::new(run),
            places: Places::default(),
            hosts: Hosts::default(),
            restarts: Restarts::default(),
            tenants: Tenants::default(),
            timers: Timers::default(),
            tally: Tally::default(),
            ran_as_default: false,
        }
    }

    /// Takes one event and adds what is to be done about it, in order.
    pub fn handle(&mut self, now: Moment, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        self.let_time_pass(effects);
        match event {
            Event::DispatchOffered(dispatch) => self.offered(dispatch, effects),
            Event::DispatchAssigned(session) => self.assigned(session, effects),
            Event::DispatchLost(session) => self.end_session(session, Asked::CallerLeft, effects),
            Event::CallOver(session) => self.end_session(session, Asked::CallOver, effects),
            Event::Host(host, event) => self.host_event(host, event, effects),
            Event::Operator(order) => self.operator(order, effects),
            Event::RulesChanged(rules) => self.rules = *rules,
            Event::Tick => {}
        }
        self.spawn_next(effects);
        self.finish_when_done(effects);
    }

    /// When the driver must send [`Event::Tick`] at the latest; `None` if nothing is waited for.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// What was due before this event happens before it.
    fn let_time_pass(&mut self, effects: &mut Vec<Effect>) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Offer(session) => self.release(session, effects),
                Timer::Duration(session) => self.end_session(session, Asked::Duration, effects),
                Timer::EndGrace(session) => self.end_grace_over(session, effects),
                Timer::Probe(session) => self.probe_lasted(session, effects),
                Timer::Queued(host) => self.host_not_spawned(host, effects),
                Timer::Boot(host) => self.host_boot_timeout(host, effects),
                Timer::Idle(host) => self.condemn(host, Cause::Idle, effects),
                Timer::Leave(host) => self.kill_host(host, Intent::ChannelClosed, effects),
                Timer::Breaker(tenant) => self.breaker_cooled(&tenant, effects),
                Timer::Healthy(tenant, runtime) => self.end_back_off(&tenant, &runtime),
                Timer::Drain(tenant) => self.drain_over(tenant.as_ref(), effects),
            }
        }
    }

    fn probe_lasted(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let Some(tenant) = self.sessions.get(id).map(|session| session.plan.tenant.clone()) else { return };
        if let Some(change) = self.tenants.get_mut(&tenant).and_then(|known| known.breaker.proven(id)) {
            self.breaker_changed(&tenant, change, effects);
        }
    }

    fn breaker_cooled(&mut self, tenant: &openrtc_ipc::TenantId, effects: &mut Vec<Effect>) {
        let rules = self.rules.breaker_of(tenant);
        let change = self.tenants.get_mut(tenant).and_then(|known| known.breaker.cooled(self.now, rules));
        if let Some(change) = change {
            self.breaker_changed(tenant, change, effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use openrtc_ipc::{EndStatus, SetupStep};

    use super::*;
    use crate::bounds::RESERVATION_TTL_MS;
    use crate::dispatch::Dispatch;
    use crate::effect::{Answer, Notice};
    use crate::event::{HostEvent, OperatorEvent, SetupFailure};
    use crate::exit::Exit;
    use crate::fixture::{World, agent, dispatch, rules, runtime, tenant, tenant_rules};
    use crate::outcome::{Blame, Reason, Status};
    use crate::rejection::RejectReason;
    use crate::rules::{HostScope, TenantRules};

    fn offered(tenant: &str) -> Dispatch {
        Dispatch { assigned_with_answer: false, ..dispatch(0, tenant) }
    }

    fn per_session() -> Rules {
        Rules { host_scope: HostScope::Session, ..rules() }
    }

    fn not_set_up(retry: bool) -> HostEvent {
        let detail = "fork: resource temporarily unavailable".to_owned();
        HostEvent::SetupFailed(SetupFailure { step: SetupStep::Fork, errno: 11, detail, retry })
    }

    #[test]
    fn a_local_session_is_answered_spawned_started_and_concluded_in_that_order() {
        let mut world = World::new(rules());
        let (session, host) = world.admit("acme");
        let effects = world.take();
        assert!(matches!(&effects[0], Effect::Answer(_, Answer::Admitted(it)) if it.session == session));
        assert!(matches!(effects.last(), Some(Effect::Spawn(plan)) if plan.host == host));
        world.host(host, HostEvent::Up);
        world.host(host, HostEvent::Ready { agents: Vec::new() });
        assert!(matches!(&world.take()[..], [Effect::StartSession(_, plan)] if plan.session == session));
        world.host(host, HostEvent::SessionStarted(session));
        world.pass_ms(1_500);
        world.end(host, session, EndStatus::Success);
        let conclusions = world.conclusions();
        assert_eq!(conclusions.len(), 1);
        assert_eq!((conclusions[0].duration_ms, conclusions[0].started), (1_500, true));
        assert_eq!(conclusions[0].outcome.reason, Reason::Completed);
        assert_eq!(world.policy.active(), 0);
    }

    #[test]
    fn an_offered_session_prepares_its_host_and_starts_only_when_assigned() {
        let mut world = World::new(rules());
        let session = world.offer(offered("acme")).unwrap().session;
        let host = world.spawned()[0].host;
        world.host(host, HostEvent::Ready { agents: Vec::new() });
        assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::StartSession(..))));
        world.send(Event::DispatchAssigned(session));
        world.send(Event::DispatchAssigned(session));
        let starts = world.effects.iter().filter(|effect| matches!(effect, Effect::StartSession(..)));
        assert_eq!(starts.count(), 1);
    }

    #[test]
    fn a_reservation_that_expires_gives_its_place_back_and_concludes_nothing() {
        let mut world = World::new(rules());
        let session = world.offer(offered("acme")).unwrap().session;
        world.pass_ms(RESERVATION_TTL_MS - 1);
        assert_eq!(world.policy.active(), 1);
        world.pass_ms(1);
        assert_eq!(world.policy.active(), 0);
        world.send(Event::DispatchAssigned(session));
        assert!(world.conclusions().is_empty());
        let counters = world.policy.counters();
        assert_eq!((counters.reservations_released, counters.assigned_late), (1, 1));
    }

    #[test]
    fn a_lost_reservation_is_released_and_a_lost_session_is_ended_and_concluded() {
        let mut world = World::new(rules());
        let lost = world.offer(offered("acme")).unwrap().session;
        world.send(Event::DispatchLost(lost));
        assert_eq!((world.policy.active(), world.conclusions().len()), (0, 0));
        let (session, host) = world.run("acme");
        world.send(Event::DispatchLost(session));
        assert_eq!(world.asked(&Effect::EndSession(host, session, "caller_left")), 1);
        world.end(host, session, EndStatus::Cancelled);
        assert_eq!(world.conclusions()[0].outcome.reason, Reason::CallerLeft);
    }

    #[test]
    fn an_accepted_session_whose_host_died_fails_as_soon_as_it_is_assigned() {
        let mut world = World::new(rules());
        let session = world.offer(offered("acme")).unwrap().session;
        let host = world.spawned()[0].host;
        world.die(host);
        assert!(world.conclusions().is_empty());
        world.send(Event::DispatchAssigned(session));
        assert_eq!(world.conclusions()[0].outcome.reason, Reason::HostSignal { signal: 11 });
        assert_eq!(world.policy.breaker(&tenant("acme")).samples, 1);
        assert_eq!(world.policy.active(), 0);
    }

    #[test]
    fn one_death_is_one_failure_however_many_sessions_it_carried() {
        let mut world = World::new(rules());
        let (_, host) = world.run("acme");
        for _ in 0..9 {
            world.admit("acme");
        }
        world.die(host);
        assert_eq!(world.conclusions().len(), 10);
        let breaker = world.policy.breaker(&tenant("acme"));
        assert_eq!((breaker.failures, breaker.samples, breaker.state), (1, 1, "closed"));
    }

    #[test]
    fn five_failing_sessions_open_the_breaker_of_their_tenant_alone() {
        let mut world = World::new(rules());
        for _ in 0..5 {
            let (session, host) = world.run("acme");
            world.end(host, session, EndStatus::Failed);
        }
        let opened = Notice::BreakerOpened { tenant: tenant("acme"), failures: 5, samples: 5, cooldown_ms: 30_000 };
        assert!(world.notices().contains(&&opened));
        let rejection = world.offer(dispatch(0, "acme")).unwrap_err();
        assert_eq!((rejection.reason, rejection.retry_after_ms), (RejectReason::CircuitOpen, Some(30_000)));
        world.offer(dispatch(0, "globex")).unwrap();
        world.pass_ms(29_900);
        assert_eq!(world.policy.breaker(&tenant("acme")).remaining_ms, 100);
        assert!(world.offer(dispatch(0, "acme")).is_err());
        world.pass_ms(200);
        world.offer(dispatch(0, "acme")).unwrap();
        assert!(world.notices().contains(&&Notice::BreakerClosed { tenant: tenant("acme") }));
    }

    #[test]
    fn calls_that_ran_when_the_breaker_opened_do_not_open_it_again() {
        let mut world = World::new(rules());
        let running: Vec<_> = (0..20).map(|_| world.run("acme")).collect();
        for (session, host) in &running[..5] {
            world.end(*host, *session, EndStatus::Failed);
        }
        world.pass_ms(30_100);
        for (session, host) in &running[5..] {
            world.end(*host, *session, EndStatus::Failed);
        }
        assert_eq!(world.policy.breaker(&tenant("acme")).opened_count, 1);
        world.offer(dispatch(0, "acme")).unwrap();
    }

    #[test]
    fn our_own_failures_never_open_a_breaker() {
        let mut world = World::new(rules());
        for _ in 0..20 {
            let (_, host) = world.admit("acme");
            world.host(host, not_set_up(false));
            let (_, host) = world.admit("acme");
            world.host(host, HostEvent::Exited(Exit::OomAncestor));
            world.pass_ms(200_000);
        }
        assert!(world.conclusions().iter().all(|it| it.outcome.blame == Blame::Platform));
        assert_eq!(world.policy.breaker(&tenant("acme")).samples, 0);
    }

    #[test]
    fn a_session_an_operator_killed_counts_as_a_failure_only_where_the_rules_say_so() {
        for counts in [false, true] {
            let mut rules = rules();
            rules.breaker.count_operator_kills = counts;
            let mut world = World::new(rules);
            let (session, host) = world.run("acme");
            world.order(OperatorEvent::EndSession(session));
            assert_eq!(world.asked(&Effect::EndSession(host, session, "operator_kill")), 1);
            world.end(host, session, EndStatus::Cancelled);
            assert_eq!(world.conclusions()[0].outcome.status, Status::Cancelled);
            assert_eq!(world.policy.breaker(&tenant("acme")).failures, u32::from(counts));
        }
    }

    #[test]
    fn a_probe_that_lasts_long_enough_closes_a_half_open_breaker() {
        let mut rules = rules();
        rules.breaker.half_open_max_sessions = Some(1);
        let mut world = World::new(rules);
        world.order(OperatorEvent::TripBreaker(tenant("acme"), Some(1_000)));
        world.pass_ms(1_000);
        assert_eq!(world.policy.breaker(&tenant("acme")).state, "half_open");
        world.run("acme");
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::CircuitOpen);
        world.pass_ms(10_000);
        assert_eq!(world.policy.breaker(&tenant("acme")).state, "closed");
        world.offer(dispatch(0, "acme")).unwrap();
    }

    #[test]
    fn a_set_up_failure_that_may_mend_is_tried_so_often_with_the_sessions_waiting() {
        let mut world = World::new(rules());
        let (session, first) = world.admit("acme");
        world.host(first, not_set_up(true));
        let second = world.spawned()[1].host;
        assert_ne!(first, second);
        world.host(first, HostEvent::Exited(Exit::Unknown));
        world.host(second, not_set_up(true));
        let third = world.spawned()[2].host;
        assert!(world.conclusions().is_empty());
        world.host(third, not_set_up(true));
        assert_eq!(world.spawned().len(), 3);
        let conclusions = world.conclusions();
        assert_eq!((conclusions.len(), conclusions[0].plan.session), (1, session));
        assert_eq!(conclusions[0].outcome.reason, Reason::SetupFailed { step: SetupStep::Fork });
        assert_eq!(world.policy.active(), 0);
    }

    #[test]
    fn a_host_that_is_not_ready_in_time_is_killed_by_the_tenants_fault_once_its_walls_stand() {
        for (up, intent) in [
            (true, Intent::BootTimeout { limit_ms: 10_000 }),
            (false, Intent::Setup { step: SetupStep::Hello, errno: 110 }),
        ] {
            let mut world = World::new(rules());
            let (_, host) = world.admit("acme");
            if up {
                world.host(host, HostEvent::Up);
            }
            world.pass_ms(9_999);
            assert_eq!(world.asked(&Effect::Kill(host, intent.clone())), 0);
            world.pass_ms(1);
            assert_eq!(world.asked(&Effect::Kill(host, intent.clone())), 1);
            world.host(host, HostEvent::Ready { agents: Vec::new() });
            world.host(host, HostEvent::Exited(Exit::from(&intent)));
            assert_eq!(world.policy.breaker(&tenant("acme")).failures, u32::from(up));
        }
    }

    #[test]
    fn hosts_that_keep_dying_make_the_next_one_wait_longer_each_time_until_a_success() {
        let mut world = World::new(rules());
        for wait_ms in [1_000, 2_000, 5_000] {
            let (_, host) = world.run("acme");
            world.die(host);
            let rejection = world.offer(dispatch(0, "acme")).unwrap_err();
            assert_eq!((rejection.reason, rejection.retry_after_ms), (RejectReason::HostUnavailable, Some(wait_ms)));
            world.offer(dispatch(0, "globex")).unwrap();
            world.pass_ms(wait_ms);
        }
        let (session, host) = world.run("acme");
        world.end(host, session, EndStatus::Success);
        world.die(host);
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().retry_after_ms, Some(1_000));
        world.pass_ms(61_000);
        let (_, host) = world.run("acme");
        world.die(host);
        let backed_off = world.notices().into_iter().rev().find(|it| matches!(it, Notice::RestartBackedOff { .. }));
        let Some(Notice::RestartBackedOff { wait_ms: 1_000, .. }) = backed_off else {
            panic!("a healthy minute starts the back-off anew: {backed_off:?}")
        };
    }

    #[test]
    fn at_most_so_many_hosts_are_brought_up_at_once_in_the_order_they_were_asked_for() {
        let mut world = World::new(Rules { max_concurrent_spawns: 2, ..per_session() });
        let hosts: Vec<_> = (0..4).map(|n| world.admit(&format!("t{n}")).1).collect();
        let spawned = |world: &World| world.spawned().iter().map(|plan| plan.host).collect::<Vec<_>>();
        assert_eq!(spawned(&world), hosts[..2]);
        world.host(hosts[1], HostEvent::Ready { agents: Vec::new() });
        assert_eq!(spawned(&world), hosts[..3]);
        world.host(hosts[0], not_set_up(false));
        assert_eq!(spawned(&world), hosts[..4]);
    }

    #[test]
    fn a_host_that_never_gets_its_turn_fails_its_session_as_ours() {
        let mut world = World::new(Rules { max_concurrent_spawns: 1, initialize_timeout_ms: 100_000, ..per_session() });
        world.admit("acme");
        let (second, _) = world.admit("globex");
        world.pass_ms(crate::bounds::QUEUED_MS_MAX);
        let conclusions = world.conclusions();
        assert_eq!((conclusions.len(), conclusions[0].plan.session), (1, second));
        assert_eq!(conclusions[0].outcome.blame, Blame::Platform);
    }

    #[test]
    fn a_tenant_above_its_sessions_per_host_gets_further_hosts_and_fills_them_first() {
        let mut rules = rules();
        rules.runtimes.get_mut(&runtime("command")).unwrap().max_sessions_per_host = Some(2);
        let mut world = World::new(rules);
        let hosts: Vec<_> = (0..5).map(|_| world.admit("acme").1).collect();
        assert_eq!((hosts[0], hosts[2]), (hosts[1], hosts[3]));
        assert_eq!(world.policy.hosts().count(), 3);
        let (_, other) = world.admit("globex");
        assert!(!hosts.contains(&other), "no host serves two tenants");
    }

    #[test]
    fn when_all_hosts_are_taken_the_idle_one_used_least_recently_goes() {
        let mut world = World::new(Rules { max_hosts: 2, ..rules() });
        let (first, old) = world.run("acme");
        let (second, young) = world.run("globex");
        world.end(old, first, EndStatus::Success);
        world.pass_ms(10);
        world.end(young, second, EndStatus::Success);
        world.take();
        let (_, fresh) = world.admit("initech");
        assert_eq!(world.asked(&Effect::Terminate(old, Intent::Drained)), 1);
        assert!(world.spawned().is_empty(), "it waits until the old one is gone");
        world.host(old, HostEvent::Exited(Exit::Drained));
        assert_eq!(world.spawned()[0].host, fresh);
        world.admit("hooli");
        let rejection = world.offer(dispatch(0, "umbrella")).unwrap_err();
        assert_eq!(rejection.reason, RejectReason::HostUnavailable);
        assert!(rejection.retry_after_ms.is_some());
    }

    #[test]
    fn invented_tenants_share_a_smaller_bound_of_hosts() {
        let mut rules = Rules { max_unregistered_hosts: 1, ..rules() };
        rules.tenants.insert(tenant("acme"), tenant_rules());
        let mut world = World::new(rules);
        world.admit("invented-1");
        assert_eq!(world.offer(dispatch(0, "invented-2")).unwrap_err().reason, RejectReason::HostUnavailable);
        world.offer(dispatch(0, "acme")).unwrap();
        world.offer(dispatch(0, "")).unwrap();
    }

    #[test]
    fn an_idle_host_ends_after_its_time_and_a_used_one_does_not() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        world.pass_ms(600_000);
        world.end(host, session, EndStatus::Success);
        world.pass_ms(299_999);
        assert_eq!(world.asked(&Effect::Terminate(host, Intent::Drained)), 0);
        world.pass_ms(1);
        assert_eq!(world.asked(&Effect::Terminate(host, Intent::Drained)), 1);
    }

    #[test]
    fn a_session_scoped_host_ends_with_its_session_and_serves_no_other() {
        let mut world = World::new(per_session());
        let (session, host) = world.run("acme");
        let (_, other) = world.admit("acme");
        assert_ne!(host, other);
        world.end(host, session, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Terminate(host, Intent::Drained)), 1);
    }

    #[test]
    fn a_silent_host_is_condemned_then_killed_and_one_that_answers_again_is_as_before() {
        let mut world = World::new(rules());
        let (_, host) = world.run("acme");
        world.host(host, HostEvent::Silent { ms: 499 });
        assert_eq!(world.admit("acme").1, host);
        world.host(host, HostEvent::Silent { ms: 500 });
        let (_, other) = world.admit("acme");
        assert_ne!(other, host);
        world.host(host, HostEvent::Responsive);
        assert_eq!(world.policy.hosts().next().unwrap().condemned, Vec::<&str>::new());
        world.host(host, HostEvent::Silent { ms: 15_000 });
        assert_eq!(world.asked(&Effect::Kill(host, Intent::Heartbeat { silent_ms: 15_000 })), 1);
    }

    #[test]
    fn a_host_near_its_wall_gets_no_new_calls_and_is_recycled_when_its_own_are_over() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        world.host(host, HostEvent::NearWall { observed_bytes: 1 });
        world.host(host, HostEvent::Responsive);
        assert_ne!(world.admit("acme").1, host);
        world.host(host, HostEvent::OffWall);
        world.host(host, HostEvent::NearWall { observed_bytes: 1 });
        world.end(host, session, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Terminate(host, Intent::Drained)), 1);
    }

    #[test]
    fn a_host_that_speaks_of_sessions_not_its_own_is_killed_and_nothing_else_changes() {
        let mut world = World::new(rules());
        let (session, honest) = world.run("acme");
        let (_, liar) = world.run("globex");
        world.end(liar, session, EndStatus::Failed);
        let ownership = Intent::Protocol { kind: "ownership".to_owned() };
        assert_eq!(world.asked(&Effect::Kill(liar, ownership)), 1);
        assert!(world.conclusions().is_empty());
        assert_eq!(world.policy.breaker(&tenant("acme")).samples, 0);
        world.end(honest, session, EndStatus::Success);
        assert_eq!(world.conclusions().len(), 1);
    }

    #[test]
    fn a_host_that_ends_a_session_it_was_never_told_to_start_is_killed() {
        let mut world = World::new(rules());
        let session = world.offer(offered("acme")).unwrap().session;
        let host = world.spawned()[0].host;
        world.host(host, HostEvent::Ready { agents: Vec::new() });
        world.end(host, session, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Kill(host, Intent::Protocol { kind: "phase".to_owned() })), 1);
        assert_eq!(world.policy.active(), 1, "a host cannot free a place by its word");
    }

    #[test]
    fn a_session_may_end_before_it_started() {
        let mut world = World::new(rules());
        let (session, host) = world.admit("acme");
        world.host(host, HostEvent::Ready { agents: Vec::new() });
        world.end(host, session, EndStatus::Failed);
        assert!(!world.conclusions()[0].started);
        assert_eq!(world.conclusions()[0].outcome.reason, Reason::Error);
    }

    #[test]
    fn a_host_that_does_not_serve_the_agent_fails_the_session_as_a_config_error() {
        let mut world = World::new(rules());
        let (_, host) = world.admit("acme");
        world.host(host, HostEvent::Ready { agents: vec![agent("sales")] });
        let outcome = &world.conclusions()[0].outcome;
        assert_eq!((outcome.reason.clone(), outcome.blame), (Reason::ConfigError, Blame::Platform));
    }

    #[test]
    fn a_rerouted_session_is_booked_only_where_it_would_have_been_allowed() {
        let mut rules = rules();
        rules.agents.get_mut(&agent("sales")).unwrap().max_sessions = Some(1);
        let mut world = World::new(rules);
        let (first, host) = world.run("acme");
        let (second, _) = world.admit("acme");
        let (third, _) = world.admit("acme");
        world.host(host, HostEvent::SessionRerouted(first, agent("sales")));
        world.host(host, HostEvent::SessionRerouted(second, agent("sales")));
        world.host(host, HostEvent::SessionRerouted(third, agent("nobody")));
        let counters = world.policy.counters();
        assert_eq!(counters.sessions_by_agent, [(agent("sales"), 1), (agent("support"), 2)].into());
        assert_eq!(counters.reroutes_refused, 2);
        for (session, why, blame) in [(second, "agent_cap", Blame::Caller), (third, "unknown_agent", Blame::Tenant)] {
            assert_eq!(world.asked(&Effect::EndSession(host, session, why)), 1);
            world.end(host, session, EndStatus::Cancelled);
            let conclusions = world.conclusions();
            let outcome = &conclusions.last().unwrap().outcome;
            assert_eq!(outcome.status, Status::Failed);
            assert_eq!((outcome.reason.clone(), outcome.blame), (Reason::ConfigError, blame));
        }
    }

    fn limited(scope: HostScope) -> World {
        let mut rules = Rules { host_scope: scope, ..rules() };
        rules.runtimes.get_mut(&runtime("command")).unwrap().session_ms_max = Some(60_000);
        World::new(rules)
    }

    #[test]
    fn a_session_that_runs_too_long_is_asked_to_end_and_that_is_nobodys_failure() {
        let mut world = limited(HostScope::Tenant);
        let (session, host) = world.run("acme");
        world.pass_ms(60_000);
        assert_eq!(world.asked(&Effect::EndSession(host, session, "duration_limit")), 1);
        world.end(host, session, EndStatus::Failed);
        let outcome = &world.conclusions()[0].outcome;
        assert_eq!((outcome.status, outcome.reason.clone()), (Status::Cancelled, Reason::DurationLimit));
        assert_eq!(world.policy.breaker(&tenant("acme")).samples, 0);
    }

    #[test]
    fn a_session_that_does_not_end_is_killed_with_a_host_of_its_own() {
        let mut world = limited(HostScope::Session);
        let (_, host) = world.run("acme");
        world.pass_ms(60_000);
        world.pass_ms(10_000);
        let intent = Intent::SessionLimit { limit_ms: 10_000 };
        assert_eq!(world.asked(&Effect::Kill(host, intent.clone())), 1);
        world.host(host, HostEvent::Exited(Exit::from(&intent)));
        let outcome = &world.conclusions()[0].outcome;
        assert_eq!((outcome.status, outcome.reason.clone()), (Status::Failed, Reason::DurationLimit));
        assert_eq!(world.policy.breaker(&tenant("acme")).failures, 1);
    }

    #[test]
    fn a_session_that_does_not_end_on_a_shared_host_is_asked_again_and_the_host_takes_no_more() {
        let mut world = limited(HostScope::Tenant);
        let (session, host) = world.run("acme");
        world.pass_ms(60_000);
        world.pass_ms(10_000);
        world.pass_ms(10_000);
        assert_eq!(world.asked(&Effect::EndSession(host, session, "duration_limit")), 3);
        assert_eq!(world.asked(&Effect::DrainHost(host)), 1);
        assert_eq!(world.policy.counters().ends_ignored, 2);
        assert_ne!(world.admit("acme").1, host);
    }

    #[test]
    fn a_drain_lets_calls_end_kills_idle_hosts_and_finishes_once() {
        let mut world = World::new(rules());
        let (session, busy) = world.run("acme");
        let (over, idle) = world.run("globex");
        world.end(idle, over, EndStatus::Success);
        world.take();
        world.order(OperatorEvent::Drain);
        world.order(OperatorEvent::Drain);
        assert_eq!(world.asked(&Effect::DrainHost(busy)), 1);
        assert_eq!(world.asked(&Effect::Terminate(idle, Intent::Drained)), 1);
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::Draining);
        world.host(idle, HostEvent::Exited(Exit::Drained));
        world.end(busy, session, EndStatus::Success);
        assert_eq!(world.asked(&Effect::Terminate(busy, Intent::Drained)), 1);
        assert_eq!(world.asked(&Effect::Finish), 0);
        world.host(busy, HostEvent::Exited(Exit::Drained));
        world.pass_ms(100_000);
        world.order(OperatorEvent::Shutdown);
        assert_eq!(world.asked(&Effect::Finish), 1);
        assert_eq!(world.policy.next_deadline(), None);
    }

    #[test]
    fn when_the_drain_time_is_over_hosts_are_terminated_and_their_calls_are_nobodys_failure() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        world.order(OperatorEvent::Drain);
        world.pass_ms(30_000);
        assert_eq!(world.asked(&Effect::Terminate(host, Intent::DrainTimeout)), 1);
        world.host(host, HostEvent::Exited(Exit::DrainTimeout));
        let conclusion = world.conclusions()[0];
        assert_eq!(conclusion.plan.session, session);
        assert_eq!((conclusion.outcome.status, &conclusion.outcome.reason), (Status::Cancelled, &Reason::DrainTimeout));
        assert_eq!(world.asked(&Effect::Finish), 1);
    }

    #[test]
    fn a_session_still_waiting_for_its_host_starts_during_a_drain() {
        let mut world = World::new(rules());
        let (session, host) = world.admit("acme");
        world.order(OperatorEvent::Drain);
        world.host(host, HostEvent::Ready { agents: Vec::new() });
        let starts = world.effects.iter().position(|effect| matches!(effect, Effect::StartSession(..)));
        let drains = world.effects.iter().position(|effect| *effect == Effect::DrainHost(host));
        assert!(starts.unwrap() < drains.unwrap(), "it is told to drain only after the start");
        world.end(host, session, EndStatus::Success);
        world.host(host, HostEvent::Exited(Exit::Drained));
        assert_eq!(world.asked(&Effect::Finish), 1);
    }

    #[test]
    fn a_tenant_drains_alone_and_can_be_resumed() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        let (_, sibling) = world.run("globex");
        world.order(OperatorEvent::DrainTenant(tenant("acme")));
        world.order(OperatorEvent::DrainTenant(tenant("acme")));
        assert_eq!((world.asked(&Effect::DrainHost(host)), world.asked(&Effect::DrainHost(sibling))), (1, 0));
        assert_eq!(world.offer(dispatch(0, "acme")).unwrap_err().reason, RejectReason::Draining);
        world.offer(dispatch(0, "globex")).unwrap();
        world.end(host, session, EndStatus::Success);
        world.order(OperatorEvent::ResumeTenant(tenant("acme")));
        assert_ne!(world.admit("acme").1, host);
        world.pass_ms(30_000);
        assert_eq!(world.asked(&Effect::Terminate(sibling, Intent::DrainTimeout)), 0);
    }

    #[test]
    fn a_shutdown_terminates_every_host_and_concludes_what_had_not_begun() {
        let mut world = World::new(Rules { max_concurrent_spawns: 1, ..per_session() });
        let (running, first) = world.run("acme");
        let (_, booting) = world.admit("acme");
        world.admit("acme");
        world.offer(offered("acme")).unwrap();
        world.order(OperatorEvent::Shutdown);
        world.order(OperatorEvent::Shutdown);
        assert_eq!(world.asked(&Effect::Terminate(first, Intent::Shutdown)), 1);
        assert_eq!(world.asked(&Effect::Kill(booting, Intent::Shutdown)), 1);
        assert_eq!(world.conclusions().len(), 2);
        world.host(booting, HostEvent::Exited(Exit::SupervisorShutdown));
        world.end(first, running, EndStatus::Cancelled);
        world.host(first, HostEvent::Exited(Exit::SupervisorShutdown));
        assert!(world.conclusions().iter().all(|it| it.outcome.reason == Reason::SupervisorShutdown));
        assert_eq!((world.conclusions().len(), world.asked(&Effect::Finish)), (3, 1));
    }

    #[test]
    fn a_host_that_said_goodbye_and_stays_is_killed() {
        let mut world = World::new(rules());
        let (_, host) = world.run("acme");
        world.host(host, HostEvent::Leaving);
        world.pass_ms(10_000);
        assert_eq!(world.asked(&Effect::Kill(host, Intent::ChannelClosed)), 1);
    }

    #[test]
    fn nothing_a_killed_host_says_is_believed() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        world.host(host, HostEvent::Violated { kind: "malformed" });
        world.end(host, session, EndStatus::Success);
        assert!(world.conclusions().is_empty());
        world.host(host, HostEvent::Exited(Exit::ProtocolViolation { kind: "malformed".to_owned() }));
        assert_eq!(world.conclusions()[0].outcome.blame, Blame::Tenant);
    }

    #[test]
    fn an_unconfigured_tenant_and_a_default_one_are_each_announced_once() {
        let mut rules = rules();
        rules.tenants.insert(tenant("acme"), TenantRules { max_sessions: Some(9), ..tenant_rules() });
        let mut world = World::new(rules);
        for name in ["acme", "globex", "globex", "", ""] {
            world.admit(name);
        }
        let unconfigured = Notice::UnconfiguredTenant { tenant: tenant("globex") };
        let ran_as_default = Notice::RanAsDefault { room: "room".to_owned() };
        assert_eq!(world.notices(), [&unconfigured, &ran_as_default]);
    }

    #[test]
    fn the_views_show_what_is_there() {
        let mut world = World::new(rules());
        let (session, host) = world.run("acme");
        world.pass_ms(250);
        let shown: Vec<_> = world.policy.sessions().collect();
        assert_eq!((shown[0].plan.session, shown[0].state, shown[0].host), (session, "running", host));
        assert_eq!(shown[0].duration_ms, 250);
        let shown: Vec<_> = world.policy.hosts().collect();
        assert_eq!((shown[0].id, shown[0].state, shown[0].sessions), (host, "ready", 1));
        let shown: Vec<_> = world.policy.tenants().collect();
        assert_eq!((shown[0].id, shown[0].configured, shown[0].active), (&tenant("acme"), false, 1));
        assert_eq!(world.policy.counters().started, 1);
        assert!(!world.policy.draining());
    }
}
