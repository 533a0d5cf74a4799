//! The life of one host process, from newborn to reaped.
//!
//! Owns: each host's link, record, liveness and end. Never: decides which host serves what.
//!
//! ```text
//! spawn ─► life: birth (hello, walls, green light, configure, ready) ─► serve (orders, reports, pings)
//!            └────── sampling, endings ──────┘                             │
//!          death: evidence ─► tree killed ─► reaped ─► attributed ◄────────┘ exit, at any time
//! ```

pub mod birth;
pub mod death;
pub mod denied;
pub mod last_words;
pub mod life;
pub mod line;
pub mod link;
pub mod liveness;
pub mod missing_key;
pub mod morgue;
pub mod order;
pub mod output;
pub mod probe;
pub mod rate;
pub mod reap;
pub mod record;
pub mod redact;
pub mod sampling;
pub mod serve;
pub mod task;
pub mod tree;
pub mod work_dir;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use openrtc_ipc::{RuntimeName, TenantId};

pub use record::{Gauges, HostRecord, Registry};

use crate::audit::Audit;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::observer::Fanout;
use crate::secrets::Vault;
use crate::sources::Handle;
use crate::spawn::Spawner;
use crate::wall::{ProgramFiles, Walls};

/// What every host's task needs; one for the supervisor's life.
pub struct HostContext {
    /// The way to policy.
    pub handle: Handle,
    /// Makes processes.
    pub spawner: Spawner,
    /// Raises walls.
    pub walls: Walls,
    /// Hosts that exist.
    pub registry: Registry,
    /// Sessions.
    pub ledger: Ledger,
    /// Evidence between a death and its report.
    pub morgue: morgue::Morgue,
    /// Who is told.
    pub fanout: Fanout,
    /// Where orders, refusals and key loads are recorded.
    pub audit: Audit,
    /// Parent of the hosts' own directories.
    pub work_root: PathBuf,
    /// What holds for hosts made from now on; may be replaced while hosts live.
    pub current: RwLock<InForce>,
}

/// A configuration and the secrets behind its references: replaced together, or a host would be given one without the other.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The operator's file, made valid, with the operators' orders over it.
    pub config: Arc<Config>,
    /// Every secret.
    pub vault: Arc<Vault>,
}

impl InForce {
    /// Both.
    pub fn new(config: Config, vault: Vault) -> Self {
        Self { config: Arc::new(config), vault: Arc::new(vault) }
    }
}

impl HostContext {
    /// What is in force now.
    pub fn in_force(&self) -> InForce {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration in force now.
    pub fn config(&self) -> Arc<Config> {
        self.in_force().config
    }

    /// Puts another configuration in force, for hosts made from now on.
    pub fn replace(&self, in_force: InForce) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = in_force;
    }

    /// Books which hosts were given secrets that are not in force any more; gives those.
    pub fn mark_old_keys(&self) -> Vec<Arc<HostRecord>> {
        let InForce { config, vault } = self.in_force();
        let mut hosts = self.registry.all();
        hosts.retain(|record| {
            let (given, plan) = (record.keys(), &record.plan);
            let old = given.is_some_and(|given| given != vault.fingerprint(&config, &plan.tenant, &plan.runtime));
            record.set_old_keys(old);
            old
        });
        hosts
    }

    /// What a host will run and must be able to read, and what it must never see.
    pub fn program_files(&self, tenant: &TenantId, runtime: &RuntimeName) -> ProgramFiles {
        let config = self.config();
        let hidden = config.hidden_paths();
        if let Some(python) = config.runtime(runtime).and_then(crate::config::Runtime::python) {
            return ProgramFiles { hidden, ..ProgramFiles::python(&python.interpreter, &python.target) };
        }
        let foreign = config.program(runtime, Path::new("")).map(|program| program.argv);
        let agents = config.agents_of(tenant, runtime).map(|agent| agent.command.clone());
        ProgramFiles {
            commands: foreign.into_iter().chain(agents).filter(|command| !command.is_empty()).collect(),
            hidden,
            ..ProgramFiles::default()
        }
    }
}

/// An error and its causes, in one line for a person.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
