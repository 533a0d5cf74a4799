//! How a session ended, and who pays for it.
//!
//! Owns: the stable session reasons, blame, and the total map from exits to outcomes (decision R1). Never: counts.

use serde::{Deserialize, Serialize};

/// Success, failure or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end.
    Success,
    /// It failed.
    Failed,
    /// It was ended by somebody.
    Cancelled,
}

/// Who pays for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Nobody failed, or the caller left.
    Caller,
    /// The tenant's code: its breaker takes a sample.
    Tenant,
    /// Ours: no breaker is charged.
    Platform,
}

/// Why a session ended. The names are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// It ran to its end.
    Completed,
    /// The agent said that it failed.
    Error,
    /// Its host exited.
    HostExit {
        /// With this code.
        code: i32,
    },
    /// Its host died by a signal.
    HostSignal {
        /// This one.
        signal: i32,
    },
    /// The memory wall.
    MemoryLimit,
    /// The CPU wall.
    CpuLimit,
    /// The wall of processes.
    PidsLimit,
    /// It ran longer than it may.
    DurationLimit,
    /// Its host did not answer.
    Unresponsive,
    /// Its host was not ready in time.
    InitTimeout,
    /// Its host could not be set up.
    SetupFailed {
        /// At which step.
        step: openrtc_ipc::SetupStep,
    },
    /// Its host broke the protocol.
    ProtocolViolation {
        /// How.
        kind: String,
    },
    /// A path was denied by the wall.
    WallDenied {
        /// Which.
        path: String,
    },
    /// The configuration was at fault.
    ConfigError,
    /// A budget was spent.
    BudgetExceeded,
    /// The caller left.
    CallerLeft,
    /// Ended by a drain.
    Drained,
    /// The drain time was over.
    DrainTimeout,
    /// The operator ended it.
    OperatorKill,
    /// The supervisor finished.
    SupervisorShutdown,
}

/// How one session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Status.
    pub status: Status,
    /// Reason.
    pub reason: Reason,
    /// One sentence for a person.
    pub error: Option<String>,
    /// Who pays.
    pub blame: Blame,
}
