//! The built-in host, and programs that bring their own agents: from the configuration to ready.
//!
//! Owns: the steps between the configuration and the event loop. Never: makes a thread or a runtime before the
//! supervisor's green light (`dialogue.rs`).

use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;

use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::{Configure, Report, SetupStep};
use tokio::task::LocalSet;

use crate::agent::Agent;
use crate::command_agent::CommandAgent;
use crate::command_agent::tree::Trees;
use crate::dialogue::{self, DialogueError};
use crate::host::{HostError, serve};
use crate::lockdown::Inherited;
use crate::settings::{Settings, SettingsError};

/// Agents that a host may name when it is ready; as many as the supervisor accepts.
const AGENTS_MAX: usize = openrtc_ipc::report::READY_AGENTS_MAX;

/// Events taken from the kernel at a time; the default reserves room for 1024.
const IO_EVENTS: usize = 64;

/// Why a host did not come to serve, or stopped.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error(transparent)]
    Dialogue(#[from] DialogueError),
    #[error("talk to the supervisor")]
    Channel(#[from] ChannelError),
    #[error("use the configuration")]
    Settings(#[from] SettingsError),
    #[error("name {count} agents: at most {AGENTS_MAX} are allowed")]
    TooManyAgents { count: usize },
    #[error("make the event loop")]
    Runtime(#[source] io::Error),
    #[error("serve")]
    Serve(#[from] HostError),
}

/// Runs the built-in host of a process that was exec'd, until it is told to leave or the channel ends. Must be called by
/// the process's only thread.
pub fn host(channel: UnixStream) -> ExitCode {
    finish(built_in(Channel::new(channel), Inherited::Nothing))
}

/// The same in a process that a zygote forked, which has a part of its walls from there.
pub fn forked_host(channel: UnixStream) -> ExitCode {
    finish(built_in(Channel::new(channel), Inherited::Zygote))
}

/// Runs a host program that brings its own agents.
pub(crate) fn program(channel: UnixStream, agents: Vec<Box<dyn Agent>>) -> ExitCode {
    finish(own_agents(Channel::new(channel), agents))
}

fn finish(outcome: Result<(), BootError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(BootError::Channel(error) | BootError::Dialogue(DialogueError::Channel(error))) if is_end(&error) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            eprintln!("openrtc-tenant-host: failed to {text}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a channel failed only because the supervisor is gone.
fn is_end(error: &ChannelError) -> bool {
    match error {
        ChannelError::Closed => true,
        ChannelError::Io(error) => {
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        }
        ChannelError::Wire(_) => false,
    }
}

fn built_in(mut channel: Channel, inherited: Inherited) -> Result<(), BootError> {
    let trees = Rc::new(Trees::open());
    let Some(configure) = dialogue::boot(&mut channel, "openrtc-tenant-host", inherited)? else { return Ok(()) };
    let prepared = settings(configure).and_then(|settings| {
        let agents = CommandAgent::all(&settings, &trees)?;
        Ok((settings, agents))
    });
    let (settings, agents) = prepared.map_err(|error| failed(&mut channel, error))?;
    run(channel, settings, agents, Some(trees))
}

fn own_agents(mut channel: Channel, agents: Vec<Box<dyn Agent>>) -> Result<(), BootError> {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().unwrap_or(&name).to_string_lossy().into_owned();
    let name = crate::emit::cut(name, 128);
    let Some(configure) = dialogue::boot_behind_walls(&mut channel, &name)? else { return Ok(()) };
    let settings = settings(configure).map_err(|error| failed(&mut channel, error))?;
    run(channel, settings, agents.into_iter().map(Rc::from).collect(), None)
}

fn settings(configure: Configure) -> Result<Rc<Settings>, BootError> {
    Ok(Rc::new(Settings::new(configure)?))
}

fn run(
    mut channel: Channel,
    settings: Rc<Settings>,
    agents: Vec<Rc<dyn Agent>>,
    trees: Option<Rc<Trees>>,
) -> Result<(), BootError> {
    if agents.len() > AGENTS_MAX {
        return Err(failed(&mut channel, BootError::TooManyAgents { count: agents.len() }));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_io_events_per_tick(IO_EVENTS)
        .build();
    let runtime = runtime.map_err(|error| failed(&mut channel, BootError::Runtime(error)))?;
    channel.report(&Report::Ready { agents: agents.iter().map(|agent| agent.name()).collect() })?;
    Ok(LocalSet::new().block_on(&runtime, serve(channel, settings, agents, trees))?)
}

/// Tells the supervisor, as well as that goes, and gives the error back. A dialogue has told its own failures.
fn failed(channel: &mut Channel, error: BootError) -> BootError {
    let (step, errno) = match &error {
        BootError::Dialogue(_) => return error,
        BootError::Channel(_) => (SetupStep::Hello, 0),
        BootError::Settings(_) => (SetupStep::Configure, 0),
        BootError::Runtime(source) => (SetupStep::Ready, source.raw_os_error().unwrap_or(0)),
        BootError::TooManyAgents { .. } | BootError::Serve(_) => (SetupStep::Ready, 0),
    };
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    dialogue::tell_failure(channel, step, errno, format!("{error}{cause}"));
    error
}
