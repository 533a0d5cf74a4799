//! The book of sessions: those that run, and the last that ended.
//!
//! Owns: what `session list|show` tell, and waking those who wait for an end. Never: decides, or grows past
//! [`ENDED_SESSIONS_MAX`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_ipc::{HostId, SessionEvent, SessionId, SessionInfo, Usage};
use openrtc_policy::Conclusion;
use openrtc_policy::bounds::ENDED_SESSIONS_MAX;
use tokio::sync::watch;

/// A session that runs.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// What its host was told.
    pub info: SessionInfo,
    /// Where it runs.
    pub host: HostId,
    /// Used so far, as its host says.
    pub usage: Usage,
    /// Turns so far, as its host says.
    pub turns: u64,
    /// Events so far.
    pub events: u64,
}

/// A session that ended.
#[derive(Debug, Clone)]
pub struct EndedSession {
    /// What its host was told, if it came to a host.
    pub live: Option<LiveSession>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// When, in milliseconds since 1970.
    pub ended_at_unix_ms: u64,
    /// What was collected about its host's death, if that ended it.
    pub evidence: Option<openrtc_policy::Evidence>,
}

/// The book.
#[derive(Debug, Clone)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    ended: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Book {
    live: BTreeMap<SessionId, LiveSession>,
    ended: VecDeque<Arc<EndedSession>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { book: Arc::default(), ended: Arc::new(watch::Sender::new(0)) }
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session was handed to its host.
    pub fn begin(&self, info: SessionInfo, host: HostId) {
        let session = info.session;
        let live = LiveSession { info, host, usage: Usage::default(), turns: 0, events: 0 };
        self.book().live.insert(session, live);
    }

    /// Something happened in a session. False if the session is not live on that host.
    pub fn note(&self, session: SessionId, host: HostId, event: &SessionEvent) -> bool {
        let mut book = self.book();
        let Some(live) = book.live.get_mut(&session).filter(|live| live.host == host) else { return false };
        live.events += 1;
        match event {
            SessionEvent::Turn { .. } => live.turns += 1,
            SessionEvent::Usage(usage) => live.usage = *usage,
            SessionEvent::Latency { .. }
            | SessionEvent::Log { .. }
            | SessionEvent::State { .. }
            | SessionEvent::Custom { .. } => {}
        }
        true
    }

    /// A session is over; gives the entry, for the observers.
    pub fn end(
        &self,
        conclusion: Conclusion,
        ended_at_unix_ms: u64,
        evidence: Option<openrtc_policy::Evidence>,
    ) -> Arc<EndedSession> {
        let mut book = self.book();
        let live = book.live.remove(&conclusion.plan.session);
        let entry = Arc::new(EndedSession { live, conclusion, ended_at_unix_ms, evidence });
        if book.ended.len() == ENDED_SESSIONS_MAX {
            book.ended.pop_front();
        }
        book.ended.push_back(Arc::clone(&entry));
        drop(book);
        self.ended.send_modify(|count| *count += 1);
        entry
    }

    /// A session that runs.
    pub fn live(&self, session: SessionId) -> Option<LiveSession> {
        self.book().live.get(&session).cloned()
    }

    /// Every session that runs.
    pub fn all_live(&self) -> Vec<LiveSession> {
        self.book().live.values().cloned().collect()
    }

    /// A session that ended, if it is still remembered.
    pub fn ended(&self, session: SessionId) -> Option<Arc<EndedSession>> {
        self.book().ended.iter().rev().find(|entry| entry.conclusion.plan.session == session).cloned()
    }

    /// Those remembered, oldest first.
    pub fn all_ended(&self) -> Vec<Arc<EndedSession>> {
        self.book().ended.iter().cloned().collect()
    }

    /// Waits until a session has ended.
    pub async fn wait_end(&self, session: SessionId) -> Arc<EndedSession> {
        let mut ended = self.ended.subscribe();
        loop {
            ended.borrow_and_update();
            if let Some(entry) = self.ended(session) {
                return entry;
            }
            // The sender lives as long as self, so this cannot fail while we wait.
            let _ = ended.changed().await;
        }
    }
}
