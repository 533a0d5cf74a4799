//! The spawner: one thread that makes every process, and the handle that asks it.
//!
//! Owns: the thread, its queue and its bell. Never: ends before the supervisor does: hosts ask to die with the thread
//! that made them (decision P1).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openrtc_ipc::HostId;
use openrtc_policy::bounds::SPAWNS_QUEUED_MAX;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;
use tokio::sync::{mpsc, oneshot, watch};

use crate::spawn::children::ChildTable;
use crate::spawn::cold::Cold;
use crate::spawn::helper::{self, Helper, Output};
use crate::spawn::newborn::{How, Newborn, Process, Unclaimed};
use crate::spawn::zygote::{Zygote, ZygoteState};
use crate::spawn::{HostProgram, SpawnError};
use crate::sys::process;

/// An answer, to whoever may still wait for it.
type Answer<T> = oneshot::Sender<Result<Unclaimed<T>, SpawnError>>;

#[derive(Debug)]
enum Request {
    Host { host: HostId, how: How, answer: Answer<Newborn> },
    Helper { argv: Vec<String>, answer: Answer<Helper> },
}

/// Asks the spawner thread. Clones ask the same thread.
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
    bell: Arc<OwnedFd>,
    zygote: watch::Receiver<ZygoteState>,
}

impl Spawner {
    /// Starts the thread, and with it the zygote, if the program has one.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Thread`] when the system gives no thread or descriptor.
    pub fn start(program: HostProgram) -> Result<Self, SpawnError> {
        process::keep_ended_children();
        let (requests, queue) = mpsc::channel(SPAWNS_QUEUED_MAX);
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = Arc::new(bell.map_err(|error| SpawnError::Thread(error.into()))?);
        let reason = if program.zygote_args.is_empty() { "the host program has none" } else { "it is starting" };
        let (state, zygote) = watch::channel(ZygoteState::Absent(reason.to_owned()));
        let children = ChildTable::of_this_process();
        let rung = Arc::clone(&bell);
        let body = move || {
            children.add_spawner();
            let zygote = Zygote::new(!program.zygote_args.is_empty(), state, children);
            Thread { program, queue, bell: rung, zygote, children }.serve()
        };
        std::thread::Builder::new().name("spawner".to_owned()).spawn(body).map_err(SpawnError::Thread)?;
        Ok(Self { requests, bell, zygote })
    }

    /// Makes a host: its process, walled by nothing yet, waiting to be welcomed. May be abandoned at any time: a host
    /// that nobody takes is killed.
    ///
    /// # Errors
    ///
    /// Names the step that failed; no process is left then.
    pub async fn spawn(&self, host: HostId, how: How) -> Result<Newborn, SpawnError> {
        let (answer, made) = oneshot::channel();
        self.ask(Request::Host { host, how, answer }, made).await
    }

    /// Runs a program to its end for what it prints: `argv` executed without a shell, in the supervisor's directory, with
    /// the passed variables only, `stdin` (or nothing) on its standard input, and the supervisor's identity. It and its
    /// process group are killed at the end, after `timeout`, or when this is abandoned.
    ///
    /// # Errors
    ///
    /// When it cannot be executed, takes too long or prints too much. Not when it fails by itself: see
    /// [`Output::status`].
    pub async fn run(&self, argv: &[String], stdin: Option<Vec<u8>>, timeout: Duration) -> Result<Output, SpawnError> {
        let (answer, made) = oneshot::channel();
        let helper = self.ask(Request::Helper { argv: argv.to_vec(), answer }, made).await?;
        helper::follow(helper, stdin, timeout).await
    }

    /// Whether hosts are forked from a zygote at present.
    pub fn zygote_state(&self) -> ZygoteState {
        self.zygote.borrow().clone()
    }

    /// The same, to wait for changes.
    pub fn zygote_changes(&self) -> watch::Receiver<ZygoteState> {
        self.zygote.clone()
    }

    async fn ask<T>(
        &self,
        request: Request,
        made: oneshot::Receiver<Result<Unclaimed<T>, SpawnError>>,
    ) -> Result<T, SpawnError> {
        self.requests.send(request).await.map_err(|_| gone())?;
        // It fails only when the counter is full, and then the bell has not been heard yet.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        made.await.map_err(|_| gone())??.claim().ok_or_else(gone)
    }
}

fn gone() -> SpawnError {
    SpawnError::Thread(io::ErrorKind::BrokenPipe.into())
}

/// What the thread holds.
struct Thread {
    program: HostProgram,
    queue: mpsc::Receiver<Request>,
    bell: Arc<OwnedFd>,
    zygote: Zygote,
    children: &'static ChildTable,
}

impl Thread {
    fn serve(mut self) {
        loop {
            self.zygote.tend(&self.program);
            while let Ok(request) = self.queue.try_recv() {
                self.answer(request);
            }
            self.wait();
        }
    }

    /// Until the bell rings, or the zygote needs tending.
    fn wait(&self) {
        let mut watched: Vec<_> = self.zygote.watched().collect();
        watched.push(PollFd::new(&*self.bell, PollFlags::IN));
        let limit = self.zygote.due().map(|due| {
            // Rounded up, so as not to come a moment too early and turn in circles.
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let _ = rustix::event::poll(&mut watched, limit.as_ref());
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
    }

    fn answer(&mut self, request: Request) {
        // Where nobody waits any more, the send hands the process back, and dropping it kills it.
        match request {
            Request::Host { answer, .. } if answer.is_closed() => {}
            Request::Helper { answer, .. } if answer.is_closed() => {}
            Request::Host { host, how, answer } => {
                let made = self.host(host, how).map(|newborn| Unclaimed::new(&newborn.process.clone(), newborn));
                drop(answer.send(made));
            }
            Request::Helper { argv, answer } => {
                let made = helper::start(&argv, self.children);
                drop(answer.send(made.map(|helper| Unclaimed::new(&helper.process().clone(), helper))));
            }
        }
    }

    fn host(&mut self, host: HostId, how: How) -> Result<Newborn, SpawnError> {
        let begun = Instant::now();
        if how == How::Zygote && self.zygote.is_warm() {
            let (ours, theirs) = ends()?;
            let [channel, stdout, stderr] = theirs.each_ref().map(std::os::fd::AsFd::as_fd);
            if let Some(process) = self.zygote.fork([channel, stdout, stderr]) {
                return Ok(ours.newborn(host, process, How::Zygote, begun));
            }
            // These ends are not used again: a zygote that failed may have made a host that holds them.
        }
        let (ours, [channel, stdout, stderr]) = ends()?;
        let cold = Cold {
            program: &self.program.path,
            args: &self.program.args,
            directory: Some("/"),
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
            channel: Some(channel),
        };
        let process = cold.spawn(self.children)?;
        Ok(ours.newborn(host, process, How::Cold, begun))
    }
}

/// Our ends of what connects us to a host.
struct Ends {
    channel: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Ends {
    fn newborn(self, host: HostId, process: Process, how: How, begun: Instant) -> Newborn {
        let Self { channel, stdout, stderr } = self;
        Newborn { host, process, channel, stdout, stderr, how, took: begun.elapsed() }
    }
}

/// Our ends, non-blocking, and the host's channel, standard output and standard error, which block.
fn ends() -> Result<(Ends, [OwnedFd; 3]), SpawnError> {
    let make = || -> io::Result<_> {
        let (channel, their_channel) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let (stdout, their_stdout) = pipe_to_us()?;
        let (stderr, their_stderr) = pipe_to_us()?;
        Ok((Ends { channel, stdout, stderr }, [their_channel.into(), their_stdout, their_stderr]))
    };
    make().map_err(SpawnError::Channel)
}

/// A pipe whose reading end, the first, does not block.
pub(super) fn pipe_to_us() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}
