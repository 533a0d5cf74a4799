//! What isolates a host: what was asked for, what stands, and how we know.
//!
//! Owns: the vocabulary of walls. Never: raises one.

use serde::{Deserialize, Serialize};

/// One limit or barrier around a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Memory of the host's own whole process tree.
    Memory,
    /// CPU time.
    Cpu,
    /// Processes and threads.
    Pids,
    /// Open descriptors, size of files, core dumps: the plain resource limits.
    Rlimits,
    /// A user id of its own.
    Uid,
    /// No capability in any set.
    Capabilities,
    /// `no_new_privs`.
    NoNewPrivs,
    /// Not dumpable: no core, no tracing by equals.
    Dumpable,
    /// Landlock's rules for files and TCP.
    Landlock,
    /// Landlock's scopes: no signal and no abstract socket out of the host.
    Scope,
    /// The small system call filter (decision W2).
    Seccomp,
    /// Dies with the supervisor.
    ParentDeath,
    /// Forked from a warm zygote. Not an isolation, but something `require` may name.
    Zygote,
    /// A network of its own.
    Network,
}

impl Wall {
    /// The name used in configuration, reports and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
            Self::Rlimits => "rlimits",
            Self::Uid => "uid",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Dumpable => "dumpable",
            Self::Landlock => "landlock",
            Self::Scope => "scope",
            Self::Seccomp => "seccomp",
            Self::ParentDeath => "parent_death",
            Self::Zygote => "zygote",
            Self::Network => "network",
        }
    }
}

/// How strong a wall is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WallState {
    /// The kernel enforces it, by this means (`cgroup v2`, `rlimit`, `landlock abi 7`, …).
    Kernel(String),
    /// We measure and act, by this means.
    Sampled(String),
    /// It does not stand, for this reason.
    Absent(String),
}

impl WallState {
    /// Whether anything stands at all.
    pub fn stands(&self) -> bool {
        !matches!(self, Self::Absent(_))
    }
}

/// How we know (decision W5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Read from `/proc` or a cgroup, from outside.
    Observed,
    /// Said by our own code in the child before any tenant code ran.
    Reported,
}

/// One wall as the child's own set-up code reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallReport {
    /// Which.
    pub wall: Wall,
    /// How it stands.
    pub state: WallState,
}

/// One wall as the supervisor vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallStatus {
    /// Which.
    pub wall: Wall,
    /// How it stands.
    pub state: WallState,
    /// How we know.
    pub evidence: Evidence,
}

/// Limit of private writable memory, `RLIMIT_DATA`: a backstop behind the memory wall (decision W6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataMax {
    /// VmData right after the fork plus twice the memory wall plus stacks for the threads above 512 that `pids_max` allows.
    Auto,
    /// None.
    Off,
    /// This many bytes.
    Bytes(u64),
}

/// Limit of CPU, in percent of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuMax {
    /// All cores but one; none on a machine with one core.
    Auto,
    /// None: weight alone.
    Off,
    /// This much; 100 is one core.
    Percent(u32),
}

/// Under which identity a host runs (decision W1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// A uid and gid per tenant where the supervisor may set one, else its own.
    Auto,
    /// The supervisor's own.
    Same,
    /// This one.
    Fixed {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// The walls asked for around one host. `None` means off. Every default is `decisions.md` W10.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallSpec {
    /// The host's own memory, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Percent of the memory wall at which the host is condemned: no new sessions.
    pub memory_warn_pct: u32,
    /// Period of sampling, in milliseconds.
    pub sample_ms: u64,
    /// `RLIMIT_DATA`.
    pub data_max: DataMax,
    /// `RLIMIT_AS`, in bytes.
    pub address_space_bytes_max: Option<u64>,
    /// CPU, in percent of one core.
    pub cpu_max: CpuMax,
    /// Share of CPU against siblings; 100 is normal.
    pub cpu_weight: u32,
    /// `RLIMIT_CPU`, in seconds of CPU; only for session-scoped hosts.
    pub cpu_seconds_max: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u32>,
    /// Open descriptors, `RLIMIT_NOFILE`.
    pub open_files_max: Option<u64>,
    /// Size of one file, `RLIMIT_FSIZE`, in bytes.
    pub file_size_bytes_max: Option<u64>,
    /// Whether core dumps are allowed.
    pub core_dump: bool,
    /// Longest session, in milliseconds.
    pub session_ms_max: Option<u64>,
    /// Identity.
    pub run_as: RunAs,
    /// Paths that may be read, beside what the program itself needs.
    pub read_paths: Vec<std::path::PathBuf>,
    /// Paths that may be written, beside the host's own directory.
    pub write_paths: Vec<std::path::PathBuf>,
    /// TCP ports that may be connected to; `None` is any.
    pub connect_ports: Option<Vec<u16>>,
    /// Whether `socket(AF_UNIX)` is allowed.
    pub unix_sockets: bool,
    /// Walls without which the host must not start.
    pub require: Vec<Wall>,
    /// Added to the kernel's out-of-memory score.
    pub oom_score_adj: i32,
}
