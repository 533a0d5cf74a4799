//! Every host from its plan to its end.
//!
//! Owns: the table of hosts, their states and what condemns them. Never: decides which host a session gets (that is
//! `placement.rs`).
//!
//! ```text
//! Queued ─ Spawn ─► Spawning ─ Up ─► Up ─ Ready ─► Ready ─ DrainHost ─► Draining
//!                       └──────────────┴─── Kill ────┴── Terminate, Kill ──┴──► Ending ─ Exited ─► (gone)
//! ```

use std::collections::BTreeSet;

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};

use crate::Moment;
use crate::effect::HostPlan;
use crate::exit::Intent;
use crate::rules::HostScope;

/// Where a host stands.
#[derive(Debug)]
pub(crate) enum State {
    /// It waits for its turn to be spawned; there is no process.
    Queued,
    /// It is being spawned.
    Spawning,
    /// Its process exists and its walls stand.
    Up,
    /// It serves. `agents` is what it says it serves; empty: what it was configured with.
    Ready { since: Moment, agents: Vec<AgentName> },
    /// It was told to take no more sessions.
    Draining { since: Moment },
    /// It was told to go, or killed; the first intent stands.
    Ending { intent: Intent, killed: bool, ready_since: Option<Moment> },
}

/// Why a host gets no new sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// It nears its memory wall.
    Memory,
    /// It does not answer.
    Unresponsive,
    /// It, its tenant or all drain.
    Draining,
    /// It was idle for long, or its place was needed.
    Idle,
    /// It was made for one session, and that is over.
    SessionOver,
    /// An operator wants another in its place.
    Recycled,
    /// It was given as many sessions as one host is to serve in its life.
    Served,
    /// One of its sessions does not end when asked.
    SessionStuck,
    /// It said goodbye.
    Leaving,
}

impl Cause {
    /// Its name in notices and views.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Unresponsive => "unresponsive",
            Self::Draining => "draining",
            Self::Idle => "idle",
            Self::SessionOver => "session_over",
            Self::Recycled => "recycled",
            Self::Served => "served",
            Self::SessionStuck => "session_stuck",
            Self::Leaving => "leaving",
        }
    }

    /// Whether it never passes, so that the host may be told to drain.
    fn is_final(self) -> bool {
        match self {
            Self::Draining | Self::Idle | Self::SessionOver | Self::Recycled | Self::Served | Self::SessionStuck => {
                true
            }
            Self::Memory | Self::Unresponsive | Self::Leaving => false,
        }
    }

    /// Whether the host is to be ended once it has no sessions. A silent one may come back, and is killed otherwise; one
    /// that is leaving goes by itself.
    fn recycles(self) -> bool {
        match self {
            Self::Memory => true,
            Self::Unresponsive | Self::Leaving => false,
            Self::Draining | Self::Idle | Self::SessionOver | Self::Recycled | Self::Served | Self::SessionStuck => {
                self.is_final()
            }
        }
    }
}

/// What a host needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing.
    None,
    /// To be watched: it is idle.
    Watch,
    /// To be told to drain.
    TellToDrain,
    /// To be ended.
    End,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Its plan.
    pub(crate) plan: HostPlan,
    /// Where it stands.
    pub(crate) state: State,
    /// Sessions placed on it.
    pub(crate) sessions: BTreeSet<SessionId>,
    /// How many were ever placed on it.
    pub(crate) served: u32,
    /// What condemns it.
    pub(crate) causes: BTreeSet<Cause>,
    /// Which attempt to bring it up this is, from 1.
    pub(crate) attempt: u32,
    /// When a session last came to it or left it, or it became ready.
    pub(crate) last_used: Moment,
}

impl Host {
    /// Whether it is being brought up.
    pub(crate) fn is_booting(&self) -> bool {
        matches!(self.state, State::Spawning | State::Up)
    }

    /// Whether it is on its way out.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending { .. })
    }

    /// Whether there is, or may be, a process.
    pub(crate) fn has_process(&self) -> bool {
        !matches!(self.state, State::Queued)
    }

    /// Whether it serves and has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && self.sessions.is_empty()
    }

    /// Whether a session of this tenant and runtime may join those it has.
    pub(crate) fn takes(&self, tenant: &TenantId, runtime: &RuntimeName, sessions_max: Option<u32>) -> bool {
        let open = match self.state {
            State::Queued | State::Spawning | State::Up | State::Ready { .. } => self.causes.is_empty(),
            State::Draining { .. } | State::Ending { .. } => false,
        };
        open && self.plan.scope == HostScope::Tenant
            && self.plan.tenant == *tenant
            && self.plan.runtime == *runtime
            && sessions_max.is_none_or(|max| self.sessions.len() < max as usize)
    }

    /// Since when it serves, or served before it was told to go.
    pub(crate) fn ready_since(&self) -> Option<Moment> {
        match self.state {
            State::Ready { since, .. } | State::Draining { since } => Some(since),
            State::Ending { ready_since, .. } => ready_since,
            State::Queued | State::Spawning | State::Up => None,
        }
    }

    /// Its process exists and its walls stand.
    pub(crate) fn up(&mut self) {
        match self.state {
            State::Spawning => self.state = State::Up,
            State::Queued | State::Up | State::Ready { .. } | State::Draining { .. } | State::Ending { .. } => {}
        }
    }

    /// It says that it can serve; whether that is news.
    pub(crate) fn ready(&mut self, now: Moment, agents: Vec<AgentName>) -> bool {
        match self.state {
            State::Spawning | State::Up => {
                self.state = State::Ready { since: now, agents };
                self.last_used = now;
                true
            }
            State::Queued | State::Ready { .. } | State::Draining { .. } | State::Ending { .. } => false,
        }
    }

    /// It is told to go, or killed; whether it has to be told. The first intent stands, but a kill follows a goodbye.
    pub(crate) fn end(&mut self, with: Intent, kill: bool) -> bool {
        let ready_since = self.ready_since();
        match &mut self.state {
            State::Ending { killed: true, .. } => false,
            State::Ending { killed, .. } => std::mem::replace(killed, kill) != kill,
            State::Queued | State::Spawning | State::Up | State::Ready { .. } | State::Draining { .. } => {
                self.state = State::Ending { intent: with, killed: kill, ready_since };
                true
            }
        }
    }

    /// What it needs next; `pending` is whether a session is yet to be started on it.
    pub(crate) fn care(&self, pending: bool) -> Care {
        let idle = self.sessions.is_empty();
        let closes = self.causes.iter().any(|cause| cause.is_final());
        let recycles = self.causes.iter().any(|cause| cause.recycles());
        match self.state {
            State::Queued if idle => Care::End,
            State::Spawning | State::Up if idle && closes => Care::End,
            State::Ready { .. } if idle && recycles => Care::End,
            State::Ready { .. } if idle => Care::Watch,
            State::Ready { .. } if closes && !pending => Care::TellToDrain,
            State::Draining { .. } if idle => Care::End,
            State::Queued
            | State::Spawning
            | State::Up
            | State::Ready { .. }
            | State::Draining { .. }
            | State::Ending { .. } => Care::None,
        }
    }

    /// Name of the state.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Queued => "queued",
            State::Spawning => "spawning",
            State::Up => "up",
            State::Ready { .. } => "ready",
            State::Draining { .. } => "draining",
            State::Ending { .. } => "ending",
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    host: Option<Host>,
}

/// The table: a host's id is its place and how many times that place was filled, so that a late word about a dead host
/// misses its successor.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    slots: Vec<Slot>,
}

impl Hosts {
    /// Takes a host in, as queued.
    pub(crate) fn insert(
        &mut self,
        tenant: TenantId,
        runtime: RuntimeName,
        scope: HostScope,
        attempt: u32,
        now: Moment,
    ) -> HostId {
        let index = self.slots.iter().position(|slot| slot.host.is_none()).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(Slot::default());
        }
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        let id = HostId { index: u32::try_from(index).unwrap_or(u32::MAX), generation: slot.generation };
        slot.host = Some(Host {
            plan: HostPlan { host: id, tenant, runtime, scope },
            state: State::Queued,
            sessions: BTreeSet::new(),
            served: 0,
            causes: BTreeSet::new(),
            attempt,
            last_used: now,
        });
        id
    }

    /// The host of this place and generation.
    pub(crate) fn get(&self, id: HostId) -> Option<&Host> {
        let slot = self.slots.get(id.index as usize)?;
        slot.host.as_ref().filter(|_| slot.generation == id.generation)
    }

    /// The host of this place and generation.
    pub(crate) fn get_mut(&mut self, id: HostId) -> Option<&mut Host> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.host.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// Takes a host out.
    pub(crate) fn remove(&mut self, id: HostId) -> Option<Host> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.host.take_if(|_| slot.generation == id.generation)
    }

    /// All, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Host> {
        self.slots.iter().filter_map(|slot| slot.host.as_ref())
    }

    /// Ids of those of one tenant, or of all.
    pub(crate) fn ids_of(&self, tenant: Option<&TenantId>) -> Vec<HostId> {
        let wanted = |host: &&Host| tenant.is_none_or(|tenant| host.plan.tenant == *tenant);
        self.iter().filter(wanted).map(|host| host.plan.host).collect()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{runtime, tenant};

    fn one() -> (Hosts, HostId) {
        let mut hosts = Hosts::default();
        let id = hosts.insert(tenant("acme"), runtime("command"), HostScope::Tenant, 1, Moment(0));
        (hosts, id)
    }

    #[test]
    fn a_word_about_a_dead_host_misses_its_successor() {
        let (mut hosts, first) = one();
        hosts.remove(first);
        let second = hosts.insert(tenant("globex"), runtime("command"), HostScope::Tenant, 1, Moment(0));
        assert_eq!((first.index, second.index), (0, 0));
        assert!(hosts.get(first).is_none());
        assert!(hosts.get_mut(first).is_none());
        assert!(hosts.remove(first).is_none());
        assert!(hosts.get(second).is_some());
    }

    #[test]
    fn the_first_intent_stands_and_a_kill_follows_a_goodbye_once() {
        let (mut hosts, id) = one();
        let host = hosts.get_mut(id).unwrap();
        assert!(host.end(Intent::Drained, false));
        assert!(!host.end(Intent::Shutdown, false));
        assert!(host.end(Intent::Operator, true));
        assert!(!host.end(Intent::Operator, true));
        assert!(matches!(host.state, State::Ending { intent: Intent::Drained, .. }));
    }

    #[test]
    fn a_host_is_told_to_drain_only_when_nothing_is_left_to_start_on_it() {
        let (mut hosts, id) = one();
        let host = hosts.get_mut(id).unwrap();
        host.state = State::Ready { since: Moment(0), agents: Vec::new() };
        host.sessions.insert(SessionId { run: 1, seq: 1 });
        host.causes.insert(Cause::Draining);
        assert_eq!(host.care(true), Care::None);
        assert_eq!(host.care(false), Care::TellToDrain);
        host.sessions.clear();
        assert_eq!(host.care(false), Care::End);
    }

    #[test]
    fn a_silent_host_without_sessions_is_watched_and_one_near_its_wall_is_recycled() {
        let (mut hosts, id) = one();
        let host = hosts.get_mut(id).unwrap();
        host.state = State::Ready { since: Moment(0), agents: Vec::new() };
        host.causes.insert(Cause::Unresponsive);
        assert_eq!(host.care(false), Care::Watch);
        host.causes.insert(Cause::Memory);
        assert_eq!(host.care(false), Care::End);
    }
}
