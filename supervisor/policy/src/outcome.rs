//! How a session ended, and who pays for it.
//!
//! Owns: the stable session reasons, blame, and the total map from exits to outcomes (decision R1). Never: counts.

use openrtc_ipc::EndStatus;
use serde::{Deserialize, Serialize};

use crate::bounds::ERROR_BYTES_MAX;
use crate::event::SetupFailure;
use crate::exit::{Exit, Intent};

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

/// Why we ask a session to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An operator's order.
    Operator,
    /// It ran for as long as it may.
    Duration,
    /// The dispatcher took it back.
    CallerLeft,
    /// Its room is closed, or its agent has left it.
    CallOver,
    /// The drain's time was over.
    DrainTimeout,
    /// The supervisor finishes.
    Shutdown,
    /// Its application's router chose an agent that it may not run.
    ForeignAgent,
    /// Its application's router chose an agent whose cap is reached.
    FullAgent,
}

impl Asked {
    /// The reason that its host is given.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator_kill",
            Self::Duration => "duration_limit",
            Self::CallerLeft => "caller_left",
            Self::CallOver => "call_over",
            Self::DrainTimeout => "drain_timeout",
            Self::Shutdown => "supervisor_shutdown",
            Self::ForeignAgent => "unknown_agent",
            Self::FullAgent => "agent_cap",
        }
    }

    /// What a session is asked for when its host is ended with this intent.
    pub(crate) fn by(intent: &Intent) -> Self {
        match intent {
            Intent::Operator => Self::Operator,
            Intent::Shutdown => Self::Shutdown,
            Intent::SessionLimit { .. } => Self::Duration,
            Intent::Memory { .. }
            | Intent::Pids { .. }
            | Intent::Heartbeat { .. }
            | Intent::Stopped { .. }
            | Intent::BootTimeout { .. }
            | Intent::Protocol { .. }
            | Intent::ChannelClosed
            | Intent::Setup { .. }
            | Intent::Drained
            | Intent::DrainTimeout => Self::DrainTimeout,
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Operator => Reason::OperatorKill,
            Self::Duration => Reason::DurationLimit,
            Self::CallerLeft | Self::CallOver => Reason::CallerLeft,
            Self::DrainTimeout => Reason::DrainTimeout,
            Self::Shutdown => Reason::SupervisorShutdown,
            Self::ForeignAgent | Self::FullAgent => Reason::ConfigError,
        }
    }

    /// What its application is to be told, where it is the application that was at fault.
    fn fault(self) -> Option<(Blame, &'static str)> {
        match self {
            Self::ForeignAgent => Some((
                Blame::Tenant,
                "the application's router chose an agent that is not configured or not allowed here",
            )),
            Self::FullAgent => {
                Some((Blame::Caller, "the application's router chose an agent that is at its max_sessions"))
            }
            Self::Operator
            | Self::Duration
            | Self::CallerLeft
            | Self::CallOver
            | Self::DrainTimeout
            | Self::Shutdown => None,
        }
    }
}

/// What ended a session: the evidence that its outcome is concluded from.
#[derive(Debug)]
pub(crate) enum End<'a> {
    /// Its host said so.
    Reported { status: EndStatus, error: Option<String>, denied: Option<String> },
    /// Its host's process died.
    HostDied(&'a Exit),
    /// Its host could not be brought up.
    NoHost(&'a SetupFailure),
    /// Its host is up and does not serve its agent.
    NotServed { detail: String },
    /// We called it off before its host was told to start it.
    CalledOff(Asked),
}

/// The one function that says how a session ended, from what we had asked of it and what then happened (law 12).
///
/// A session that we asked to end ended as asked, however its agent took that, unless it had succeeded or its host
/// crashed: neither an operator nor a drain can be charged to a tenant (semantics D10, V19).
pub(crate) fn conclude(asked: Option<Asked>, end: End<'_>) -> Outcome {
    let fault = asked.and_then(Asked::fault);
    let (status, reason, blame, error) = match (end, asked) {
        (End::Reported { status: EndStatus::Success, .. }, _) => {
            (Status::Success, Reason::Completed, Blame::Caller, None)
        }
        // Its host may hear of that before us or after: it has run to its end either way.
        (End::Reported { status: EndStatus::Cancelled, .. }, Some(Asked::CallOver)) => {
            (Status::Success, Reason::Completed, Blame::Caller, None)
        }
        (End::Reported { error, .. }, Some(asked)) => match fault {
            Some((blame, fault)) => (Status::Failed, asked.reason(), blame, Some(fault.to_owned())),
            None => (Status::Cancelled, asked.reason(), Blame::Caller, error),
        },
        (End::Reported { status: EndStatus::Misconfigured, error, .. }, None) => {
            (Status::Failed, Reason::ConfigError, Blame::Tenant, error)
        }
        (End::Reported { status: EndStatus::Failed, error, denied }, None) => {
            let reason = denied.map_or(Reason::Error, |path| Reason::WallDenied { path });
            (Status::Failed, reason, Blame::Tenant, error)
        }
        (End::Reported { status: EndStatus::Cancelled, error, .. }, None) => {
            (Status::Cancelled, Reason::CallerLeft, Blame::Caller, error)
        }
        (End::HostDied(Exit::SessionLimit { limit_ms }), Some(Asked::Duration)) => {
            let error = format!("it ran longer than it may and did not end within {limit_ms} ms of being asked");
            (Status::Failed, Reason::DurationLimit, Blame::Tenant, Some(error))
        }
        (End::HostDied(exit), Some(asked)) if exit.planned() || matches!(exit, Exit::Exited { code: 0, .. }) => {
            (Status::Cancelled, asked.reason(), Blame::Caller, None)
        }
        (End::HostDied(exit), _) => {
            let (status, reason, blame) = of_exit(exit);
            (status, reason, blame, Some(sentence(exit)))
        }
        (End::NoHost(failure), _) => {
            (Status::Failed, Reason::SetupFailed { step: failure.step }, Blame::Platform, Some(failure.detail.clone()))
        }
        (End::NotServed { detail }, _) => (Status::Failed, Reason::ConfigError, Blame::Platform, Some(detail)),
        (End::CalledOff(asked), _) => (Status::Cancelled, asked.reason(), Blame::Caller, None),
    };
    Outcome { status, reason, error: error.map(cut), blame }
}

/// The table of decision R1: what the end of a host's process means for each session that it takes along.
///
/// `unknown_sigkill` is the platform's: the machine's own out-of-memory killer and an administrator send the very same
/// signal as a tenant that kills itself, and nobody's breaker is opened on a guess. (A host that keeps dying so is
/// still slowed down by the restart back-off, which needs no blame.) An exit with code 0 under running sessions is the
/// tenant's: its code left with calls on it.
pub fn of_exit(exit: &Exit) -> (Status, Reason, Blame) {
    use Blame::{Caller, Platform, Tenant};
    use Status::{Cancelled, Failed};
    match exit {
        Exit::Exited { code, .. } => (Failed, Reason::HostExit { code: *code }, Tenant),
        Exit::Crashed { signal, .. } => (Failed, Reason::HostSignal { signal: *signal }, Tenant),
        Exit::OomOwnLimit { .. } | Exit::MemWatchdog { .. } => (Failed, Reason::MemoryLimit, Tenant),
        Exit::OomAncestor | Exit::UnknownSigkill => (Failed, Reason::HostSignal { signal: 9 }, Platform),
        Exit::CpuRlimit => (Failed, Reason::CpuLimit, Tenant),
        Exit::PidsLimit { .. } => (Failed, Reason::PidsLimit, Tenant),
        Exit::Fsize => (Failed, Reason::HostSignal { signal: 25 }, Tenant),
        Exit::Seccomp => (Failed, Reason::HostSignal { signal: 31 }, Tenant),
        Exit::HeartbeatLost { .. } | Exit::Stopped { .. } => (Failed, Reason::Unresponsive, Tenant),
        Exit::BootTimeout { .. } => (Failed, Reason::InitTimeout, Tenant),
        Exit::ProtocolViolation { kind } => (Failed, Reason::ProtocolViolation { kind: kind.clone() }, Tenant),
        Exit::IpcClosed => (Failed, Reason::ProtocolViolation { kind: "channel_closed".to_owned() }, Tenant),
        Exit::Drained => (Cancelled, Reason::Drained, Caller),
        Exit::DrainTimeout => (Cancelled, Reason::DrainTimeout, Caller),
        Exit::SessionLimit { .. } => (Cancelled, Reason::DurationLimit, Caller),
        Exit::OperatorKill => (Cancelled, Reason::OperatorKill, Caller),
        Exit::SupervisorShutdown => (Cancelled, Reason::SupervisorShutdown, Caller),
        Exit::SetupFailed { step, .. } => (Failed, Reason::SetupFailed { step: *step }, Platform),
        Exit::Unknown => (Failed, Reason::HostExit { code: -1 }, Platform),
    }
}

fn sentence(exit: &Exit) -> String {
    const MIB: u64 = 1024 * 1024;
    match exit {
        Exit::Exited { code, hint: None } => format!("its host exited with code {code}"),
        Exit::Exited { code, hint: Some(hint) } => format!("its host exited with code {code} ({hint})"),
        Exit::Crashed { signal, claimed: false } => format!("its host died by signal {signal}"),
        Exit::Crashed { signal, claimed: true } => {
            format!("its host died by signal {signal}, which it may have sent itself")
        }
        Exit::OomOwnLimit { .. } => "the kernel killed its host at its own memory wall".to_owned(),
        Exit::OomAncestor => "the kernel killed its host for memory at a limit above its own".to_owned(),
        Exit::MemWatchdog { observed_bytes, limit_bytes } => {
            format!("its host held {} MiB of its own, above the wall of {}", observed_bytes / MIB, limit_bytes / MIB)
        }
        Exit::CpuRlimit => "its host used up its CPU seconds".to_owned(),
        Exit::PidsLimit { observed, limit } => format!("its host had {observed} processes, above the wall of {limit}"),
        Exit::Fsize => "its host wrote a file larger than it may".to_owned(),
        Exit::Seccomp => "its host made a forbidden system call".to_owned(),
        Exit::HeartbeatLost { silent_ms } => format!("its host did not answer for {silent_ms} ms"),
        Exit::Stopped { silent_ms } => format!("its host was stopped and did not answer for {silent_ms} ms"),
        Exit::BootTimeout { limit_ms } => format!("its host was not ready within {limit_ms} ms"),
        Exit::ProtocolViolation { kind } => format!("its host broke the protocol ({kind})"),
        Exit::IpcClosed => "its host closed its channel and went on running".to_owned(),
        Exit::Drained => "its host was drained".to_owned(),
        Exit::DrainTimeout => "the drain time was over".to_owned(),
        Exit::SessionLimit { limit_ms } => format!("it did not end within {limit_ms} ms of being asked"),
        Exit::OperatorKill => "an operator killed its host".to_owned(),
        Exit::SupervisorShutdown => "the supervisor finished".to_owned(),
        Exit::SetupFailed { .. } => "its host could not be set up".to_owned(),
        Exit::UnknownSigkill => "its host was killed by a SIGKILL that nothing explains".to_owned(),
        Exit::Unknown => "the end of its host could not be read".to_owned(),
    }
}

/// A host may say anything, but not at any length.
fn cut(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(status: EndStatus) -> End<'static> {
        End::Reported { status, error: None, denied: None }
    }

    #[test]
    fn a_call_that_is_over_has_run_to_its_end_whoever_hears_of_it_first() {
        let host_first = conclude(None, reported(EndStatus::Success));
        let server_first = conclude(Some(Asked::CallOver), reported(EndStatus::Cancelled));
        assert_eq!((server_first.status, &server_first.reason), (Status::Success, &Reason::Completed));
        assert_eq!(host_first, server_first);
        assert_eq!(conclude(Some(Asked::CallOver), reported(EndStatus::Success)), host_first);
        let taken_back = conclude(Some(Asked::CallerLeft), reported(EndStatus::Cancelled));
        assert_eq!((taken_back.status, taken_back.reason), (Status::Cancelled, Reason::CallerLeft));
        let not_started = conclude(None, End::CalledOff(Asked::CallOver));
        assert_eq!((not_started.status, not_started.reason), (Status::Cancelled, Reason::CallerLeft));
    }

    #[test]
    fn what_a_host_says_of_a_session_nobody_asked_to_end_stands() {
        for (said, status, reason, blame) in [
            (EndStatus::Success, Status::Success, Reason::Completed, Blame::Caller),
            (EndStatus::Failed, Status::Failed, Reason::Error, Blame::Tenant),
            (EndStatus::Cancelled, Status::Cancelled, Reason::CallerLeft, Blame::Caller),
        ] {
            let outcome = conclude(None, reported(said));
            assert_eq!((outcome.status, outcome.reason, outcome.blame), (status, reason, blame));
        }
    }

    #[test]
    fn a_session_that_we_ended_is_cancelled_however_its_agent_took_it() {
        for asked in [Asked::Operator, Asked::Duration, Asked::CallerLeft, Asked::DrainTimeout, Asked::Shutdown] {
            for said in [EndStatus::Failed, EndStatus::Cancelled] {
                let outcome = conclude(Some(asked), reported(said));
                assert_eq!((outcome.status, outcome.blame), (Status::Cancelled, Blame::Caller));
                assert_eq!(outcome.reason, asked.reason());
            }
            assert_eq!(conclude(Some(asked), reported(EndStatus::Success)).status, Status::Success);
        }
    }

    #[test]
    fn a_session_that_had_to_be_killed_at_its_duration_limit_failed_by_the_tenant() {
        let outcome = conclude(Some(Asked::Duration), End::HostDied(&Exit::SessionLimit { limit_ms: 10 }));
        assert_eq!((outcome.status, outcome.blame), (Status::Failed, Blame::Tenant));
        assert_eq!(outcome.reason, Reason::DurationLimit);
    }

    #[test]
    fn a_crash_is_a_crash_even_while_we_were_ending_the_session() {
        let crash = Exit::Crashed { signal: 11, claimed: false };
        let outcome = conclude(Some(Asked::Operator), End::HostDied(&crash));
        assert_eq!((outcome.status, outcome.blame), (Status::Failed, Blame::Tenant));
        let left = Exit::Exited { code: 0, hint: None };
        assert_eq!(conclude(Some(Asked::Operator), End::HostDied(&left)).reason, Reason::OperatorKill);
    }

    #[test]
    fn each_class_of_death_is_blamed_as_semantics_d10_says() {
        use Blame::{Caller, Platform, Tenant};
        for (exit, blame) in [
            (Exit::Exited { code: 1, hint: None }, Tenant),
            (Exit::Crashed { signal: 11, claimed: false }, Tenant),
            (Exit::OomOwnLimit { peak_bytes: None, limit_bytes: None }, Tenant),
            (Exit::MemWatchdog { observed_bytes: 2, limit_bytes: 1 }, Tenant),
            (Exit::PidsLimit { observed: 2, limit: 1 }, Tenant),
            (Exit::HeartbeatLost { silent_ms: 1 }, Tenant),
            (Exit::BootTimeout { limit_ms: 1 }, Tenant),
            (Exit::ProtocolViolation { kind: "slow".to_owned() }, Tenant),
            (Exit::OomAncestor, Platform),
            (Exit::UnknownSigkill, Platform),
            (Exit::Unknown, Platform),
            (Exit::SetupFailed { step: openrtc_ipc::SetupStep::Fork, errno: 11 }, Platform),
            (Exit::Drained, Caller),
            (Exit::DrainTimeout, Caller),
            (Exit::OperatorKill, Caller),
            (Exit::SupervisorShutdown, Caller),
        ] {
            assert_eq!(of_exit(&exit).2, blame, "{exit:?}");
        }
    }

    #[test]
    fn a_planned_exit_blames_nobody_and_an_unplanned_one_is_a_failure() {
        assert_eq!(of_exit(&Exit::Drained).0, Status::Cancelled);
        assert!(Exit::Drained.planned());
        assert_eq!(of_exit(&Exit::Unknown).0, Status::Failed);
        assert!(!Exit::Unknown.planned());
    }

    #[test]
    fn a_hosts_error_text_is_cut_between_characters() {
        let error = Some("é".repeat(ERROR_BYTES_MAX));
        let outcome = conclude(None, End::Reported { status: EndStatus::Failed, error, denied: None });
        assert_eq!(outcome.error.unwrap().len(), ERROR_BYTES_MAX);
    }

    #[test]
    fn a_path_that_the_wall_denied_is_the_reason_unless_we_ended_the_session() {
        let denied = || End::Reported { status: EndStatus::Failed, error: None, denied: Some("/srv".to_owned()) };
        assert_eq!(conclude(None, denied()).reason, Reason::WallDenied { path: "/srv".to_owned() });
        assert_eq!(conclude(Some(Asked::Operator), denied()).reason, Reason::OperatorKill);
    }

    #[test]
    fn reasons_are_named_by_the_tag_reason() {
        let json = serde_json::to_string(&Reason::HostExit { code: 3 }).unwrap();
        assert_eq!(json, r#"{"reason":"host_exit","code":3}"#);
    }
}
