//! The book of calls: which job is which session, and what its host will need to join.
//!
//! Owns: the way from job to session and back, the capacity that every connection reports, and telling ends. Never:
//! decides; never shows a token.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openrtc_ipc::{Call, SessionId};
use openrtc_livekit::bounds::END_AFTER_ASSIGNMENT;
use openrtc_livekit::{Capacity, Client, Decision, JobEnd, JobId};
use openrtc_policy::bounds::RESERVATION_TTL_MS;
use openrtc_policy::{Conclusion, Status};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::history::{Fate, History};
use super::origin::{Bereaved, Origin};

/// After an end was handed over, the agent stays so long beyond the earliest moment at which the server takes it.
const END_TRAVELS: Duration = Duration::from_millis(100);

/// Simulated jobs that are waited for; beyond, their tenants are not remembered.
const SIMULATIONS_MAX: usize = 64;
/// A reservation of this age may be gone.
const OLD: Duration = Duration::from_millis(RESERVATION_TTL_MS - 500);

/// Everything that a session's start needs to know of its call.
pub struct Assigned {
    /// For the host.
    pub call: Call,
    /// The dispatch's metadata as it came.
    pub job_metadata: String,
    /// The room's metadata as it came.
    pub room_metadata: String,
}

/// A session that came from the server.
struct Entry {
    job: JobId,
    client: usize,
    assigned: Option<Assigned>,
    origin: Option<Arc<Origin>>,
    reserved_at: Instant,
    assigned_at: Option<Instant>,
}

#[derive(Default)]
struct Book {
    clients: Vec<Client>,
    capacity: Option<Capacity>,
    draining: bool,
    sessions: BTreeMap<SessionId, Entry>,
    jobs: HashMap<JobId, SessionId>,
    simulated: HashMap<String, Option<String>>,
    history: History,
    bereaved: Option<mpsc::Sender<Bereaved>>,
}

/// The book. Clones share it.
#[derive(Clone, Default)]
pub struct Calls {
    book: Arc<Mutex<Book>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Calls {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in; gives its number.
    pub(super) fn enter(&self, client: Client) -> usize {
        let mut book = self.book();
        if let Some(capacity) = book.capacity {
            client.set_capacity(capacity);
        }
        book.clients.push(client);
        book.clients.len() - 1
    }

    /// Looks into what happened to offers.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.book().history)
    }

    /// Writes what happened to an offer.
    pub(super) fn history<R>(&self, write: impl FnOnce(&mut History) -> R) -> R {
        let seen = write(&mut self.book().history);
        self.changed.send_modify(|count| *count += 1);
        seen
    }

    /// Tells of every change of what is known of offers.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The next simulated job of this room is for this tenant: an operator says so.
    pub(super) fn expect_simulation(&self, room: String, tenant: Option<String>) {
        let mut book = self.book();
        if book.simulated.len() < SIMULATIONS_MAX {
            book.simulated.insert(room, tenant);
        }
    }

    /// Whom an operator named for a simulated job of this room.
    pub(super) fn simulated(&self, room: &str) -> Option<String> {
        self.book().simulated.remove(room).flatten()
    }

    /// How full we are, on every connection; a change is told at once.
    pub fn set_capacity(&self, capacity: Capacity) {
        let mut book = self.book();
        if book.capacity.replace(capacity) != Some(capacity) {
            book.clients.iter().for_each(|client| client.set_capacity(capacity));
        }
    }

    /// No more offers; connections stay for their calls.
    pub fn drain(&self) {
        let mut book = self.book();
        if !std::mem::replace(&mut book.draining, true) {
            for client in &book.clients {
                // One that has stopped is offered nothing either.
                let _ = client.decide(Decision::Drain);
            }
        }
    }

    /// A place is held for a job.
    pub(super) fn reserve(&self, job: JobId, client: usize, session: SessionId) {
        let mut book = self.book();
        book.jobs.insert(job.clone(), session);
        let reserved_at = Instant::now();
        let entry = Entry { job, client, assigned: None, origin: None, reserved_at, assigned_at: None };
        book.sessions.insert(session, entry);
    }

    /// A job is ours; gives its session, and whether it came so late that its place may be gone.
    pub(super) fn assign(
        &self,
        job: &JobId,
        assigned: Assigned,
        origin: Option<Arc<Origin>>,
    ) -> Option<(SessionId, bool)> {
        let mut book = self.book();
        let session = *book.jobs.get(job)?;
        let entry = book.sessions.get_mut(&session)?;
        (entry.assigned, entry.assigned_at) = (Some(assigned), Some(Instant::now()));
        entry.origin = origin;
        let late = entry.reserved_at.elapsed() > OLD;
        book.history.fate(job, Fate::Assigned);
        drop(book);
        self.changed.send_modify(|count| *count += 1);
        Some((session, late))
    }

    /// A job will not come; gives the session whose place was held.
    pub(super) fn lapse(&self, job: &JobId, why: String) -> Option<SessionId> {
        let mut book = self.book();
        book.history.fate(job, Fate::Lapsed(why));
        let session = book.jobs.remove(job)?;
        book.sessions.remove(&session);
        drop(book);
        self.changed.send_modify(|count| *count += 1);
        Some(session)
    }

    /// The session of a job, and where it came from.
    pub(super) fn session(&self, job: &JobId) -> Option<(SessionId, Option<Arc<Origin>>)> {
        let book = self.book();
        let session = *book.jobs.get(job)?;
        Some((session, book.sessions.get(&session).and_then(|entry| entry.origin.clone())))
    }

    /// Calls that have been ours for so long, and where they came from.
    pub(super) fn older_than(&self, age: Duration) -> Vec<(SessionId, Arc<Origin>)> {
        let book = self.book();
        let old = |entry: &Entry| entry.assigned_at.is_some_and(|at| at.elapsed() >= age);
        let calls = book.sessions.iter().filter(|(_, entry)| old(entry));
        calls.filter_map(|(session, entry)| Some((*session, entry.origin.clone()?))).collect()
    }

    /// How often a connection was lost, of all.
    pub(super) fn disconnections(&self) -> u64 {
        self.book().clients.iter().map(|client| client.standing().counters.disconnected).sum()
    }

    /// Calls that lose their host are told here.
    pub(super) fn tell_bereaved(&self, to: mpsc::Sender<Bereaved>) {
        self.book().bereaved = Some(to);
    }

    /// A session is about to start: what its host needs, once; and the server is told that the job runs.
    pub fn start(&self, session: SessionId) -> Option<Assigned> {
        let mut book = self.book();
        let Book { sessions, clients, .. } = &mut *book;
        let entry = sessions.get_mut(&session)?;
        if let Some(client) = clients.get(entry.client) {
            // It is the server's own guess already; one word less changes nothing.
            let _ = client.decide(Decision::Running(entry.job.clone()));
        }
        entry.assigned.take()
    }

    /// A session is over: its job's end is told. Gives how long its agent must stay in the room yet, so that the server
    /// hears of the end first; `None` if it was no call.
    pub fn conclude(&self, conclusion: &Conclusion) -> Option<Duration> {
        let outcome = &conclusion.outcome;
        let end = match outcome.status {
            Status::Success | Status::Cancelled => JobEnd::Success,
            Status::Failed => {
                self.bereave(conclusion);
                JobEnd::Failed { error: outcome.error.clone().unwrap_or_else(|| reason(conclusion)) }
            }
        };
        self.end(conclusion.plan.session, end)
    }

    /// A failed call whose host died is told to who may ask for another agent.
    fn bereave(&self, conclusion: &Conclusion) {
        let book = self.book();
        let (Some(to), Some(_died)) = (&book.bereaved, &conclusion.exit) else { return };
        let Some(origin) = book.sessions.get(&conclusion.plan.session).and_then(|entry| entry.origin.clone()) else {
            return;
        };
        let openrtc_policy::SessionPlan { tenant, agent, .. } = conclusion.plan.clone();
        if to.try_send(Bereaved { origin, tenant, agent }).is_err() {
            tracing::warn!(session = %conclusion.plan.session, "livekit: too many calls lost their hosts to ask for all again");
        }
    }

    /// The same, for a session that never came to be.
    pub(super) fn end(&self, session: SessionId, end: JobEnd) -> Option<Duration> {
        let mut book = self.book();
        let entry = book.sessions.remove(&session)?;
        book.jobs.remove(&entry.job);
        let error = match &end {
            JobEnd::Success => None,
            JobEnd::Failed { error } => Some(error.clone()),
        };
        book.history.fate(&entry.job, Fate::Ended(error));
        if let Some(client) = book.clients.get(entry.client)
            && let Err(error) = client.ended(entry.job.clone(), end)
        {
            tracing::warn!(%error, job = %entry.job, "livekit: an end was not told");
        }
        let early = entry.assigned_at.map(|at| (at + END_AFTER_ASSIGNMENT).saturating_duration_since(Instant::now()));
        Some(early.unwrap_or_default() + END_TRAVELS)
    }
}

/// The stable name of a reason, where nothing else was said.
fn reason(conclusion: &Conclusion) -> String {
    let value = serde_json::to_value(&conclusion.outcome.reason).unwrap_or_default();
    value.get("reason").and_then(|reason| reason.as_str()).unwrap_or("failed").to_owned()
}
