//! What every route may touch.
//!
//! Owns: the ways into the driver and the books, and how many may wait for a session's end. Never: decides.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use openrtc_control_api::DoctorReport;
use openrtc_ipc::{SessionId, TenantId};
use openrtc_policy::OperatorEvent;
use openrtc_policy::bounds::{CONTROL_CONNECTIONS_MAX, EVENT_READERS_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::machine::Machine;
use super::refusal::Refusal;
use super::view::PolicyView;
use crate::audit::Audit;
use crate::changes::{Changes, Shown};
use crate::config::Config;
use crate::dispatch::livekit::Livekit;
use crate::host::{HostContext, Registry};
use crate::ledger::{EndedSession, Ledger};
use crate::observer::{EventStream, Fanout, RecentLines};
use crate::preflight::Preflight;
use crate::sources::{Handle, Stopping};
use crate::spawn::{Spawner, ZygoteRow};
use openrtc_policy::Policy;

/// Of all connections, those that may wait for a session's end. The rest is kept free for operators.
const WAITERS_MAX: usize = CONTROL_CONNECTIONS_MAX / 2;

/// What does not change while the supervisor runs.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The supervisor's name, `worker_id` of the configuration.
    pub name: String,
    /// The operator's version label.
    pub deployment_version: Option<String>,
    /// A host whose event loop lags longer shows its sessions as `slow`, in milliseconds.
    pub slow_session_threshold_ms: u64,
    /// How long `host kill` waits until the host is gone, in milliseconds.
    pub kill_wait_ms: u64,
    /// The start-up report.
    pub doctor: DoctorReport,
    /// What else to look at when asked.
    pub preflight: Preflight,
}

/// The state of every route. Clones share everything.
#[derive(Clone)]
pub struct World {
    pub(super) handle: Handle,
    pub(super) hosts: Registry,
    pub(super) ledger: Ledger,
    pub(super) fanout: Fanout,
    pub(super) about: Arc<About>,
    pub(super) machine: Machine,
    pub(super) started: Instant,
    pub(super) events: EventStream,
    event_readers: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    spawner: Option<Spawner>,
    livekit: Option<Livekit>,
    pub(super) audit: Audit,
    changes: Option<Changes>,
    pub(super) recent: RecentLines,
    context: Option<Arc<HostContext>>,
    read: fn(&Policy) -> PolicyView,
}

impl World {
    /// The world as of now.
    pub fn new(handle: Handle, hosts: Registry, ledger: Ledger, fanout: Fanout, about: About) -> Self {
        Self {
            handle,
            hosts,
            ledger,
            fanout,
            about: Arc::new(about),
            machine: Machine::default(),
            started: Instant::now(),
            events: EventStream::new(0),
            event_readers: Arc::new(Semaphore::new(EVENT_READERS_MAX)),
            waiters: Arc::new(Semaphore::new(WAITERS_MAX)),
            spawner: None,
            livekit: None,
            audit: Audit::default(),
            changes: None,
            recent: RecentLines::default(),
            context: None,
            read: PolicyView::of,
        }
    }

    /// The world of a supervisor that runs: everything that hosts are made from is in the context.
    pub fn of(context: &Arc<HostContext>, about: About) -> Self {
        let (registry, ledger) = (context.registry.clone(), context.ledger.clone());
        let world = Self::new(context.handle.clone(), registry, ledger, context.fanout.clone(), about);
        let world = world.with_spawner(context.spawner.clone()).with_audit(context.audit.clone());
        Self { context: Some(Arc::clone(context)), ..world }
    }

    /// The same world, with the spawner whose zygotes are shown.
    #[must_use]
    pub fn with_spawner(self, spawner: Spawner) -> Self {
        Self { spawner: Some(spawner), ..self }
    }

    /// The same world, with the LiveKit worker, if there is one.
    #[must_use]
    pub fn with_livekit(self, livekit: Option<Livekit>) -> Self {
        Self { livekit, ..self }
    }

    /// The same world, with the audit log.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    /// The same world, with the way to change what is in force.
    #[must_use]
    pub fn with_changes(self, changes: Changes) -> Self {
        Self { changes: Some(changes), ..self }
    }

    /// The way to change what is in force.
    pub(super) fn changes(&self) -> Result<&Changes, Refusal> {
        let none = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "nothing can be changed here");
        self.changes.as_ref().ok_or_else(none)
    }

    /// Operators' orders.
    pub(super) fn orders(&self) -> Arc<Shown> {
        self.changes.as_ref().map(Changes::shown).unwrap_or_default()
    }

    /// The same world, with the last lines of each tenant.
    #[must_use]
    pub fn with_recent(self, recent: RecentLines) -> Self {
        Self { recent, ..self }
    }

    /// The configuration in force, if there is one.
    pub(super) fn config(&self) -> Option<Arc<Config>> {
        self.context.as_ref().map(|context| context.config())
    }

    /// The same world, with the ring that readers of events read.
    #[must_use]
    pub fn with_events(self, events: EventStream) -> Self {
        Self { events, ..self }
    }

    /// A place for a reader of events, if there is one left.
    pub(super) fn event_reader(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.event_readers).try_acquire_owned().ok()
    }

    /// The LiveKit worker, if there is one.
    pub(super) fn livekit(&self) -> Option<&Livekit> {
        self.livekit.as_ref()
    }

    /// How each runtime's hosts are made at present.
    pub(super) fn zygotes(&self) -> Vec<ZygoteRow> {
        self.spawner.as_ref().map(Spawner::zygote_states).unwrap_or_default()
    }

    /// The same world, with policy read in another way: for tests of what is made of a view.
    #[must_use]
    pub fn reading(mut self, read: fn(&Policy) -> PolicyView) -> Self {
        self.read = read;
        self
    }

    /// Policy, between two events.
    pub(super) async fn view(&self) -> Result<PolicyView, Stopping> {
        self.handle.inspect(self.read).await
    }

    /// Gives an order. What is viewed after it was taken in order.
    pub(super) async fn order(&self, order: OperatorEvent) -> Result<(), Stopping> {
        tracing::info!("operator: {}", in_words(&order));
        self.audit.ordered(&order);
        self.handle.operator(order).await
    }

    /// Policy, if it knows the tenant; a misspelt one must not be suspended in vain.
    pub(super) async fn known(&self, tenant: &TenantId) -> Result<PolicyView, Refusal> {
        let view = self.view().await?;
        let ordered = || self.orders().standing.of(tenant).is_some();
        if view.tenants.iter().any(|known| known.tenant == *tenant) || ordered() {
            return Ok(view);
        }
        let detail = format!("tenant {tenant}: neither configured nor seen; `tenant list` shows those that are");
        Err(Refusal::not_found(detail))
    }

    /// Waits for a session's end, at most so long. None: it runs on, or too many wait already.
    pub(super) async fn ended_within(&self, session: SessionId, limit: Option<Duration>) -> Option<Arc<EndedSession>> {
        if let Some(ended) = self.ledger.ended(session) {
            return Some(ended);
        }
        let _place = self.waiters.try_acquire().ok()?;
        let end = self.ledger.wait_end(session);
        match limit {
            None => Some(end.await),
            Some(limit) => tokio::time::timeout(limit, end).await.ok(),
        }
    }
}

/// An order as the log tells it.
fn in_words(order: &OperatorEvent) -> String {
    match order {
        OperatorEvent::EndSession(session) => format!("end session {session}"),
        OperatorEvent::KillHost(host) => format!("kill host {host}"),
        OperatorEvent::RecycleHost(host) => format!("recycle host {host}"),
        OperatorEvent::KillTenant(tenant) => format!("kill every host of tenant {tenant}"),
        OperatorEvent::ForgetTenantOrder(tenant) => format!("take back the status ordered of tenant {tenant}"),
        OperatorEvent::SuspendTenant(tenant) => format!("suspend tenant {tenant}"),
        OperatorEvent::ResumeTenant(tenant) => format!("resume tenant {tenant}"),
        OperatorEvent::DrainTenant(tenant) => format!("drain tenant {tenant}"),
        OperatorEvent::TripBreaker(tenant, None) => format!("open the breaker of tenant {tenant} for its cooldown"),
        OperatorEvent::TripBreaker(tenant, Some(ms)) => format!("open the breaker of tenant {tenant} for {ms} ms"),
        OperatorEvent::ResetBreaker(tenant) => format!("close the breaker of tenant {tenant}"),
        OperatorEvent::Drain => "drain".to_owned(),
        OperatorEvent::Shutdown => "shut down".to_owned(),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
