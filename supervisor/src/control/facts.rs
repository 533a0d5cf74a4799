//! Everything known at one moment, joined: policy's view, the registry of processes and the book of sessions.
//!
//! Owns: the join, by session and by host. Never: words for a person; the nouns beside this file find those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openrtc_ipc::{HostId, SessionId, TenantId};

use super::view::{HostView, PolicyView, SessionView, TenantView};
use super::world::{World, now_unix_ms};
use crate::changes::Shown;
use crate::host::HostRecord;
use crate::ledger::{EndedSession, LiveSession};
use crate::sources::Stopping;

/// A session that waits or runs, with whatever is known of it.
pub(super) struct SessionFacts<'a> {
    pub(super) id: SessionId,
    pub(super) planned: Option<&'a SessionView>,
    pub(super) live: Option<&'a LiveSession>,
}

/// A host, planned or existing.
pub(super) struct HostFacts<'a> {
    pub(super) id: HostId,
    pub(super) planned: Option<&'a HostView>,
    pub(super) record: Option<&'a HostRecord>,
}

/// One moment.
pub(super) struct Facts {
    pub(super) at_unix_ms: u64,
    pub(super) slow_micros: u64,
    pub(super) view: PolicyView,
    records: BTreeMap<HostId, Arc<HostRecord>>,
    live: BTreeMap<SessionId, LiveSession>,
    on_host: BTreeMap<HostId, Vec<SessionId>>,
    /// Where a host stands among those of the view.
    at: BTreeMap<HostId, usize>,
    /// Operators' orders.
    pub(super) orders: Arc<Shown>,
    /// Oldest first.
    pub(super) ended: Vec<Arc<EndedSession>>,
}

impl Facts {
    /// Reads all three.
    pub(super) async fn gather(world: &World) -> Result<Self, Stopping> {
        let (mut view, orders) = (world.view().await?, world.orders());
        // One that left the configuration is seen for as long as something is ordered of it.
        let unseen = |tenant: &&TenantId| !view.tenants.iter().any(|known| known.tenant == **tenant);
        let ordered: Vec<_> = orders.standing.tenants().map(|(tenant, _)| tenant).filter(unseen).collect();
        let ordered = ordered.into_iter().map(|tenant| TenantView::unseen(tenant.clone())).collect::<Vec<_>>();
        view.tenants.extend(ordered);
        let mut facts = Self {
            at_unix_ms: now_unix_ms(),
            slow_micros: world.about.slow_session_threshold_ms.saturating_mul(1000),
            view,
            records: world.hosts.all().into_iter().map(|record| (record.plan.host, record)).collect(),
            live: world.ledger.all_live().into_iter().map(|live| (live.info.session, live)).collect(),
            on_host: BTreeMap::new(),
            at: BTreeMap::new(),
            orders,
            ended: world.ledger.all_ended(),
        };
        let mut on_host = BTreeMap::<HostId, Vec<SessionId>>::new();
        for session in facts.sessions() {
            if let Some(host) = session.host() {
                on_host.entry(host).or_default().push(session.id);
            }
        }
        facts.on_host = on_host;
        facts.at = facts.view.hosts.iter().enumerate().map(|(at, host)| (host.plan.host, at)).collect();
        Ok(facts)
    }

    /// Sessions that wait or run, in order of admission.
    pub(super) fn sessions(&self) -> Vec<SessionFacts<'_>> {
        let planned: BTreeMap<_, _> = self.view.sessions.iter().map(|view| (view.session, view)).collect();
        let ids: BTreeSet<_> = planned.keys().chain(self.live.keys()).copied().collect();
        let facts = |id| SessionFacts { id, planned: planned.get(&id).copied(), live: self.live.get(&id) };
        ids.into_iter().map(facts).collect()
    }

    /// One session that waits or runs.
    pub(super) fn session(&self, id: SessionId) -> Option<SessionFacts<'_>> {
        let planned = self.view.sessions.iter().find(|view| view.session == id);
        let live = self.live.get(&id);
        (planned.is_some() || live.is_some()).then_some(SessionFacts { id, planned, live })
    }

    /// Hosts, in order.
    pub(super) fn hosts(&self) -> Vec<HostFacts<'_>> {
        let planned: BTreeMap<_, _> = self.view.hosts.iter().map(|view| (view.plan.host, view)).collect();
        let ids: BTreeSet<_> = planned.keys().chain(self.records.keys()).copied().collect();
        ids.into_iter()
            .map(|id| HostFacts { id, planned: planned.get(&id).copied(), record: self.record(id) })
            .collect()
    }

    /// One host.
    pub(super) fn host(&self, id: HostId) -> Option<HostFacts<'_>> {
        let planned = self.at.get(&id).and_then(|at| self.view.hosts.get(*at));
        let record = self.record(id);
        (planned.is_some() || record.is_some()).then_some(HostFacts { id, planned, record })
    }

    /// The process of a host.
    pub(super) fn record(&self, id: HostId) -> Option<&HostRecord> {
        self.records.get(&id).map(Arc::as_ref)
    }

    /// Sessions that run on a host.
    pub(super) fn sessions_on(&self, host: HostId) -> &[SessionId] {
        self.on_host.get(&host).map_or(&[], Vec::as_slice)
    }
}

impl SessionFacts<'_> {
    /// Where it runs, or will.
    pub(super) fn host(&self) -> Option<HostId> {
        self.live.map(|live| live.host).or_else(|| self.planned.and_then(|planned| planned.host))
    }

    /// Whose it is.
    pub(super) fn tenant(&self) -> &str {
        let live = self.live.map(|live| live.info.tenant.as_str());
        live.or_else(|| self.planned.map(|planned| planned.tenant.as_str())).unwrap_or_default()
    }

    /// Which agent runs it.
    pub(super) fn agent(&self) -> &str {
        let live = self.live.map(|live| live.info.agent.as_str());
        live.or_else(|| self.planned.map(|planned| planned.agent.as_str())).unwrap_or_default()
    }

    /// The room.
    pub(super) fn room(&self) -> &str {
        let live = self.live.map(|live| live.info.room_name.as_str());
        live.or_else(|| self.planned.map(|planned| planned.room.as_str())).unwrap_or_default()
    }
}

impl HostFacts<'_> {
    /// What it is for.
    pub(super) fn plan(&self) -> Option<&openrtc_policy::HostPlan> {
        self.planned.map(|planned| &planned.plan).or_else(|| self.record.map(|record| &record.plan))
    }
}
