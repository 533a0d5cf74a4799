//! From the first hello to the configuration: the blocking dialogue that every kind of host begins with.
//!
//! Owns: the order of the steps, the walls among them, and telling the supervisor which one failed. Never: runs anything
//! of the tenant's, or makes a thread or a runtime, before the supervisor's green light.
//!
//! ```text
//! Hello ► Welcome ► walls ► Launched ► Proceed ─┬─ program ► exec (it says its own Hello)
//!                                               └─ none ► Configure
//! ```

use std::ffi::CString;

use nix::errno::Errno;
use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::{
    CHANNEL_FD, CHANNEL_FD_VARIABLE, Command, Configure, Hello, PROTOCOL, Program, Report, SetupStep, Welcome,
};

use crate::lockdown::{self, Inherited};
use crate::sys::signals;

/// Why a host was not brought up. Except where the channel itself failed, the supervisor has been told.
#[derive(Debug, thiserror::Error)]
pub enum DialogueError {
    /// The channel failed, or is closed.
    #[error("talk to the supervisor")]
    Channel(#[from] ChannelError),
    /// A command came where another belongs.
    #[error("start: the supervisor said {found} where {expected} was expected")]
    OutOfTurn {
        /// What belongs there.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// The supervisor is of another version.
    #[error("start: the supervisor speaks protocol {theirs}, this host {PROTOCOL}")]
    Protocol {
        /// What it speaks.
        theirs: u16,
    },
    /// A program that runs behind walls was asked to raise them.
    #[error("start: the supervisor asked this program to raise its own walls; it must be started behind them")]
    WallsAsked,
    /// A wall could not be raised.
    #[error("raise the walls, at step {step:?}: {detail}")]
    Walls {
        /// Which.
        step: SetupStep,
        /// The system's error number, or 0.
        errno: i32,
        /// What was being done.
        detail: String,
    },
    /// A program could not be started in this process.
    #[error("become {program}: {remedy}")]
    Exec {
        /// Its path.
        program: String,
        /// The system's error.
        errno: Errno,
        /// What to do.
        remedy: &'static str,
    },
}

impl DialogueError {
    fn step(&self) -> (SetupStep, i32) {
        match self {
            Self::Walls { step, errno, .. } => (*step, *errno),
            Self::Exec { errno, .. } => (SetupStep::Exec, *errno as i32),
            Self::Protocol { .. } | Self::WallsAsked | Self::OutOfTurn { .. } | Self::Channel(_) => {
                (SetupStep::Hello, 0)
            }
        }
    }
}

/// Brings up the host in this process as `program`: says hello, raises the walls, waits for the green light and takes the
/// configuration. `None`: the host is to leave, and has said goodbye.
///
/// Must be called by the process's only thread. When the supervisor names a foreign program, it becomes that program and
/// does not come back.
pub fn boot(channel: &mut Channel, program: &str, inherited: Inherited) -> Result<Option<Configure>, DialogueError> {
    launch(channel, program, inherited)?;
    proceed(channel)
}

/// The first half of [`boot`], to the walls and the word that they stand.
pub fn launch(channel: &mut Channel, program: &str, inherited: Inherited) -> Result<(), DialogueError> {
    let welcome = greet(channel, program)?;
    let walls = match welcome.lockdown {
        Some(lockdown) => lockdown::apply(&lockdown, channel.take_fds(), inherited),
        None => Ok(Vec::new()),
    };
    match walls {
        Ok(walls) => channel.report(&Report::Launched { walls })?,
        Err(error) => {
            let error = DialogueError::Walls { step: error.step, errno: error.errno, detail: error.detail };
            return Err(failed(channel, error));
        }
    }
    Ok(())
}

/// The second half of [`boot`], from the green light on.
pub fn proceed(channel: &mut Channel) -> Result<Option<Configure>, DialogueError> {
    match next(channel)? {
        Some(Command::Proceed { program: Some(program) }) => {
            let Err(error) = become_program(channel, &program);
            return Err(failed(channel, error));
        }
        Some(Command::Proceed { program: None }) => {}
        Some(other) => return Err(failed(channel, out_of_turn("Proceed", &other))),
        None => return leave(channel),
    }
    await_configure(channel)
}

/// The shorter dialogue of a program that was started behind walls which stand already.
pub fn boot_behind_walls(channel: &mut Channel, program: &str) -> Result<Option<Configure>, DialogueError> {
    if greet(channel, program)?.lockdown.is_some() {
        return Err(failed(channel, DialogueError::WallsAsked));
    }
    await_configure(channel)
}

/// Says hello only to tell, once welcomed, that `program` could not be started in this process.
pub(crate) fn tell_unstarted(channel: &mut Channel, program: &str, errno: Errno) -> DialogueError {
    let error = DialogueError::Exec { program: program.to_owned(), errno, remedy: exec_remedy(errno) };
    match greet(channel, "openrtc-tenant-host") {
        Ok(_) => failed(channel, error),
        Err(_) => error,
    }
}

/// Tells the supervisor, as well as that goes, at which step the set-up failed. `detail` is cut to its bound.
pub fn tell_failure(channel: &mut Channel, step: SetupStep, errno: i32, detail: String) {
    let detail = crate::emit::cut(detail, crate::emit::ERROR_BYTES_MAX);
    let _ = channel.report(&Report::SetupFailed { step, errno, detail });
}

/// The name of a command, for a person.
pub fn name(command: &Command) -> &'static str {
    match command {
        Command::Welcome(_) => "Welcome",
        Command::Proceed { .. } => "Proceed",
        Command::Configure(_) => "Configure",
        Command::StartSession { .. } => "StartSession",
        Command::LeaveRoom { .. } => "LeaveRoom",
        Command::EndSession { .. } => "EndSession",
        Command::Ping { .. } => "Ping",
        Command::Drain => "Drain",
        Command::Shutdown { .. } => "Shutdown",
    }
}

fn greet(channel: &mut Channel, program: &str) -> Result<Welcome, DialogueError> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    channel.report(&Report::Hello(Hello { protocol: PROTOCOL, program: program.to_owned(), version }))?;
    match channel.command()? {
        Command::Welcome(welcome) if welcome.protocol == PROTOCOL => Ok(welcome),
        Command::Welcome(welcome) => Err(failed(channel, DialogueError::Protocol { theirs: welcome.protocol })),
        other => Err(failed(channel, out_of_turn("Welcome", &other))),
    }
}

fn await_configure(channel: &mut Channel) -> Result<Option<Configure>, DialogueError> {
    match next(channel)? {
        Some(Command::Configure(configure)) => Ok(Some(configure)),
        Some(other) => Err(failed(channel, out_of_turn("Configure", &other))),
        None => leave(channel),
    }
}

/// The next command that is no ping; `None` when the host is to leave before it served.
fn next(channel: &mut Channel) -> Result<Option<Command>, DialogueError> {
    loop {
        match channel.command()? {
            Command::Ping { nonce } => channel.report(&Report::Pong { nonce })?,
            Command::Shutdown { .. } | Command::Drain => return Ok(None),
            command => return Ok(Some(command)),
        }
    }
}

fn leave(channel: &mut Channel) -> Result<Option<Configure>, DialogueError> {
    channel.report(&Report::Bye { reason: "shutdown".to_owned() })?;
    Ok(None)
}

/// Replaces this process by the program, with the channel as its descriptor 3; comes back only when that fails.
fn become_program(channel: &Channel, program: &Program) -> Result<std::convert::Infallible, DialogueError> {
    let name = program.argv.first().cloned().unwrap_or_default();
    let failed = |errno: Errno| DialogueError::Exec { program: name.clone(), errno, remedy: exec_remedy(errno) };
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

/// What to do about a program that could not be started.
pub(crate) fn exec_remedy(errno: Errno) -> &'static str {
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
fn failed(channel: &mut Channel, error: DialogueError) -> DialogueError {
    let (step, errno) = error.step();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    tell_failure(channel, step, errno, format!("{error}{cause}"));
    error
}

fn out_of_turn(expected: &'static str, found: &Command) -> DialogueError {
    DialogueError::OutOfTurn { expected, found: name(found) }
}
