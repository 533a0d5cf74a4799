//! Who is told what happens: bounded queues, isolated from sessions and from each other.
//!
//! Owns: the observer trait, what observers are told, and the fan-out. Never: waits on an observer.
//!
//! To write one, give [`Observer`] a name and the hooks you care for, and hand it to [`Fanout::add`]:
//!
//! ```
//! use openrtc_supervisor::ledger::EndedSession;
//! use openrtc_supervisor::observer::{Observer, ObserverError};
//!
//! struct Bell;
//!
//! impl Observer for Bell {
//!     fn name(&self) -> &str {
//!         "bell"
//!     }
//!
//!     async fn on_session_end(&mut self, ended: &EndedSession) -> Result<(), ObserverError> {
//!         println!("ding: {} is over", ended.conclusion.plan.session);
//!         Ok(())
//!     }
//! }
//! ```

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use openrtc_ipc::{AgentName, HostId, LogLevel, SessionEvent, SessionId, SessionInfo, TenantId, WallStatus};
use openrtc_policy::{Admitted, Evidence, Exit, HostPlan, Notice, Rejection};

use crate::audit::Entry;
use crate::ledger::EndedSession;

pub mod fanout;
mod file;
pub mod jsonl;
pub mod log;
pub mod metrics_jsonl;
pub mod recent;
mod row;
pub mod stream;
pub mod traces;
pub(crate) mod words;

pub use fanout::{Fanout, ObserverTally, Timeouts};
pub use jsonl::JsonlObserver;
pub use log::LogObserver;
pub use metrics_jsonl::MetricsJsonlObserver;
pub use recent::RecentLines;
pub use stream::{EventStream, Reader as EventReader};
pub use traces::TracesObserver;

/// Who and where, stamped by the supervisor from the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Whose.
    pub tenant: TenantId,
    /// On which host.
    pub host: HostId,
    /// In which session, if in one.
    pub session: Option<SessionId>,
    /// By which agent, if in a session.
    pub agent: Option<AgentName>,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// Where a host's line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineSource {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// A log report on its channel.
    Report,
}

/// A dispatch that was admitted, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// As what.
    pub admitted: Admitted,
    /// When it was asked for.
    pub asked: SystemTime,
    /// When it was answered.
    pub answered: SystemTime,
}

/// One thing that observers are told. Secrets of the host's tenant are already redacted.
#[derive(Debug, Clone)]
pub enum Told {
    /// A session started on its host.
    SessionStarted(Arc<SessionInfo>, HostId),
    /// Something happened in a session.
    SessionEvent(Stamp, Arc<SessionEvent>),
    /// For traces alone: a dispatch was admitted.
    Admitted(Arc<Admission>),
    /// A session ended, possibly without a start.
    SessionEnded(Arc<EndedSession>),
    /// A host is ready.
    HostUp {
        /// What for.
        plan: HostPlan,
        /// Its pid.
        pid: i32,
        /// The walls around it.
        walls: Vec<WallStatus>,
        /// From fork until its walls were attested, in milliseconds.
        walled_after_ms: u64,
        /// From fork to ready, in milliseconds.
        ready_after_ms: u64,
    },
    /// A host is gone: the death report.
    HostDown {
        /// What for.
        plan: HostPlan,
        /// How it ended; `None` when it never came up.
        exit: Option<Exit>,
        /// What was collected.
        evidence: Option<Evidence>,
        /// Sessions lost with it.
        sessions: Vec<SessionId>,
    },
    /// A host wrote a line.
    Line(Stamp, LineSource, LogLevel, String),
    /// A dispatch was refused.
    Rejected(Arc<Rejection>),
    /// Policy noticed something.
    Notice(Notice),
    /// The periodic snapshot, as the JSON that `snapshot` prints.
    Snapshot(Arc<serde_json::Value>),
    /// For the audit log alone: what nobody else hears of.
    Audit(Arc<Vec<Entry>>),
}

impl Told {
    /// Whether it is one of many, which may be lost sooner than a start, an end, a host or a notice. Refusals are: who
    /// asks again and again must not displace another's end.
    pub fn is_telemetry(&self) -> bool {
        match self {
            Self::SessionEvent(..) | Self::Line(..) | Self::Rejected(_) | Self::Snapshot(_) => true,
            Self::SessionStarted(..)
            | Self::Admitted(_)
            | Self::SessionEnded(_)
            | Self::HostUp { .. }
            | Self::HostDown { .. }
            | Self::Notice(_)
            | Self::Audit(_) => false,
        }
    }
}

/// Why an observer could not take what it was told. It is counted and logged; nothing else happens.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// Its file could not be opened.
    #[error("open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its file did not take the rows; they are kept and written later, as far as there is room.
    #[error("write to {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed and has said so itself: it is counted, and not logged.
    #[error("as it has said itself")]
    Told,
    /// A row could not be written as JSON.
    #[error("write a row as JSON")]
    Json(#[from] serde_json::Error),
    /// What it delivers to did not take it; for observers made elsewhere.
    #[error("deliver to {to}")]
    Deliver {
        /// A collector's address, say.
        to: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Whether an observer took what it was told.
pub type Taken = Result<(), ObserverError>;

/// Someone who is told what happens. Each has a bounded queue, a thread and a current-thread tokio runtime of its own:
/// however slow, stuck or broken it is, it costs counted events of its own and nothing else.
///
/// Implement the hooks you need (`async fn on_session_end(…)` will do), or [`Observer::on`] to be told everything.
#[expect(async_fn_in_trait, reason = "each observer's futures stay on its own thread, so they need not be Send")]
pub trait Observer: Send + 'static {
    /// Its name, in logs and counters.
    fn name(&self) -> &str;

    /// Whether it wants to be told this at all; what it does not hear neither fills its queue nor wakes it.
    fn hears(told: &Told) -> bool
    where
        Self: Sized,
    {
        !matches!(told, Told::Audit(_) | Told::Admitted(_))
    }

    /// Its queue was full, and so many things that it would have heard are lost to it.
    async fn on_missed(&mut self, missed: u64) -> Taken {
        let _ = missed;
        Ok(())
    }

    /// Everything it is told, with the time at which it was told, in milliseconds since 1970. Calls the hook for it.
    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        let _ = at_unix_ms;
        match told {
            Told::SessionStarted(info, host) => self.on_session_start(info, *host).await,
            Told::SessionEvent(stamp, event) => self.on_session_event(stamp, event).await,
            Told::SessionEnded(ended) => self.on_session_end(ended).await,
            Told::HostUp { plan, pid, walls, ready_after_ms, .. } => {
                self.on_host_up(plan, *pid, walls, *ready_after_ms).await
            }
            Told::HostDown { plan, exit, evidence, sessions } => {
                self.on_host_down(plan, exit.as_ref(), evidence.as_ref(), sessions).await
            }
            Told::Line(stamp, source, level, line) => self.on_line(stamp, *source, *level, line).await,
            Told::Rejected(rejection) => self.on_rejected(rejection).await,
            Told::Notice(notice) => self.on_notice(notice).await,
            Told::Snapshot(snapshot) => self.on_snapshot(snapshot).await,
            Told::Audit(_) | Told::Admitted(_) => Ok(()),
        }
    }

    /// A session started on its host.
    async fn on_session_start(&mut self, info: &SessionInfo, host: HostId) -> Taken {
        let _ = (info, host);
        Ok(())
    }

    /// Something happened in a session.
    async fn on_session_event(&mut self, stamp: &Stamp, event: &SessionEvent) -> Taken {
        let _ = (stamp, event);
        Ok(())
    }

    /// A session ended, possibly without a start (semantics F1).
    async fn on_session_end(&mut self, ended: &EndedSession) -> Taken {
        let _ = ended;
        Ok(())
    }

    /// A host is ready, so many milliseconds after its fork.
    async fn on_host_up(&mut self, plan: &HostPlan, pid: i32, walls: &[WallStatus], ready_after_ms: u64) -> Taken {
        let _ = (plan, pid, walls, ready_after_ms);
        Ok(())
    }

    /// A host is gone, and these sessions with it; without an exit it never came up.
    async fn on_host_down(
        &mut self,
        plan: &HostPlan,
        exit: Option<&Exit>,
        evidence: Option<&Evidence>,
        sessions: &[SessionId],
    ) -> Taken {
        let _ = (plan, exit, evidence, sessions);
        Ok(())
    }

    /// A host wrote a line.
    async fn on_line(&mut self, stamp: &Stamp, source: LineSource, level: LogLevel, line: &str) -> Taken {
        let _ = (stamp, source, level, line);
        Ok(())
    }

    /// A dispatch was refused.
    async fn on_rejected(&mut self, rejection: &Rejection) -> Taken {
        let _ = rejection;
        Ok(())
    }

    /// Policy noticed something.
    async fn on_notice(&mut self, notice: &Notice) -> Taken {
        let _ = notice;
        Ok(())
    }

    /// The periodic snapshot.
    async fn on_snapshot(&mut self, snapshot: &serde_json::Value) -> Taken {
        let _ = snapshot;
        Ok(())
    }

    /// Nothing waits just now, or it is over: write what was gathered.
    async fn flush(&mut self) -> Taken {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod samples;
