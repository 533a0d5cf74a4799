//! Commands that need no supervisor: the way from the command line into the rest of this program.
//!
//! Owns: nothing but the calls. Never: does any of it.

use std::process::ExitCode;

use openrtc_control_api::{ConfigCheck, DoctorReport};

use super::exit::CliError;
use super::{DemoOptions, Global};

/// `run`: the supervisor in the foreground, until it ends.
pub fn run(_global: &Global) -> Result<ExitCode, CliError> {
    // MERGE: crate::run::run(RunArgs { config, control_socket, log_level, quiet, color }).
    Err(CliError::NotBuilt { command: "run" })
}

/// `demo`.
pub fn demo(_global: &Global, _options: &DemoOptions) -> Result<ExitCode, CliError> {
    // MERGE: crate::demo::run(DemoArgs { json, keep, color }) in a runtime.
    Err(CliError::NotBuilt { command: "demo" })
}

/// `doctor` while no supervisor runs: what this machine can do under this configuration.
pub fn doctor(_global: &Global) -> Result<DoctorReport, CliError> {
    // MERGE: Config::load, Walls::detect, control::forecast(&walls.forecast(&spec), &spec.require).
    Err(CliError::NotBuilt { command: "doctor" })
}

/// `config check`.
pub fn config_check(_global: &Global) -> Result<ConfigCheck, CliError> {
    // MERGE: Config::load, its faults one to one.
    Err(CliError::NotBuilt { command: "config check" })
}

/// `config show`: the configuration in force, as JSON, with `***(source)` for each secret.
pub fn config_show(_global: &Global) -> Result<serde_json::Value, CliError> {
    // MERGE: Config::load, then its redacted form.
    Err(CliError::NotBuilt { command: "config show" })
}
