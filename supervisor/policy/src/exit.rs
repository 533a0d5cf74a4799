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
    /// Its one session was asked to end and did not.
    SessionLimit {
        /// Time it had to end, in milliseconds.
        limit_ms: u64,
    },
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
    /// Its one session did not end when asked.
    SessionLimit {
        /// Time it had to end, in milliseconds.
        limit_ms: u64,
    },
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

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;
const SIGSYS: i32 = 31;
/// The smallest `RLIMIT_CPU`, in microseconds: SIGXCPU from the kernel needs at least so much CPU.
const CPU_RLIMIT_MICROS_MIN: u64 = 1_000_000;
/// glibc's code when it gets no memory for thread-local data; a shell's for "command not found" (`walls.md` finding 4).
const GLIBC_ABORT_CODE: i32 = 127;

impl Exit {
    /// Whether it ended because we meant it to: nobody's failure.
    pub fn planned(&self) -> bool {
        match self {
            Self::Drained
            | Self::DrainTimeout
            | Self::SessionLimit { .. }
            | Self::OperatorKill
            | Self::SupervisorShutdown => true,
            Self::Exited { .. }
            | Self::Crashed { .. }
            | Self::OomOwnLimit { .. }
            | Self::OomAncestor
            | Self::MemWatchdog { .. }
            | Self::CpuRlimit
            | Self::PidsLimit { .. }
            | Self::Fsize
            | Self::Seccomp
            | Self::HeartbeatLost { .. }
            | Self::Stopped { .. }
            | Self::BootTimeout { .. }
            | Self::ProtocolViolation { .. }
            | Self::IpcClosed
            | Self::SetupFailed { .. }
            | Self::UnknownSigkill
            | Self::Unknown => false,
        }
    }
}

/// A host that we signalled ended for the reason we recorded, whatever its wait status says.
impl From<&Intent> for Exit {
    fn from(intent: &Intent) -> Self {
        match intent.clone() {
            Intent::Memory { observed_bytes, limit_bytes, by_kernel: true } => {
                Self::OomOwnLimit { peak_bytes: Some(observed_bytes), limit_bytes: Some(limit_bytes) }
            }
            Intent::Memory { observed_bytes, limit_bytes, by_kernel: false } => {
                Self::MemWatchdog { observed_bytes, limit_bytes }
            }
            Intent::Pids { observed, limit } => Self::PidsLimit { observed, limit },
            Intent::Heartbeat { silent_ms } => Self::HeartbeatLost { silent_ms },
            Intent::Stopped { silent_ms } => Self::Stopped { silent_ms },
            Intent::BootTimeout { limit_ms } => Self::BootTimeout { limit_ms },
            Intent::Protocol { kind } => Self::ProtocolViolation { kind },
            Intent::ChannelClosed => Self::IpcClosed,
            Intent::Setup { step, errno } => Self::SetupFailed { step, errno },
            Intent::Drained => Self::Drained,
            Intent::DrainTimeout => Self::DrainTimeout,
            Intent::SessionLimit { limit_ms } => Self::SessionLimit { limit_ms },
            Intent::Operator => Self::OperatorKill,
            Intent::Shutdown => Self::SupervisorShutdown,
        }
    }
}

/// Names a death from its evidence: intent, then kernel counters, then wait status (`walls.md` §3).
///
/// A kill above our own cgroup is believed only with a SIGKILL to match, because a neighbour's death counts there too.
/// A signal that any process can send itself is `claimed` unless something corroborates it: SIGXCPU is believed of a
/// host that used a second of CPU, which is the smallest limit; nothing at hand can corroborate SIGXFSZ or SIGSYS.
pub fn attribute(evidence: &Evidence) -> Exit {
    if let Some(intent) = &evidence.intent {
        return Exit::from(intent);
    }
    if evidence.oom_kills > 0 {
        return Exit::OomOwnLimit { peak_bytes: evidence.memory_peak_bytes, limit_bytes: None };
    }
    match evidence.wait {
        WaitStatus::Signalled(SIGKILL) if evidence.ancestor_oom_kills > 0 => Exit::OomAncestor,
        WaitStatus::Signalled(SIGKILL) => Exit::UnknownSigkill,
        WaitStatus::Signalled(SIGXCPU) if evidence.cpu_micros.is_some_and(|used| used >= CPU_RLIMIT_MICROS_MIN) => {
            Exit::CpuRlimit
        }
        WaitStatus::Signalled(signal @ (SIGXCPU | SIGXFSZ | SIGSYS)) => Exit::Crashed { signal, claimed: true },
        WaitStatus::Signalled(signal) => Exit::Crashed { signal, claimed: false },
        WaitStatus::Exited(code) => Exit::Exited { code, hint: hint(code, evidence) },
        WaitStatus::Unknown => Exit::Unknown,
    }
}

fn hint(code: i32, evidence: &Evidence) -> Option<String> {
    let no_memory_for_threads = evidence.last_stderr.as_deref().is_some_and(|line| line.contains("thread-local data"));
    if code == GLIBC_ABORT_CODE && no_memory_for_threads {
        return Some("glibc found no memory for a thread: RLIMIT_DATA, raise [wall] data_max_mb".to_owned());
    }
    let hits = evidence.pids_hit;
    (code != 0 && hits > 0).then(|| format!("the wall of processes was hit {hits} times: [wall] pids_max"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(wait: WaitStatus) -> Evidence {
        Evidence {
            intent: None,
            wait,
            oom_kills: 0,
            ancestor_oom_kills: 0,
            pids_hit: 0,
            memory_peak_bytes: None,
            cpu_micros: None,
            last_stderr: None,
        }
    }

    const KILLED: WaitStatus = WaitStatus::Signalled(SIGKILL);

    #[test]
    fn the_recorded_intent_beats_every_counter_and_status() {
        let intent = Some(Intent::Heartbeat { silent_ms: 15_000 });
        let found = attribute(&Evidence { intent, oom_kills: 3, ..evidence(KILLED) });
        assert_eq!(found, Exit::HeartbeatLost { silent_ms: 15_000 });
    }

    #[test]
    fn a_kill_in_its_own_cgroup_beats_one_above() {
        let both = Evidence { oom_kills: 1, ancestor_oom_kills: 1, memory_peak_bytes: Some(7), ..evidence(KILLED) };
        assert_eq!(attribute(&both), Exit::OomOwnLimit { peak_bytes: Some(7), limit_bytes: None });
        let above = Evidence { ancestor_oom_kills: 1, ..evidence(KILLED) };
        assert_eq!(attribute(&above), Exit::OomAncestor);
    }

    #[test]
    fn a_neighbours_oom_kill_does_not_explain_an_exit_of_its_own() {
        let neighbour = Evidence { ancestor_oom_kills: 1, ..evidence(WaitStatus::Exited(1)) };
        assert_eq!(attribute(&neighbour), Exit::Exited { code: 1, hint: None });
    }

    #[test]
    fn forged_reasons_are_not_believed() {
        assert_eq!(attribute(&evidence(KILLED)), Exit::UnknownSigkill);
        for signal in [SIGXCPU, SIGXFSZ, SIGSYS] {
            let found = attribute(&evidence(WaitStatus::Signalled(signal)));
            assert_eq!(found, Exit::Crashed { signal, claimed: true });
        }
        for code in [137, 159] {
            assert_eq!(attribute(&evidence(WaitStatus::Exited(code))), Exit::Exited { code, hint: None });
        }
    }

    #[test]
    fn sigxcpu_is_believed_of_a_host_that_used_a_second() {
        let spent = |micros| Evidence { cpu_micros: Some(micros), ..evidence(WaitStatus::Signalled(SIGXCPU)) };
        assert_eq!(attribute(&spent(1_000_000)), Exit::CpuRlimit);
        assert_eq!(attribute(&spent(999_999)), Exit::Crashed { signal: SIGXCPU, claimed: true });
    }

    #[test]
    fn a_segfault_is_the_hosts_own() {
        assert_eq!(attribute(&evidence(WaitStatus::Signalled(11))), Exit::Crashed { signal: 11, claimed: false });
    }

    #[test]
    fn code_127_after_glibcs_message_hints_at_rlimit_data() {
        let line = Some("cannot allocate memory for thread-local data: ABORT".to_owned());
        let Exit::Exited { code: 127, hint: Some(hint) } =
            attribute(&Evidence { last_stderr: line, ..evidence(WaitStatus::Exited(127)) })
        else {
            panic!("expected an exit with a hint")
        };
        assert!(hint.contains("RLIMIT_DATA"));
        assert_eq!(attribute(&evidence(WaitStatus::Exited(127))), Exit::Exited { code: 127, hint: None });
    }

    #[test]
    fn a_failing_exit_after_the_wall_of_processes_says_so() {
        let Exit::Exited { hint: Some(hint), .. } =
            attribute(&Evidence { pids_hit: 4, ..evidence(WaitStatus::Exited(1)) })
        else {
            panic!("expected an exit with a hint")
        };
        assert!(hint.contains("pids_max"));
    }

    #[test]
    fn exits_are_named_by_their_reason() {
        let json = serde_json::to_string(&Exit::Crashed { signal: 11, claimed: false }).unwrap();
        assert_eq!(json, r#"{"reason":"crashed","signal":11,"claimed":false}"#);
    }
}
