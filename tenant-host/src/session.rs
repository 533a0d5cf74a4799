//! An agent's handle on the session it runs.
//!
//! Owns: the session's description, its recording, its usage so far and the request to end it. Never: says who the
//! session belongs to upwards; the supervisor knows.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use openrtc_ipc::{Call, LogLevel, Report, SessionEvent, SessionInfo, Usage};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::channel::Outbox;
use crate::emit::{EmitError, bounded};
use crate::settings::Settings;

/// The wish that a session end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndRequest {
    /// Why: `operator_kill`, `duration_limit`, `drained`, …
    pub reason: String,
    /// When it must have ended. A later request may bring it forward, never put it off.
    pub deadline: Instant,
}

/// Who a session is for and what runs it (semantics A5).
///
/// Stamped by the supervisor; never parsed from metadata again (decision H3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionContext {
    /// Everything known about it.
    pub info: Rc<SessionInfo>,
}

tokio::task_local! {
    pub(crate) static CONTEXT: SessionContext;
}

/// The session that the calling task runs; `None` outside of one, and in tasks that an agent itself spawned.
pub fn current() -> Option<SessionContext> {
    CONTEXT.try_with(Clone::clone).ok()
}

/// A running session. Cloning gives another handle on the same one.
#[derive(Debug, Clone)]
pub struct Session(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    info: Rc<SessionInfo>,
    call: Option<Call>,
    settings: Rc<Settings>,
    outbox: Outbox,
    input: RefCell<Option<OwnedFd>>,
    used: Cell<Usage>,
    end: watch::Receiver<Option<EndRequest>>,
}

impl Session {
    pub(crate) fn new(
        info: SessionInfo,
        call: Option<Call>,
        settings: Rc<Settings>,
        outbox: Outbox,
        input: Option<OwnedFd>,
        end: watch::Receiver<Option<EndRequest>>,
    ) -> Self {
        let (info, input) = (Rc::new(info), RefCell::new(input));
        Self(Rc::new(Shared { info, call, settings, outbox, input, used: Cell::default(), end }))
    }

    /// What the supervisor said of it.
    pub fn info(&self) -> &SessionInfo {
        &self.0.info
    }

    /// The same, to carry elsewhere.
    pub fn context(&self) -> SessionContext {
        SessionContext { info: Rc::clone(&self.0.info) }
    }

    /// The call to join; `None` for a session without a server.
    pub fn call(&self) -> Option<&Call> {
        self.0.call.as_ref()
    }

    /// The tenant's key of this name, for example `OPENAI_API_KEY`.
    pub fn secret(&self, variable: &str) -> Option<&str> {
        self.0.settings.secret(variable)
    }

    /// The providers resolved for this tenant and agent, as JSON text.
    pub fn providers_json(&self) -> &str {
        self.0.settings.providers_json(&self.0.info.agent)
    }

    /// The tools that this agent may use.
    pub fn tools(&self) -> &[String] {
        self.0.settings.tools(&self.0.info.agent)
    }

    /// The tenant's `agent_config`, as JSON text.
    pub fn agent_config_json(&self) -> &str {
        self.0.settings.agent_config_json()
    }

    /// Tells the supervisor what happened. When it does not read fast enough, events are dropped and counted.
    pub fn emit(&self, event: SessionEvent) -> Result<(), EmitError> {
        let mut used = self.0.used.get();
        let event = bounded(event, &mut used)?;
        self.0.used.set(used);
        let sent = self.0.outbox.offer(&Report::SessionEvent { session: self.0.info.session, event });
        debug_assert!(sent.is_ok(), "a bounded event fits its frame: {sent:?}");
        Ok(())
    }

    /// Tells what the session has used since it started; no number may fall.
    pub fn report_usage(&self, usage: Usage) -> Result<(), EmitError> {
        self.emit(SessionEvent::Usage(usage))
    }

    /// Writes a line to the session's log.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        let logged = self.emit(SessionEvent::Log { level, message: message.into() });
        debug_assert!(logged.is_ok(), "every log line can be cut to its bound: {logged:?}");
    }

    /// The recording that came with the session, open for reading; `None` when there is none, or it was taken.
    pub fn input(&self) -> Option<OwnedFd> {
        self.0.input.borrow_mut().take()
    }

    /// Waits until the session is asked to end.
    pub async fn end_requested(&self) -> EndRequest {
        let mut end = self.0.end.clone();
        loop {
            if let Some(request) = end.borrow_and_update().clone() {
                return request;
            }
            if end.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The request as it stands and as it changes.
    pub(crate) fn end_watch(&self) -> watch::Receiver<Option<EndRequest>> {
        self.0.end.clone()
    }
}
