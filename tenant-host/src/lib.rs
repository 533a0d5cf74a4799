//! The child process that runs one tenant's agents: it obeys, and reports.
//!
//! Owns: raising the walls that only oneself can raise, and running sessions. Never: decides who may do what, or starts
//! anything of the tenant's before the green light.

pub mod boot;
pub mod lockdown;
pub mod sys;
pub mod zygote;

use std::ffi::OsString;
use std::process::ExitCode;

/// Hidden first argument under which the one executable becomes a tenant host.
pub const HOST_ARGUMENT: &str = "__tenant-host";
/// Hidden first argument under which it becomes a zygote.
pub const ZYGOTE_ARGUMENT: &str = "__zygote";

/// Runs the host program with its arguments, the program's own name not among them.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let _ = arguments;
    ExitCode::FAILURE
}
