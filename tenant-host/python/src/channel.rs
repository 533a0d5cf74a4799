//! A host's channel as Python sees it: blocking until it is ready, then driven by the event loop.
//!
//! Owns: the socket and its two queues, and in which stage they are. Never: calls into Python while it holds them, so that
//! a log line from a finalizer, or from another thread, finds them free.
//!
//! ```text
//! Booting ──ready──► Serving ──the supervisor is gone──► (receive and flush raise EOFError)
//! ```

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openrtc_ipc::blocking::{self, ChannelError as BlockingError};
use openrtc_ipc::report::READY_AGENTS_MAX;
use openrtc_ipc::{AgentName, CHANNEL_FD, Command, LogLevel, Report, SetupStep};
use openrtc_tenant_host::ReportBounds;
use openrtc_tenant_host::dialogue;
use openrtc_tenant_host::incoming::Incoming;
use openrtc_tenant_host::lockdown::Inherited;
use openrtc_tenant_host::outgoing::{Outgoing, REPORT_BYTES_QUEUED_MAX};
use pyo3::exceptions::{PyBufferError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::faults::{self, ChannelError, HostError};
use crate::json;

/// Commands given at once, so that a supervisor that never pauses does not keep the loop from its other work.
const COMMANDS_AT_ONCE_MAX: usize = 256;

#[derive(Debug)]
enum Stage {
    /// Until it is ready: everything blocks.
    Booting { channel: blocking::Channel, inherited: Inherited },
    /// From then on nothing does.
    Serving(Serving),
    /// Between the two, if that failed.
    Broken,
}

#[derive(Debug)]
struct Serving {
    socket: UnixStream,
    incoming: Incoming,
    outgoing: Outgoing,
    bounds: ReportBounds,
}

impl Serving {
    /// Writes what the socket takes. `Ok(false)`: something waits.
    fn write(&mut self) -> io::Result<bool> {
        let Self { socket, outgoing, .. } = self;
        match outgoing.write_with(|slices| send(socket, slices)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn commands(&mut self) -> Result<Vec<Command>, BlockingError> {
        let mut commands = Vec::new();
        while commands.len() < COMMANDS_AT_ONCE_MAX {
            if let Some(command) = self.incoming.next_command()? {
                commands.push(command);
                continue;
            }
            match self.incoming.receive(&self.socket) {
                // What came before the end is still to be obeyed; the end shows again the next time.
                Ok(0) if commands.is_empty() => return Err(BlockingError::Closed),
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if faults::is_end(&error) && !commands.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(commands)
    }
}

/// Not `writev`: an application may have given SIGPIPE its default action.
fn send(socket: &UnixStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// A host's end of its channel to the supervisor.
#[pyclass(frozen, module = "openrtc_host._native")]
#[derive(Debug)]
pub(crate) struct Channel {
    stage: Mutex<Stage>,
    fd: RawFd,
    /// Whether nobody waits for this host yet.
    ahead: bool,
}

impl Channel {
    pub(crate) fn new(socket: UnixStream, inherited: Inherited, ahead: bool) -> Self {
        let fd = socket.as_raw_fd();
        let channel = blocking::Channel::new(socket);
        Self { stage: Mutex::new(Stage::Booting { channel, inherited }), fd, ahead }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the channel before it is ready.
    fn booting<R>(&self, what: &str, act: impl FnOnce(&mut blocking::Channel, Inherited) -> R) -> PyResult<R> {
        match &mut *self.stage() {
            Stage::Booting { channel, inherited } => Ok(act(channel, *inherited)),
            Stage::Serving(_) => Err(HostError::new_err(format!("{what} belongs before ready"))),
            Stage::Broken => Err(faults::ended()),
        }
    }

    /// Does something with the channel once it is ready.
    fn serving<R>(&self, what: &str, act: impl FnOnce(&mut Serving) -> PyResult<R>) -> PyResult<R> {
        match &mut *self.stage() {
            Stage::Serving(serving) => act(serving),
            Stage::Booting { .. } => Err(HostError::new_err(format!("{what} belongs after ready"))),
            Stage::Broken => Err(faults::ended()),
        }
    }
}

fn level(name: &str) -> PyResult<LogLevel> {
    match name {
        "debug" => Ok(LogLevel::Debug),
        "info" => Ok(LogLevel::Info),
        "warn" => Ok(LogLevel::Warn),
        "error" => Ok(LogLevel::Error),
        _ => Err(PyValueError::new_err(format!("level must be debug, info, warn or error, not {name:?}"))),
    }
}

fn setup_step(name: &str) -> PyResult<SetupStep> {
    match name {
        "configure" => Ok(SetupStep::Configure),
        "ready" => Ok(SetupStep::Ready),
        _ => Err(PyValueError::new_err(format!("step must be configure or ready, not {name:?}"))),
    }
}

fn unsendable(error: &dyn std::error::Error) -> PyErr {
    PyValueError::new_err(faults::line(error))
}

#[pymethods]
impl Channel {
    /// Whether this host was forked before anybody needed it; its hello says that it can be had.
    #[getter]
    fn ahead(&self) -> bool {
        self.ahead
    }

    /// From hello to the walls, blocking.
    fn launch(&self, program: &str) -> PyResult<()> {
        let launched = self.booting("launch", |channel, inherited| dialogue::launch(channel, program, inherited))?;
        launched.map_err(|error| faults::of_dialogue(&error))
    }

    /// From the green light to the configuration, blocking.
    fn boot<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let booted = self.booting("boot", |channel, _| dialogue::proceed(channel))?;
        match booted.map_err(|error| faults::of_dialogue(&error))? {
            Some(configure) => json::to_python(py, &configure).map(Some),
            None => Ok(None),
        }
    }

    /// Tells the supervisor that the set-up failed.
    fn failed(&self, step: &str, detail: &Bound<'_, PyString>) -> PyResult<()> {
        let (step, detail) = (setup_step(step)?, detail.to_string_lossy().into_owned());
        self.booting("failed", |channel, _| dialogue::tell_failure(channel, step, 0, detail))
    }

    /// Says which agents are served, and stops blocking.
    fn ready(&self, agents: Vec<String>) -> PyResult<()> {
        if agents.len() > READY_AGENTS_MAX {
            let text = format!("{} agents are registered, at most {READY_AGENTS_MAX} are allowed", agents.len());
            return Err(PyValueError::new_err(text));
        }
        let agents = agents.iter().map(|agent| AgentName::parse(agent)).collect::<Result<Vec<_>, _>>();
        let agents = agents.map_err(|fault| PyValueError::new_err(fault.to_string()))?;
        self.booting("ready", |channel, _| channel.report(&Report::Ready { agents }))?
            .map_err(|error| faults::of_channel(&error))?;
        let mut stage = self.stage();
        if let Stage::Booting { channel, .. } = std::mem::replace(&mut *stage, Stage::Broken) {
            let (socket, reader, fds) = channel.into_parts();
            socket.set_nonblocking(true)?;
            let (incoming, outgoing, bounds) =
                (Incoming::new(reader, fds), Outgoing::default(), ReportBounds::default());
            *stage = Stage::Serving(Serving { socket, incoming, outgoing, bounds });
        }
        Ok(())
    }

    /// Sends a line of the host's own log.
    #[pyo3(name = "log")]
    fn log_line(&self, level: &str, message: &Bound<'_, PyString>) -> PyResult<()> {
        let line = Report::Log { level: self::level(level)?, message: message.to_string_lossy().into_owned() };
        let line = ReportBounds::default().apply(line).map_err(|error| unsendable(&error))?;
        match &mut *self.stage() {
            Stage::Booting { channel, .. } => channel.report(&line).map_err(|error| faults::of_channel(&error)),
            Stage::Serving(serving) => {
                serving.outgoing.offer(&line).map_err(|error| unsendable(&error))?;
                let _ = serving.write();
                Ok(())
            }
            Stage::Broken => Err(faults::ended()),
        }
    }

    /// The socket's descriptor.
    fn fileno(&self) -> RawFd {
        self.fd
    }

    /// The commands that are there.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let commands =
            self.serving("receive", |serving| serving.commands().map_err(|error| faults::of_channel(&error)))?;
        let setting_up = |command: &&Command| {
            matches!(command, Command::Welcome(_) | Command::Proceed { .. } | Command::Configure(_))
        };
        if let Some(command) = commands.iter().find(setting_up) {
            let name = dialogue::name(command);
            return Err(ChannelError::new_err(format!("{name} came after the host was ready")));
        }
        commands.iter().map(|command| json::command(py, command)).collect()
    }

    /// The oldest received descriptor.
    fn take_fd(&self) -> PyResult<RawFd> {
        let fd = self.serving("take_fd", |serving| Ok(serving.incoming.take_fd()))?;
        fd.map(IntoRawFd::into_raw_fd).ok_or_else(|| PyOSError::new_err("no descriptor came with the session"))
    }

    /// Queues a report that is never dropped.
    fn report(&self, name: &str, fields: &Bound<'_, PyDict>) -> PyResult<()> {
        let report = json::report(name, fields)?;
        self.serving("report", |serving| {
            let report = serving.bounds.apply(report).map_err(|error| unsendable(&error))?;
            serving.outgoing.report(&report).map_err(|error| unsendable(&error))?;
            // That the supervisor is gone is told by `receive`.
            let _ = serving.write();
            if serving.outgoing.is_overfull() {
                let text = format!("more than {REPORT_BYTES_QUEUED_MAX} bytes of reports wait to be read");
                return Err(PyBufferError::new_err(text));
            }
            Ok(())
        })
    }

    /// Queues an event or a log line, unless too much waits.
    fn offer(&self, name: &str, fields: &Bound<'_, PyDict>) -> PyResult<bool> {
        let report = json::report(name, fields)?;
        self.serving("offer", |serving| {
            let report = serving.bounds.apply(report).map_err(|error| unsendable(&error))?;
            let taken = serving.outgoing.offer(&report).map_err(|error| unsendable(&error))?;
            let _ = serving.write();
            Ok(taken)
        })
    }

    /// Writes what the socket takes.
    fn flush(&self) -> PyResult<bool> {
        self.serving("flush", |serving| serving.write().map_err(|error| faults::of_channel(&error.into())))
    }

    /// Events dropped since the start.
    #[getter]
    fn events_dropped(&self) -> u64 {
        match &*self.stage() {
            Stage::Serving(serving) => serving.outgoing.events_dropped(),
            Stage::Booting { .. } | Stage::Broken => 0,
        }
    }
}

/// Takes over the channel of a host that was started cold.
#[pyfunction]
pub(crate) fn adopt_channel() -> PyResult<Channel> {
    match openrtc_tenant_host::sys::channel::adopt(CHANNEL_FD) {
        Ok(socket) => Ok(Channel::new(socket, Inherited::Nothing, false)),
        Err(error) => Err(HostError::new_err(format!(
            "{}. This module is started by openrtc-supervisor, which gives it a channel",
            faults::failed_to(&error)
        ))),
    }
}
