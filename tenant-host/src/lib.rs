//! The child process that runs one tenant's agents: it obeys, and reports.
//!
//! Owns: raising the walls that only oneself can raise, and running sessions. Never: decides who may do what, or starts
//! anything of the tenant's before the green light.

mod agent;
pub mod boot;
mod channel;
mod command_agent;
pub mod dialogue;
mod emit;
mod host;
pub mod incoming;
mod interpreter;
pub mod lockdown;
pub mod outgoing;
mod session;
mod sessions;
mod settings;
pub mod sys;
pub mod threads;
pub mod zygote;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::process::ExitCode;

use openrtc_ipc::{CHANNEL_FD, CHANNEL_FD_VARIABLE};

use interpreter::{Role, become_interpreter};

pub use agent::{Agent, AgentError, LocalBoxFuture};
pub use emit::{EVENT_NAME_BYTES_MAX, EVENT_TEXT_BYTES_MAX, EmitError, LOG_LINE_BYTES_MAX, ReportBounds};
pub use session::{EndRequest, Session, SessionContext, current};

/// Hidden first argument under which the one executable becomes a tenant host.
pub const HOST_ARGUMENT: &str = "__tenant-host";
/// Hidden first argument under which it becomes a zygote.
pub const ZYGOTE_ARGUMENT: &str = "__zygote";
/// Hidden first argument under which it becomes a Python host; an interpreter and a plan follow.
pub const PYTHON_HOST_ARGUMENT: &str = "__python-host";
/// Hidden first argument under which it becomes a Python zygote; an interpreter and a plan follow.
pub const PYTHON_ZYGOTE_ARGUMENT: &str = "__python-zygote";

const HELP: &str = "\
openrtc-tenant-host: the child process in which openrtc-supervisor runs one tenant's agents.

It is started by the supervisor, with its channel on descriptor 3, and is of no use by hand.

Usage: openrtc-tenant-host [host]   serve the channel on descriptor 3
       openrtc-tenant-host zygote   fork hosts for the spawner on descriptor 3
       openrtc-tenant-host --version
       openrtc-tenant-host --help
";

/// Runs the host program with its arguments, the program's own name not among them.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    match arguments.first().and_then(|first| first.to_str()) {
        Some(PYTHON_HOST_ARGUMENT) => return become_interpreter(Role::Host, &arguments[1..]),
        Some(PYTHON_ZYGOTE_ARGUMENT) => return become_interpreter(Role::Zygote, &arguments[1..]),
        Some(_) | None => {}
    }
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    match arguments.as_slice() {
        [] | ["host" | HOST_ARGUMENT] => with_channel(CHANNEL_FD, boot::host),
        ["zygote" | ZYGOTE_ARGUMENT] => zygote::run(boot::forked_host),
        ["--version" | "-V"] => {
            println!("openrtc-tenant-host {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        [first, ..] => {
            eprintln!("openrtc-tenant-host: unknown argument {first:?}; see --help");
            ExitCode::from(2)
        }
    }
}

/// Runs a host program with agents of its own (runtimes of `kind = "program"`): says hello on the channel that the
/// supervisor's own host program left open, takes its configuration and runs sessions until told to leave.
///
/// The walls stand already when such a program starts. Call it first thing in `main`, before there are threads.
pub fn serve(agents: Vec<Box<dyn Agent>>) -> ExitCode {
    let fd = match std::env::var(CHANNEL_FD_VARIABLE) {
        Ok(text) => match text.parse::<RawFd>() {
            Ok(fd) => fd,
            Err(_) => {
                eprintln!("openrtc-tenant-host: {CHANNEL_FD_VARIABLE} must be a descriptor's number, not {text:?}");
                return ExitCode::from(2);
            }
        },
        Err(_) => CHANNEL_FD,
    };
    with_channel(fd, |channel| boot::program(channel, agents))
}

fn with_channel(fd: RawFd, serve: impl FnOnce(std::os::unix::net::UnixStream) -> ExitCode) -> ExitCode {
    match sys::channel::adopt(fd) {
        Ok(channel) => serve(channel),
        Err(error) => {
            eprintln!(
                "openrtc-tenant-host: failed to {error}. This program is started by openrtc-supervisor, which gives \
                 it a channel; see --help"
            );
            ExitCode::from(2)
        }
    }
}
