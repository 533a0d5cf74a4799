//! One running program of the `command` runtime: started, watched, and killed with its tree.
//!
//! Owns: the program's process, its pipes and its directory. Never: leaves any of them behind.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, pipe2};
use openrtc_ipc::SessionId;
use rustix::io::fcntl_dupfd_cloexec;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use crate::command_agent::contract::environment;
use crate::command_agent::tree::Trees;
use crate::session::Session;
use crate::settings::Settings;
use crate::sys::process::watch;
use crate::sys::program::{INPUT_FD, arrange};

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("make the session's directory {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("start {program}: no such program; check `command`, and the interpreter that its first line names")]
    NotFound { program: String },
    #[error(
        "start {program}: permission denied; make it executable, or let the host read it and its interpreter with \
         `[wall] read_paths`"
    )]
    Denied { program: String },
    #[error("start {program}")]
    Exec {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("make a pipe for {program}")]
    Pipe {
        program: String,
        #[source]
        source: io::Error,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(Signal),
    /// It was reaped by somebody else; nobody does that.
    Unknown,
}

/// A session's own directory, removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn create(work_dir: &Path, session: SessionId) -> Result<Self, StartError> {
        let path = work_dir.join(session.to_string());
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(StartError::Directory { path, source }),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed goes with the host's own directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a program writes, and what it reads.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: pipe::Sender,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
    pub(crate) events: pipe::Receiver,
}

/// A running program. Dropping it kills its tree.
#[derive(Debug)]
pub(crate) struct Program {
    leader: Pid,
    exited: AsyncFd<OwnedFd>,
    trees: Rc<Trees>,
    _directory: Directory,
}

impl Program {
    /// Starts the program of a session.
    pub(crate) fn start(
        argv: &[String],
        session: &Session,
        input: Option<&OwnedFd>,
        settings: &Settings,
        trees: &Rc<Trees>,
    ) -> Result<(Self, Pipes), StartError> {
        let info = session.info();
        let program = argv.first().cloned().unwrap_or_default();
        let pipe_error = |source: io::Error| StartError::Pipe { program: program.clone(), source };
        let directory = Directory::create(&settings.work_dir, info.session)?;
        let _reserved = reserve_low_descriptors().map_err(pipe_error)?;
        let (events, events_out) = pipe2(OFlag::O_CLOEXEC).map_err(|error| pipe_error(error.into()))?;
        let mut command = Command::new(&program);
        command.args(argv.iter().skip(1)).current_dir(&directory.0);
        command.env_clear().envs(environment(settings, info, &directory.0));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        arrange(&mut command, events_out.as_fd(), input.map(AsFd::as_fd));
        let mut child = command.spawn().map_err(|source| exec_error(&program, source))?;
        // The kernel gives no pid above the range of pid_t.
        let leader = Pid::from_raw(child.id() as i32);
        trees.add(leader);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let exited = watch(&child).map_err(|source| {
            trees.signal(leader, Signal::SIGKILL);
            trees.forget(leader);
            StartError::Exec { program: program.clone(), source }
        })?;
        let running = Self { leader, exited, trees: Rc::clone(trees), _directory: directory };
        let pipes = Pipes::new(stdin, stdout.map(OwnedFd::from), stderr.map(OwnedFd::from), events);
        Ok((running, pipes.map_err(pipe_error)?))
    }

    /// Waits until the program itself has ended. It is not reaped yet.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.exited.readable().await.map(drop)
    }

    /// Signals the program's process group.
    pub(crate) fn signal(&self, signal: Signal) {
        self.trees.signal(self.leader, signal);
    }

    /// Reaps the program, which has ended, and kills whatever it left behind.
    pub(crate) async fn reap(&self) -> Ended {
        let status = self.trees.reap(self.leader);
        self.trees.sweep().await;
        match status {
            Some(WaitStatus::Exited(_, code)) => Ended::Code(code),
            Some(WaitStatus::Signaled(_, signal, _)) => Ended::Signal(signal),
            _ => Ended::Unknown,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.trees.signal(self.leader, Signal::SIGKILL);
        self.trees.forget(self.leader);
    }
}

impl Pipes {
    fn new(
        stdin: Option<ChildStdin>,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
        events: OwnedFd,
    ) -> io::Result<Self> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Self {
            stdin: pipe::Sender::from_owned_fd(stdin.ok_or_else(missing)?.into())?,
            stdout: pipe::Receiver::from_owned_fd(stdout.ok_or_else(missing)?)?,
            stderr: pipe::Receiver::from_owned_fd(stderr.ok_or_else(missing)?)?,
            events: pipe::Receiver::from_owned_fd(events)?,
        })
    }
}

fn exec_error(program: &str, source: io::Error) -> StartError {
    let program = program.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => StartError::NotFound { program },
        io::ErrorKind::PermissionDenied => StartError::Denied { program },
        _ => StartError::Exec { program, source },
    }
}

/// Opens something on each free descriptor up to that of the recording, so that nothing else comes to lie there.
fn reserve_low_descriptors() -> io::Result<Vec<OwnedFd>> {
    let mut reserved = Vec::new();
    loop {
        let fd = fcntl_dupfd_cloexec(io::stdin(), 0)?;
        if fd.as_raw_fd() > INPUT_FD {
            return Ok(reserved);
        }
        reserved.push(fd);
    }
}
