//! What runs in a session, for those who write agents in Rust and bring their own host program.
//!
//! Owns: the trait and its error. Never: knows of the wire.
//!
//! ```no_run
//! use openrtc_tenant_host::{Agent, AgentError, LocalBoxFuture, Session, serve};
//! use openrtc_ipc::{AgentName, SessionEvent};
//!
//! struct Greeter(AgentName);
//!
//! impl Agent for Greeter {
//!     fn name(&self) -> AgentName {
//!         self.0.clone()
//!     }
//!
//!     fn run(&self, session: Session) -> LocalBoxFuture<'_, Result<(), AgentError>> {
//!         Box::pin(async move {
//!             session.emit(SessionEvent::State { state: "listening".into() })?;
//!             let end = session.end_requested().await;
//!             session.log(openrtc_ipc::LogLevel::Info, format!("ending: {}", end.reason));
//!             Ok(())
//!         })
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let name = AgentName::parse("greeter").expect("a name of letters");
//!     serve(vec![Box::new(Greeter(name))])
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use openrtc_ipc::AgentName;

use crate::session::Session;

/// A future that stays on the host's one thread.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Something that can run sessions.
///
/// Every session of a host runs on the same thread: an agent that computes for long holds up its siblings, and one
/// that blocks makes the supervisor kill the host. An agent that panics fails its own session and no other.
pub trait Agent {
    /// The name under which sessions are routed to it.
    fn name(&self) -> AgentName;

    /// Runs one session. `Ok` is success; the session is over when the future is.
    ///
    /// When [`Session::end_requested`] resolves, the agent has until [`crate::EndRequest::deadline`]; a future that is
    /// still there shortly after is dropped.
    fn run(&self, session: Session) -> LocalBoxFuture<'_, Result<(), AgentError>>;
}

/// Why a session failed: any error, with its causes.
///
/// Like `anyhow::Error` it is not itself an [`Error`], so that `?` can turn any error into it.
pub struct AgentError(Box<dyn Error>);

impl AgentError {
    /// An error that is only a text.
    pub fn message(text: impl fmt::Display) -> Self {
        Self(Box::new(Message(text.to_string())))
    }
}

impl<E: Error + 'static> From<E> for AgentError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Message(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("play the greeting")]
        struct Outer(#[source] std::fmt::Error);
        let error = AgentError::from(Outer(std::fmt::Error));
        assert_eq!(error.to_string(), format!("play the greeting: {}", std::fmt::Error));
        assert_eq!(AgentError::message("no voice").to_string(), "no voice");
    }
}
