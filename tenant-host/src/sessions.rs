//! The sessions that run on this host: each started once, and each ended with exactly one report.
//!
//! Owns: the table of running sessions and their tasks. Never: lets an agent's panic, or its refusal to end, reach
//! another session.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use openrtc_ipc::{AgentName, Call, EndStatus, LogLevel, Report, SessionId, SessionInfo};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::agent::{Agent, AgentError};
use crate::channel::Outbox;
use crate::emit::{ERROR_BYTES_MAX, LOG_LINE_BYTES_MAX, cut};
use crate::session::{CONTEXT, EndRequest, Session};
use crate::settings::Settings;

/// How long after its deadline a session's task is dropped. Its agent had the grace; this is for one that ignores it.
const OVERDUE: Duration = Duration::from_secs(2);

/// Why a session was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    #[error("this host serves no agent {agent}")]
    UnknownAgent { agent: AgentName },
    #[error("the recording announced with the session did not come")]
    NoInput,
    #[error("this host takes no more sessions: it is draining")]
    Draining,
}

#[derive(Debug)]
struct Running {
    end: watch::Sender<Option<EndRequest>>,
    task: AbortHandle,
}

/// The table.
pub(crate) struct Sessions {
    agents: BTreeMap<AgentName, Rc<dyn Agent>>,
    settings: Rc<Settings>,
    outbox: Outbox,
    running: BTreeMap<SessionId, Running>,
    tasks: JoinSet<Result<(), AgentError>>,
    sessions: HashMap<Id, SessionId>,
}

impl Sessions {
    pub(crate) fn new(agents: Vec<Rc<dyn Agent>>, settings: Rc<Settings>, outbox: Outbox) -> Self {
        let agents = agents.into_iter().map(|agent| (agent.name(), agent)).collect();
        Self { agents, settings, outbox, running: BTreeMap::new(), tasks: JoinSet::new(), sessions: HashMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.running.keys().copied()
    }

    /// Starts a session. One that cannot start is reported as started and failed, so that every start has one end.
    pub(crate) fn start(&mut self, info: SessionInfo, call: Option<Call>, input: Result<Option<OwnedFd>, StartError>) {
        let session = info.session;
        if self.running.contains_key(&session) {
            self.log(LogLevel::Warn, format!("session {session} was started twice; the second start is ignored"));
            return;
        }
        self.report(&Report::SessionStarted { session });
        let agent = input.and_then(|input| match self.agents.get(&info.agent) {
            Some(agent) => Ok((Rc::clone(agent), input)),
            None => Err(StartError::UnknownAgent { agent: info.agent.clone() }),
        });
        let (agent, input) = match agent {
            Ok(found) => found,
            Err(error @ StartError::Draining) => return self.ended(session, EndStatus::Cancelled, Some(error)),
            Err(error) => return self.ended(session, EndStatus::Failed, Some(error)),
        };
        let (end, asked) = watch::channel(None);
        let handle = Session::new(info, call, Rc::clone(&self.settings), self.outbox.clone(), input, asked);
        let task = self.tasks.spawn_local(CONTEXT.scope(handle.context(), async move { agent.run(handle).await }));
        self.sessions.insert(task.id(), session);
        self.running.insert(session, Running { end, task });
    }

    /// Asks a session to end within the grace. The first reason stays; the earlier deadline wins.
    pub(crate) fn end(&mut self, session: SessionId, reason: &str, grace: Duration) {
        if let Some(running) = self.running.get(&session) {
            ask(running, reason, Instant::now() + grace);
        }
    }

    /// Asks every session to end within the grace.
    pub(crate) fn end_all(&mut self, reason: &str, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.running.values().for_each(|running| ask(running, reason, deadline));
    }

    /// When the next session is overdue.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.running.values().filter(|running| !running.task.is_finished()).filter_map(overdue).min()
    }

    /// Drops the tasks of sessions that are overdue.
    pub(crate) fn drop_overdue(&mut self) {
        let now = Instant::now();
        let late = self.running.values().filter(|running| overdue(running).is_some_and(|at| at <= now));
        late.for_each(|running| running.task.abort());
    }

    /// Drops every task, whatever its grace.
    pub(crate) fn drop_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Waits for the next session to end and reports it; never ends while there are none. Nothing is lost when the
    /// future is dropped.
    pub(crate) async fn next_ended(&mut self) {
        let Some(joined) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(session) = self.sessions.remove(&id) else { return };
        let Some(running) = self.running.remove(&session) else { return };
        let asked = running.end.borrow().is_some();
        let error = match joined {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(error))) => Some(error.to_string()),
            Err(error) => Some(broken(error)),
        };
        let status = match (&error, asked) {
            (_, true) => EndStatus::Cancelled,
            (Some(_), false) => EndStatus::Failed,
            (None, false) => EndStatus::Success,
        };
        self.ended(session, status, error);
    }

    fn ended(&self, session: SessionId, status: EndStatus, error: Option<impl ToString>) {
        let error = error.map(|error| cut(error.to_string(), ERROR_BYTES_MAX));
        self.report(&Report::SessionEnded { session, status, error });
    }

    /// Writes a line to the host's own log; it may be dropped.
    pub(crate) fn log(&self, level: LogLevel, message: String) {
        let sent = self.outbox.offer(&Report::Log { level, message: cut(message, LOG_LINE_BYTES_MAX) });
        debug_assert!(sent.is_ok(), "a cut line fits its frame: {sent:?}");
    }

    fn report(&self, report: &Report) {
        let sent = self.outbox.report(report);
        debug_assert!(sent.is_ok(), "a report with a cut error fits its frame: {sent:?}");
    }
}

fn ask(running: &Running, reason: &str, deadline: Instant) {
    running.end.send_if_modified(|request| match request {
        None => {
            *request = Some(EndRequest { reason: reason.to_owned(), deadline });
            true
        }
        Some(request) if deadline < request.deadline => {
            request.deadline = deadline;
            true
        }
        Some(_) => false,
    });
}

fn overdue(running: &Running) -> Option<Instant> {
    running.end.borrow().as_ref().map(|request| request.deadline + OVERDUE)
}

fn broken(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("agent panicked: {}", panic_text(&*panic)),
        Err(_) => "agent did not end within its grace".to_owned(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
