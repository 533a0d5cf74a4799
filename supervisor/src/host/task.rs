//! What the task of one host holds.
//!
//! Owns: the things that birth, service, sampling and death of one host share. Never: behaviour.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use openrtc_ipc::{LogLevel, WallSpec};
use openrtc_policy::HostPlan;

use super::HostContext;
use super::record::HostRecord;
use super::redact::Redactor;
use crate::observer::{LineSource, Stamp, Told};
use crate::spawn::Process;
use crate::telemetry::unix_ms;
use crate::wall::Raised;

/// The walls of one host, shared with the pool that raises, reads and samples them; `None` before and after.
pub type SharedWall = Arc<Mutex<Option<Raised>>>;

/// One host, as its task knows it. Clones share everything.
#[derive(Clone)]
pub struct HostTask {
    /// What all hosts share.
    pub context: Arc<HostContext>,
    /// What it is for.
    pub plan: HostPlan,
    /// The walls asked for.
    pub spec: Arc<WallSpec>,
    /// Its process.
    pub process: Process,
    /// What is known of it.
    pub record: Arc<HostRecord>,
    /// Its walls.
    pub wall: SharedWall,
    /// Its own tenant's secrets, to be kept out of what it says.
    pub redactor: Arc<Redactor>,
    /// Its own directory.
    pub work_dir: PathBuf,
}

impl HostTask {
    /// A stamp for what the host says of itself, now.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            tenant: self.plan.tenant.clone(),
            host: self.plan.host,
            session: None,
            agent: None,
            at_unix_ms: unix_ms(),
        }
    }

    /// Passes on a line that the host reported of itself.
    pub fn log(&self, level: LogLevel, message: &str) {
        let message = self.redactor.redact(message).into_owned();
        self.context.fanout.tell(Told::Line(self.stamp(), LineSource::Report, level, message));
    }
}
