//! How a command ends: exit codes, and every way that one fails.
//!
//! Owns: the seven exit codes of `docs/`. Never: prints a secret in an error.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use openrtc_control_api::Problem;
use openrtc_policy::RejectReason;

use crate::application::ApplicationError;
use crate::config::ConfigFaults;
use crate::dispatch::local::LocalError;
use crate::run::RunError;
use crate::selftest::SelftestError;
use crate::telemetry::TelemetryError;

use super::client::ClientError;

/// What a command says to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It failed.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// There is no supervisor to talk to.
    Unreachable = 3,
    /// The dispatch was rejected.
    Rejected = 4,
    /// There is no such thing.
    NotFound = 5,
    /// A check failed.
    CheckFailed = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The supervisor could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The supervisor refused.
    #[error("{}: {}{}", .0.reason, .0.detail, again(.0))]
    Refused(Box<Problem>),
    /// A file named on the command line cannot be used.
    #[error("{option}: cannot use {}", path.display())]
    File {
        /// Which option.
        option: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An option's value is wrong.
    #[error("{option}: {detail}")]
    Usage {
        /// Which option.
        option: &'static str,
        /// Value and remedy.
        detail: String,
    },
    /// The result could not be printed.
    #[error("print the result")]
    Output(#[source] io::Error),
    /// No runtime for asking.
    #[error("start")]
    Start(#[source] io::Error),
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// Logging could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Nothing can be made of an application.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// A dispatch that no supervisor would look at.
    #[error(transparent)]
    Dispatch(#[from] LocalError),
    /// The supervisor did not start.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The self-test came to no verdict.
    #[error(transparent)]
    Selftest(#[from] SelftestError),
}

fn again(problem: &Problem) -> String {
    problem.retry_after_s.map_or_else(String::new, |s| format!(" (try again in {s} s)"))
}

impl CliError {
    /// Whether whoever read our output has left: no fault, and nobody to tell.
    pub fn reader_left(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The problem object, where the supervisor sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Client(error) if error.unreachable() => Exit::Unreachable,
            Self::Refused(problem) => exit_of(problem),
            Self::Usage { .. } | Self::File { .. } | Self::Config(_) | Self::Dispatch(_) => Exit::Usage,
            Self::Run(RunError::Interpreter(_) | RunError::Application(_) | RunError::Agents(_)) => Exit::Usage,
            Self::Application(error) if error.is_usage() => Exit::Usage,
            Self::Application(_) => Exit::Failure,
            Self::Client(_)
            | Self::Output(_)
            | Self::Start(_)
            | Self::Telemetry(_)
            | Self::Run(_)
            | Self::Selftest(_) => Exit::Failure,
        }
    }
}

fn exit_of(problem: &Problem) -> Exit {
    if RejectReason::ALL.iter().any(|reason| reason.name() == problem.reason) {
        return Exit::Rejected;
    }
    match problem.reason.as_str() {
        "not_found" => Exit::NotFound,
        "bad_request" | "body_too_large" | "config_faulty" => Exit::Usage,
        "stale_revision" => Exit::Rejected,
        "stopping" => Exit::Unreachable,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_exit_code() {
        for (status, reason, exit) in [
            (409, "tenant_cap", Exit::Rejected),
            (400, "config_error", Exit::Rejected),
            (503, "draining", Exit::Rejected),
            (404, "not_found", Exit::NotFound),
            (400, "bad_request", Exit::Usage),
            (503, "stopping", Exit::Unreachable),
            (401, "unauthorized", Exit::Failure),
            (504, "timed_out", Exit::Failure),
        ] {
            let error = CliError::Refused(Box::new(Problem::new(status, reason, "why")));
            assert_eq!(error.exit(), exit, "{reason}");
        }
    }
}
