//! How a process ended, and the algorithm that names it (`docs/reasons.md`).
//!
//! Owns: the evidence, the verdict order and the stable exit reasons. Never: reads `/proc` (that is `host/reap.rs`), or
//! guesses: a SIGKILL that nothing explains is `unknown_sigkill`.

use openrtc_ipc::SetupStep;
use serde::{Deserialize, Serialize};

/// Why we are about to signal a host. Recorded before the signal; the first wins (law 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// The sampled memory wall, or an `oom_kill` in its cgroup while it lived.
    Memory {
        /// Measured, in bytes.
        observed_bytes: u64,
        /// Allowed, in bytes.
        limit_bytes: u64,
        /// Whether the kernel's own killer struck first.
        by_kernel: bool,
    },
    /// The sampled bound on processes.
    Pids {
        /// Counted.
        observed: u32,
        /// Allowed.
        limit: u32,
    },
    /// It did not answer for so long.
    Heartbeat {
        /// Milliseconds.
        silent_ms: u64,
    },
    /// It was stopped by a signal, and did not answer for so long.
    Stopped {
        /// Milliseconds.
        silent_ms: u64,
    },
    /// It was not ready in time.
    BootTimeout {
        /// Milliseconds.
        limit_ms: u64,
    },
    /// It broke the protocol.
    Protocol {
        /// How.
        kind: String,
    },
    /// It closed its channel and went on running.
    ChannelClosed,
    /// Our own set-up of it failed.
    Setup {
        /// At which step.
        step: SetupStep,
        /// The system's error number, or 0.
        errno: i32,
    },
    /// Idle, or its sessions ended: a drain in good order.
    Drained,
    /// The drain time was over.
    DrainTimeout,
    /// The operator killed it.
    Operator,
    /// The supervisor is finishing.
    Shutdown,
}

/// The process's wait status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitStatus {
    /// `exit(code)`.
    Exited(i32),
    /// Ended by this signal.
    Signalled(i32),
    /// It could not be waited for.
    Unknown,
}

/// What was collected about a death: before reaping, then after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The recorded intent, if we signalled it.
    pub intent: Option<Intent>,
    /// The wait status.
    pub wait: WaitStatus,
    /// `oom_kill` in its own cgroup since it started.
    pub oom_kills: u64,
    /// `oom_kill` in the cgroups above since it started, not counting its own.
    pub ancestor_oom_kills: u64,
    /// Times its `pids.max` was hit.
    pub pids_hit: u64,
    /// Peak of its own memory, in bytes, where known.
    pub memory_peak_bytes: Option<u64>,
    /// CPU it used, in microseconds, where known.
    pub cpu_micros: Option<u64>,
    /// The last line it wrote to standard error, redacted.
    pub last_stderr: Option<String>,
}

/// How a process ended. The names are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Exited {
        /// Its code.
        code: i32,
        /// Something known about that code (`127` after glibc's thread-local data message: `RLIMIT_DATA`).
        hint: Option<String>,
    },
    /// By a signal of its own making.
    Crashed {
        /// The signal.
        signal: i32,
        /// A signal that the tenant could have sent itself and nothing corroborates.
        claimed: bool,
    },
    /// The kernel's killer, at its own cgroup's limit.
    OomOwnLimit {
        /// Peak, in bytes, where known.
        peak_bytes: Option<u64>,
        /// Allowed, in bytes, where known.
        limit_bytes: Option<u64>,
    },
    /// The kernel's killer, at the limit of a cgroup above.
    OomAncestor,
    /// Our sampler, at the memory wall.
    MemWatchdog {
        /// Measured, in bytes.
        observed_bytes: u64,
        /// Allowed, in bytes.
        limit_bytes: u64,
    },
    /// `RLIMIT_CPU`.
    CpuRlimit,
    /// Our sampler, at the bound on processes.
    PidsLimit {
        /// Counted.
        observed: u32,
        /// Allowed.
        limit: u32,
    },
    /// `RLIMIT_FSIZE`.
    Fsize,
    /// The system call filter, as far as we can tell.
    Seccomp,
    /// It did not answer.
    HeartbeatLost {
        /// For so long, in milliseconds.
        silent_ms: u64,
    },
    /// It was stopped by a signal.
    Stopped {
        /// For so long, in milliseconds.
        silent_ms: u64,
    },
    /// Not ready in time.
    BootTimeout {
        /// Allowed, in milliseconds.
        limit_ms: u64,
    },
    /// It broke the protocol.
    ProtocolViolation {
        /// How.
        kind: String,
    },
    /// It closed its channel.
    IpcClosed,
    /// In good order.
    Drained,
    /// The drain time was over.
    DrainTimeout,
    /// The operator killed it.
    OperatorKill,
    /// The supervisor finished.
    SupervisorShutdown,
    /// Our own set-up failed.
    SetupFailed {
        /// At which step.
        step: SetupStep,
        /// The system's error number, or 0.
        errno: i32,
    },
    /// A SIGKILL that nothing explains.
    UnknownSigkill,
    /// Its end could not be read.
    Unknown,
}

/// Names a death from its evidence: intent, then kernel counters, then wait status (`walls.md` §3).
pub fn attribute(evidence: &Evidence) -> Exit {
    let _ = evidence;
    Exit::Unknown
}
