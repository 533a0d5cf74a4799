//! Makes processes: the spawner thread, cold spawns, zygote forks and helper programs.
//!
//! Owns: the only thread that creates processes (decision P1), what they inherit, and the table of them. Never: reads a
//! word of a host's, raises a wall, or waits for an end.
//!
//! ```text
//! Spawner (any task) ──bounded queue──► spawner thread ─┬─ cold.rs    fork + exec of the host program
//!                                                       ├─ zygote.rs  asks the runtime's zygote, which forks
//!                                                       ├─ idle.rs    hands out what was forked ahead
//!                                                       └─ helper.rs  fork + exec of a secret command; awaited outside
//! ```

pub mod children;
mod cold;
mod ends;
mod helper;
mod idle;
pub mod interpreter;
pub mod newborn;
pub mod spawner;
pub mod state;
mod zygote;
mod zygote_output;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use openrtc_ipc::{RuntimeName, SetupStep};

pub use children::ChildTable;
pub use helper::Output;
pub use interpreter::{Interpreter, InterpreterError};
pub use newborn::{How, Newborn, Process};
pub use spawner::Spawner;
pub use state::{Absence, ZygoteRow, ZygoteState};

/// The one program that hosts are (decision P5), and what makes it which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProgram {
    /// Absolute path of the executable.
    pub path: PathBuf,
    /// For every runtime that is not below.
    pub built_in: LaunchArguments,
    /// For runtimes with a zygote of their own.
    pub runtimes: BTreeMap<RuntimeName, LaunchArguments>,
}

/// What makes the program a host, and what makes it a zygote of such hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchArguments {
    /// Arguments that make it a host.
    pub host: Vec<OsString>,
    /// Arguments that make it a zygote; empty: there is none.
    pub zygote: Vec<OsString>,
    /// How many of its hosts are to be forked ahead.
    pub idle_hosts: usize,
}

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The spawner thread could not be started, or has stopped.
    #[error("reach the spawner thread")]
    Thread(#[source] io::Error),
    /// Its sockets and pipes could not be made.
    #[error("make the sockets and pipes of a new process")]
    Channel(#[source] io::Error),
    /// The fork failed, or the child could not arrange its session, signals and descriptors.
    #[error("fork a new process")]
    Fork(#[source] io::Error),
    /// The child could not become the program.
    #[error("execute {}", path.display())]
    Exec {
        /// The program.
        path: PathBuf,
        /// `ENOENT`, `EACCES`, `ENOEXEC`, …
        #[source]
        source: io::Error,
    },
    /// A helper program was not done in time, and was killed.
    #[error("hear from {program} within {limit_ms} ms")]
    HelperSlow {
        /// Its name.
        program: String,
        /// Allowed.
        limit_ms: u64,
    },
    /// A helper program wrote too much, and was killed.
    #[error("take more than {bytes_max} bytes from {program}")]
    HelperTalkative {
        /// Its name.
        program: String,
        /// Allowed.
        bytes_max: usize,
    },
    /// A helper program's pipes or its end could not be read.
    #[error("follow {program}")]
    Helper {
        /// Its name.
        program: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// The step of bringing a host up that failed.
    pub fn step(&self) -> SetupStep {
        match self {
            Self::Thread(_) | Self::Fork(_) => SetupStep::Fork,
            Self::Channel(_) => SetupStep::Channel,
            Self::Exec { .. } => SetupStep::Exec,
            Self::HelperSlow { .. } | Self::HelperTalkative { .. } | Self::Helper { .. } => SetupStep::Configure,
        }
    }

    /// The system's error number, or 0.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Thread(source)
            | Self::Channel(source)
            | Self::Fork(source)
            | Self::Exec { source, .. }
            | Self::Helper { source, .. } => source.raw_os_error().unwrap_or(0),
            Self::HelperSlow { .. } | Self::HelperTalkative { .. } => 0,
        }
    }

    /// Whether trying again could help: a program that is missing or not executable does not mend itself.
    pub fn retry(&self) -> bool {
        match self {
            Self::Exec { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc::EAGAIN | libc::ENOMEM | libc::ENFILE | libc::EMFILE | libc::ETXTBSY)
            ),
            Self::Thread(_) | Self::HelperTalkative { .. } => false,
            Self::Channel(_) | Self::Fork(_) | Self::HelperSlow { .. } | Self::Helper { .. } => true,
        }
    }
}
