//! From the first hello to ready: a blocking dialogue, before there is a runtime.
//!
//! Owns: the order of the steps. Never: runs anything of the tenant's, or makes a thread or a runtime, before the
//! supervisor's green light.
//!
//! ```text
//! Hello ► Welcome ► walls ► Launched ► Proceed ─┬─ program ► exec (it says its own Hello)
//!                                               └─ none ► Configure ► Ready ► serving
//! ```

use std::ffi::CString;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;

use nix::errno::Errno;
use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::{
    CHANNEL_FD, CHANNEL_FD_VARIABLE, Command, Configure, Hello, PROTOCOL, Program, Report, SetupStep, Welcome,
};
use tokio::task::LocalSet;

use crate::agent::Agent;
use crate::command_agent::CommandAgent;
use crate::command_agent::tree::Trees;
use crate::host::{HostError, serve};
use crate::lockdown::{self, Inherited};
use crate::settings::{Settings, SettingsError};
use crate::sys::signals;

/// Agents that a host may name when it is ready; as many as the supervisor accepts.
const AGENTS_MAX: usize = openrtc_ipc::report::READY_AGENTS_MAX;

/// Events taken from the kernel at a time; the default reserves room for 1024.
const IO_EVENTS: usize = 64;

/// Why a host did not come to serve, or stopped.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error("talk to the supervisor")]
    Channel(#[from] ChannelError),
    #[error("start: the supervisor said {found} where {expected} was expected")]
    OutOfTurn { expected: &'static str, found: &'static str },
    #[error("start: the supervisor speaks protocol {theirs}, this host {PROTOCOL}")]
    Protocol { theirs: u16 },
    #[error("start: the supervisor asked this program to raise its own walls; it must be started behind them")]
    WallsAsked,
    #[error("raise the walls, at step {step:?}: {detail}")]
    Walls { step: SetupStep, errno: i32, detail: String },
    #[error("become {program}: {remedy}")]
    Exec { program: String, errno: Errno, remedy: &'static str },
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
        Ok(()) | Err(BootError::Channel(ChannelError::Closed)) => ExitCode::SUCCESS,
        Err(BootError::Channel(ChannelError::Io(error)))
            if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
        {
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

fn built_in(mut channel: Channel, inherited: Inherited) -> Result<(), BootError> {
    let trees = Rc::new(Trees::open());
    let welcome = greet(&mut channel, "openrtc-tenant-host")?;
    let walls = match welcome.lockdown {
        Some(lockdown) => lockdown::apply(&lockdown, inherited),
        None => Ok(Vec::new()),
    };
    match walls {
        Ok(walls) => channel.report(&Report::Launched { walls })?,
        Err(error) => {
            let error = BootError::Walls { step: error.step, errno: error.errno, detail: error.detail };
            return Err(failed(&mut channel, error));
        }
    }
    match next(&mut channel)? {
        Some(Command::Proceed { program: Some(program) }) => {
            let Err(error) = become_program(&channel, &program);
            return Err(failed(&mut channel, error));
        }
        Some(Command::Proceed { program: None }) => {}
        Some(other) => return Err(out_of_turn("Proceed", &other)),
        None => return leave(&mut channel),
    }
    let Some(configure) = await_configure(&mut channel)? else { return leave(&mut channel) };
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
    if greet(&mut channel, &crate::emit::cut(name, 128))?.lockdown.is_some() {
        return Err(failed(&mut channel, BootError::WallsAsked));
    }
    let Some(configure) = await_configure(&mut channel)? else { return leave(&mut channel) };
    let settings = settings(configure).map_err(|error| failed(&mut channel, error))?;
    run(channel, settings, agents.into_iter().map(Rc::from).collect(), None)
}

fn greet(channel: &mut Channel, program: &str) -> Result<Welcome, BootError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    channel.report(&Report::Hello(Hello { protocol: PROTOCOL, program: program.to_owned(), version }))?;
    match channel.command()? {
        Command::Welcome(welcome) if welcome.protocol == PROTOCOL => Ok(welcome),
        Command::Welcome(welcome) => Err(failed(channel, BootError::Protocol { theirs: welcome.protocol })),
        other => Err(out_of_turn("Welcome", &other)),
    }
}

fn await_configure(channel: &mut Channel) -> Result<Option<Configure>, BootError> {
    match next(channel)? {
        Some(Command::Configure(configure)) => Ok(Some(configure)),
        Some(other) => Err(out_of_turn("Configure", &other)),
        None => Ok(None),
    }
}

/// The next command that is no ping; `None` when the host is to leave before it served.
fn next(channel: &mut Channel) -> Result<Option<Command>, BootError> {
    loop {
        match channel.command()? {
            Command::Ping { nonce } => channel.report(&Report::Pong { nonce })?,
            Command::Shutdown { .. } | Command::Drain => return Ok(None),
            command => return Ok(Some(command)),
        }
    }
}

fn leave(channel: &mut Channel) -> Result<(), BootError> {
    Ok(channel.report(&Report::Bye { reason: "shutdown".to_owned() })?)
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

/// Replaces this process by the program, with the channel as its descriptor 3; comes back only when that fails.
fn become_program(channel: &Channel, program: &Program) -> Result<std::convert::Infallible, BootError> {
    let name = program.argv.first().cloned().unwrap_or_default();
    let failed = |errno: Errno| BootError::Exec { program: name.clone(), errno, remedy: exec_remedy(errno) };
    let text = |text: &str| CString::new(text).map_err(|_| failed(Errno::EINVAL));
    let path = text(&name)?;
    let argv = program.argv.iter().map(|argument| text(argument)).collect::<Result<Vec<_>, _>>()?;
    let mut env = Vec::new();
    for (variable, value) in program.env.iter().filter(|(variable, _)| variable != CHANNEL_FD_VARIABLE) {
        env.push(text(&format!("{variable}={value}"))?);
    }
    env.push(text(&format!("{CHANNEL_FD_VARIABLE}={CHANNEL_FD}"))?);
    channel.hand_over(CHANNEL_FD).map_err(|error| failed(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
    signals::reset();
    nix::unistd::execve(&path, &argv, &env).map_err(failed)
}

fn exec_remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "no such program; check `command`, and the interpreter that its first line names",
        Errno::EACCES => {
            "permission denied; make it executable, or let the host read it and its interpreter with `[wall] read_paths`"
        }
        Errno::EINVAL => "its arguments or environment hold a zero byte",
        other => other.desc(),
    }
}

/// Tells the supervisor, as well as that goes, and gives the error back.
fn failed(channel: &mut Channel, error: BootError) -> BootError {
    let (step, errno) = match &error {
        BootError::Walls { step, errno, .. } => (*step, *errno),
        BootError::Exec { errno, .. } => (SetupStep::Exec, *errno as i32),
        BootError::Settings(_) => (SetupStep::Configure, 0),
        BootError::Protocol { .. } | BootError::WallsAsked | BootError::OutOfTurn { .. } | BootError::Channel(_) => {
            (SetupStep::Hello, 0)
        }
        BootError::Runtime(source) => (SetupStep::Ready, source.raw_os_error().unwrap_or(0)),
        BootError::TooManyAgents { .. } | BootError::Serve(_) => (SetupStep::Ready, 0),
    };
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let detail = crate::emit::cut(format!("{error}{cause}"), crate::emit::ERROR_BYTES_MAX);
    let _ = channel.report(&Report::SetupFailed { step, errno, detail });
    error
}

fn out_of_turn(expected: &'static str, found: &Command) -> BootError {
    let found = match found {
        Command::Welcome(_) => "Welcome",
        Command::Proceed { .. } => "Proceed",
        Command::Configure(_) => "Configure",
        Command::StartSession { .. } => "StartSession",
        Command::EndSession { .. } => "EndSession",
        Command::Ping { .. } => "Ping",
        Command::Drain => "Drain",
        Command::Shutdown { .. } => "Shutdown",
    };
    BootError::OutOfTurn { expected, found }
}
