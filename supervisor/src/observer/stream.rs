//! The last events in memory, numbered, for readers that come and go (`/v1/events`).
//!
//! Owns: the ring and its bounds, and what a reader is told of events that it missed. Never: waits for a reader, or holds
//! more for a slow one: a reader is a place in the ring and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_ipc::{HostId, TenantId};
use openrtc_policy::Notice;
use openrtc_policy::bounds::{EVENTS_KEPT_BYTES_MAX, EVENTS_KEPT_MAX};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::row::Row;
use super::{Observer, Taken, Told};
use crate::telemetry::{json, unix_ms};

/// The number of an event: of which start of the supervisor, and which of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// Drawn at each start.
    pub run: u32,
    /// From 1; 0 is before the first.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.seq)
    }
}

/// It is no number of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no id of an event; give back one that came with an event, as `1a2b3c4d-17`")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (run, seq) = text.split_once('-').ok_or(EventIdError)?;
        let hex = run.len() == 8 && run.bytes().all(|b| b.is_ascii_hexdigit());
        let run = u32::from_str_radix(run, 16).ok().filter(|_| hex).ok_or(EventIdError)?;
        let seq = seq.parse().ok().filter(|_| seq.bytes().all(|b| b.is_ascii_digit())).ok_or(EventIdError)?;
        Ok(Self { run, seq })
    }
}

/// Whom an event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Concerns {
    Tenant(TenantId),
    Everyone,
    Nobody,
}

/// One event, ready to be sent.
#[derive(Debug)]
pub struct Kept {
    /// Which.
    pub id: EventId,
    /// `session_start`, `session_end`, `host_up`, `host_down`, `breaker`, `rejection`, `notice` or `gap`.
    pub kind: &'static str,
    /// The row, JSON on one line.
    pub data: String,
    concerns: Concerns,
}

#[derive(Debug, Default)]
struct Ring {
    /// Oldest first, numbered without a hole.
    kept: VecDeque<Arc<Kept>>,
    bytes: usize,
    last: u64,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    run: u32,
    ring: Mutex<Ring>,
    changed: watch::Sender<()>,
}

/// The ring. Clones share it.
#[derive(Debug, Clone)]
pub struct EventStream(Arc<Shared>);

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what happens from now on.
    Now,
    /// After this event.
    After(EventId),
}

/// Why a reader's events do not follow the last one that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// `restarted`, `forgotten`, `unknown_id`.
    pub reason: &'static str,
    /// How many events of all tenants are missing, where that is known.
    pub missed: Option<u64>,
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Next {
    /// An event.
    Event(Arc<Kept>),
    /// It reads so slowly that the ring went past it; so many events are lost to it.
    Overrun(u64),
    /// There are no more: the supervisor has finished.
    Over,
}

/// A place in the ring.
#[derive(Debug)]
pub struct Reader {
    stream: EventStream,
    changed: watch::Receiver<()>,
    tenant: Option<TenantId>,
    next: Arc<AtomicU64>,
}

/// How far a reader has come, seen from outside.
#[derive(Debug, Clone)]
pub struct Pace {
    stream: EventStream,
    next: Arc<AtomicU64>,
}

impl EventStream {
    /// An empty ring of this start.
    pub fn new(run: u32) -> Self {
        Self(Arc::new(Shared { run, ring: Mutex::default(), changed: watch::Sender::new(()) }))
    }

    /// Who fills it, for [`super::Fanout::add`].
    pub fn observer(&self) -> StreamObserver {
        StreamObserver { stream: self.clone(), tenants: BTreeMap::new() }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last event there is.
    pub fn last(&self) -> EventId {
        EventId { run: self.0.run, seq: self.ring().last }
    }

    fn push(&self, kind: &'static str, data: String, concerns: Concerns) {
        let mut ring = self.ring();
        ring.last += 1;
        ring.bytes += data.len();
        let id = EventId { run: self.0.run, seq: ring.last };
        ring.kept.push_back(Arc::new(Kept { id, kind, data, concerns }));
        while ring.kept.len() > EVENTS_KEPT_MAX || (ring.bytes > EVENTS_KEPT_BYTES_MAX && ring.kept.len() > 1) {
            let Some(oldest) = ring.kept.pop_front() else { break };
            ring.bytes -= oldest.data.len();
        }
        drop(ring);
        self.0.changed.send_replace(());
    }

    fn end(&self) {
        self.ring().over = true;
        self.0.changed.send_replace(());
    }

    /// A reader of one tenant's events or all, and what it misses of those that it wants.
    pub fn read(&self, begin: Begin, tenant: Option<TenantId>) -> (Reader, Option<Gap>) {
        let changed = self.0.changed.subscribe();
        let ring = self.ring();
        let oldest = ring.oldest();
        let (next, gap) = match begin {
            Begin::Now => (ring.last + 1, None),
            Begin::After(id) if id.run != self.0.run => (oldest, Some(Gap { reason: "restarted", missed: None })),
            Begin::After(id) if id.seq > ring.last => (ring.last + 1, Some(Gap { reason: "unknown_id", missed: None })),
            Begin::After(id) if id.seq + 1 < oldest => {
                (oldest, Some(Gap { reason: "forgotten", missed: Some(oldest - id.seq - 1) }))
            }
            Begin::After(id) => (id.seq + 1, None),
        };
        drop(ring);
        (Reader { stream: self.clone(), changed, tenant, next: Arc::new(AtomicU64::new(next)) }, gap)
    }
}

impl Ring {
    /// The number of the oldest event that is kept, or of the next one.
    fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.last + 1, |oldest| oldest.id.seq)
    }
}

impl Reader {
    /// What comes next, once there is something.
    pub async fn next(&mut self) -> Next {
        loop {
            self.changed.borrow_and_update();
            if let Some(next) = self.there() {
                return next;
            }
            if self.changed.changed().await.is_err() {
                return Next::Over;
            }
        }
    }

    fn there(&self) -> Option<Next> {
        let ring = self.stream.ring();
        let (oldest, mut next) = (ring.oldest(), self.next.load(Relaxed));
        if next < oldest {
            return Some(Next::Overrun(oldest - next));
        }
        while next <= ring.last {
            let event = ring.kept.get((next - oldest) as usize)?;
            next += 1;
            self.next.store(next, Relaxed);
            if event.is_for(self.tenant.as_ref()) {
                return Some(Next::Event(Arc::clone(event)));
            }
        }
        ring.over.then_some(Next::Over)
    }

    /// The event before the one that it wants next.
    pub fn before(&self) -> EventId {
        EventId { run: self.stream.0.run, seq: self.next.load(Relaxed) - 1 }
    }

    /// How far it has come, for who watches it.
    pub fn pace(&self) -> Pace {
        Pace { stream: self.stream.clone(), next: Arc::clone(&self.next) }
    }
}

impl Pace {
    /// Resolves when the ring has gone past the reader, whether or not it ever asks for what comes next.
    pub async fn overrun(&self) {
        let mut changed = self.stream.0.changed.subscribe();
        while self.next.load(Relaxed) >= self.stream.ring().oldest() {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Kept {
    fn is_for(&self, tenant: Option<&TenantId>) -> bool {
        let Some(tenant) = tenant else { return true };
        match &self.concerns {
            Concerns::Tenant(of) => of == tenant,
            Concerns::Everyone => true,
            Concerns::Nobody => false,
        }
    }
}

/// Fills the ring.
pub struct StreamObserver {
    stream: EventStream,
    /// Whose the hosts are: not every notice says it.
    tenants: BTreeMap<HostId, TenantId>,
}

impl StreamObserver {
    fn concerns(&self, told: &Told) -> Concerns {
        let tenant = match told {
            Told::Notice(Notice::DrainStarted { tenant: None }) => return Concerns::Everyone,
            Told::Notice(Notice::HostCondemned { host, .. }) => self.tenants.get(host).cloned(),
            told => super::words::Subject::of(told).tenant.cloned(),
        };
        tenant.map_or(Concerns::Nobody, Concerns::Tenant)
    }
}

/// What a reader calls it.
fn kind(told: &Told) -> &'static str {
    match told {
        Told::Notice(Notice::BreakerOpened { .. } | Notice::BreakerProbing { .. } | Notice::BreakerClosed { .. }) => {
            "breaker"
        }
        told => super::words::kind(told),
    }
}

impl Observer for StreamObserver {
    fn name(&self) -> &str {
        "events"
    }

    /// No telemetry but refusals: what sessions say is for observers that keep it.
    fn hears(told: &Told) -> bool {
        !told.is_telemetry() || matches!(told, Told::Rejected(_))
    }

    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        match told {
            Told::HostUp { plan, .. } => {
                self.tenants.insert(plan.host, plan.tenant.clone());
            }
            // A death is told twice, and once is enough.
            Told::Notice(Notice::HostGone { plan, .. }) => {
                self.tenants.remove(&plan.host);
                return Ok(());
            }
            _ => {}
        }
        let mut row = Row::of(told, at_unix_ms);
        // What a caller sent along may not be for whoever watches.
        if let Some(payload) = row.payload.as_object_mut() {
            payload.remove("metadata");
        }
        let kind = kind(told);
        row.kind = kind;
        let concerns = self.concerns(told);
        if let (None, Concerns::Tenant(tenant)) = (row.tenant, &concerns) {
            row.tenant = Some(tenant.as_str());
        }
        let data = json::line(&row)?;
        let data = String::from_utf8_lossy(data.trim_ascii_end()).into_owned();
        drop(row);
        self.stream.push(kind, data, concerns);
        Ok(())
    }

    async fn on_missed(&mut self, missed: u64) -> Taken {
        let data = gap(&Gap { reason: "overloaded", missed: Some(missed) });
        self.stream.push("gap", data.to_string(), Concerns::Everyone);
        Ok(())
    }
}

impl Drop for StreamObserver {
    fn drop(&mut self) {
        self.stream.end();
    }
}

/// A gap as readers are told it.
pub fn gap(gap: &Gap) -> Value {
    json!({ "kind": "gap", "at_unix_ms": unix_ms(), "payload": { "reason": gap.reason, "missed": gap.missed } })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    async fn told(stream: &EventStream, told: Vec<Told>) {
        let mut observer = stream.observer();
        for told in told.into_iter().filter(StreamObserver::hears) {
            observer.on(&told, 1).await.unwrap();
        }
        // The end is told when the observer goes, which is not meant here.
        std::mem::forget(observer);
    }

    async fn kinds(reader: &mut Reader, many: usize) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for _ in 0..many {
            let Next::Event(event) = reader.next().await else { panic!("no event") };
            kinds.push(event.kind);
        }
        kinds
    }

    #[tokio::test]
    async fn what_was_forgotten_is_counted_and_a_filter_shows_one_tenant() {
        let stream = EventStream::new(7);
        let (mut slow, gap) = stream.read(Begin::Now, None);
        assert_eq!(gap, None);
        told(&stream, (0..EVENTS_KEPT_MAX + 3).map(|_| samples::opened()).collect()).await;
        assert!(matches!(slow.next().await, Next::Overrun(3)));
        slow.pace().overrun().await;

        let after = |seq| Begin::After(EventId { run: 7, seq });
        let (mut reader, gap) = stream.read(after(1), None);
        assert_eq!(gap, Some(Gap { reason: "forgotten", missed: Some(2) }));
        assert_eq!(kinds(&mut reader, 1).await, ["breaker"]);
        assert_eq!(stream.read(after(3), None).1, None);
        assert_eq!(stream.read(after(1 << 40), None).1.unwrap().reason, "unknown_id");
        let other = Begin::After(EventId { run: 8, seq: 1 });
        assert_eq!(stream.read(other, None).1.unwrap().reason, "restarted");

        let (mut others, _) = stream.read(Begin::Now, TenantId::parse("initech").ok());
        told(&stream, vec![samples::failed(), Told::Notice(Notice::DrainStarted { tenant: None })]).await;
        assert_eq!(kinds(&mut others, 1).await, ["notice"], "the drain of all, and nothing of acme-corp's");
    }

    #[tokio::test]
    async fn a_condemned_host_is_its_tenants_and_no_metadata_is_told() {
        let stream = EventStream::new(7);
        let (mut reader, _) = stream.read(Begin::Now, Some(samples::tenant()));
        told(&stream, samples::every()).await;
        let expected =
            ["session_start", "session_end", "host_up", "host_down", "rejection", "breaker", "breaker", "breaker"];
        assert_eq!(kinds(&mut reader, 8).await, expected);
        for _ in 0..2 {
            let Next::Event(event) = reader.next().await else { panic!("no event") };
            assert!(event.data.contains("acme-corp") && !event.data.contains("metadata"), "{}", event.data);
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let id = EventId { run: 0x1a2b, seq: 17 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "17", "-", "1a2b-1", "0000000g-1", "00001a2b--1", "00001a2b-+1", "00001a2b-"] {
            assert_eq!(wrong.parse::<EventId>(), Err(EventIdError), "{wrong}");
        }
    }
}
