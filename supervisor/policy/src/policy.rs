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
                Timer::Boot(host) => {
                    let limit_ms = self.rules.initialize_timeout_ms;
                    self.kill_host(host, Intent::BootTimeout { limit_ms }, effects);
                }
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
