//! What the task of one host holds.
//!
//! Owns: the things that birth, service, sampling and death of one host share. Never: behaviour.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use openrtc_ipc::{LogLevel, SetupStep, WallSpec};
use openrtc_policy::bounds::ERROR_BYTES_MAX;
use openrtc_policy::{HostPlan, SetupFailure};

use super::record::HostRecord;
use super::redact::Redactor;
use super::{HostContext, InForce, missing_key};
use crate::observer::{LineSource, Stamp, Told};
use crate::secrets::Fingerprint;
use crate::spawn::{How, Process};
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
    /// Which secrets were in force when it was begun: those that are kept out of what it says.
    pub hidden: Fingerprint,
    /// Its own tenant's secrets, to be kept out of what it says.
    pub redactor: Arc<Redactor>,
    /// Its own directory.
    pub work_dir: PathBuf,
}

impl HostTask {
    /// The task of a newborn, which enters the registry with it.
    pub fn new(
        context: Arc<HostContext>,
        plan: HostPlan,
        (process, how): (Process, How),
        (hidden, redactor): (Fingerprint, Redactor),
    ) -> Self {
        let record = Arc::new(HostRecord::new(plan.clone(), process.pid(), how, unix_ms()));
        let spec = Arc::new(context.config().wall(&plan.tenant, &plan.runtime));
        record.set_memory_bytes_max(spec.memory_bytes_max);
        context.registry.enter(Arc::clone(&record));
        Self {
            spec,
            work_dir: context.work_root.join(plan.host.to_string()),
            hidden,
            redactor: Arc::new(redactor),
            wall: SharedWall::default(),
            context,
            plan,
            process,
            record,
        }
    }

    /// An error, completed where it is for want of a key that the supervisor has.
    pub fn with_missing_key(&self, error: String) -> String {
        let HostTask { context, plan, .. } = self;
        let InForce { config, vault } = context.in_force();
        missing_key::completed(&config, &vault, &plan.tenant, &plan.runtime, error)
    }

    /// A failure of its set-up in the host's own words, without its secrets.
    pub fn setup_failed(&self, step: SetupStep, errno: i32, detail: &str, retry: bool) -> SetupFailure {
        let detail = self.with_missing_key(self.redactor.redact_cut(detail, ERROR_BYTES_MAX).into_owned());
        SetupFailure { step, errno, detail, retry }
    }

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
