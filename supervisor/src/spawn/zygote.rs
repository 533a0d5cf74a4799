//! The supervisor's half of a zygote: starting it, asking it to fork, noticing its death, trying again.
//!
//! Owns: the zygote's process and socket, and the back-off. Never: makes a host's start depend on it: whatever goes
//! wrong here, the host is made cold.
//!
//! ```text
//! Waiting ──due──► Starting ──Ready──► Warm
//!    ▲                │ death, silence   │ death, silence, nonsense
//!    └────back-off────┴──────────────────┘      Off: no zygote is wanted, or not yet
//! ```

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openrtc_ipc::zygote::{FORK_FDS, MESSAGE_BYTES_MAX};
use openrtc_ipc::{Need, RuntimeName, ZygoteFork, ZygoteReply, fds};
use openrtc_policy::bounds::{ZYGOTE_REPLY_MS, ZYGOTE_WARM_MS};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::sync::watch;

use crate::spawn::SpawnError;
use crate::spawn::children::ChildTable;
use crate::spawn::cold::Cold;
use crate::spawn::ends::pipe_to_us;
use crate::spawn::newborn::Process;
use crate::spawn::state::{Absence, ZygoteState};
use crate::spawn::zygote_output::ZygoteOutput;
use crate::sys::process::{self, Ended, Found, Whom};
use crate::telemetry::escape::escaped;

/// Wait before the second start; doubled for each further one until a zygote was warm for [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two starts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What there is of a zygote.
#[derive(Debug)]
enum Phase {
    Off,
    Waiting { until: Instant },
    Starting { process: Process, socket: OwnedFd, output: Option<ZygoteOutput>, deadline: Instant },
    Warm { process: Process, socket: OwnedFd, output: Option<ZygoteOutput>, since: Instant },
}

/// A runtime's zygote, as the spawner thread keeps it.
#[derive(Debug)]
pub(super) struct Zygote {
    runtime: RuntimeName,
    /// The executable, and what makes it this zygote.
    program: PathBuf,
    args: Vec<OsString>,
    /// Whether it runs code that is not ours, and so may have something to say.
    talks: bool,
    phase: Phase,
    backoff: Duration,
    state: watch::Sender<ZygoteState>,
    children: &'static ChildTable,
}

impl Zygote {
    /// None yet, and none before [`Self::want`].
    pub(super) fn new(
        runtime: RuntimeName,
        program: &Path,
        args: Vec<OsString>,
        talks: bool,
        state: watch::Sender<ZygoteState>,
        children: &'static ChildTable,
    ) -> Self {
        let (phase, backoff) = (Phase::Off, BACKOFF_FIRST);
        Self { runtime, program: program.to_owned(), args, talks, phase, backoff, state, children }
    }

    /// From now on there is to be one.
    pub(super) fn want(&mut self) {
        if matches!(self.phase, Phase::Off) && !self.args.is_empty() {
            self.phase = Phase::Waiting { until: Instant::now() };
        }
    }

    /// Does what is due: starts one, hears its word, notices its death, reads its output.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        if let Phase::Starting { output: Some(output), .. } | Phase::Warm { output: Some(output), .. } = &mut self.phase
        {
            output.read();
        }
        match &self.phase {
            Phase::Off => {}
            Phase::Waiting { until } if now < *until => {}
            Phase::Waiting { .. } => self.start(),
            Phase::Starting { socket, deadline, .. } => match receive(socket) {
                Ok((ZygoteReply::Ready, _)) => self.warm(now),
                Ok((ZygoteReply::Unfit { why }, _)) => self.lose(|_, _| Absence::Unfit(escaped(&why).into_owned())),
                Ok(_) => self.lose(|_, _| Absence::Silent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && now < *deadline => self.bury_if_dead(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.lose(|_, _| Absence::Slow { limit_ms: ZYGOTE_WARM_MS });
                }
                Err(_) => self.lose(died),
            },
            Phase::Warm { .. } => self.bury_if_dead(),
        }
    }

    /// Whether it can be asked.
    pub(super) fn is_warm(&self) -> bool {
        matches!(self.phase, Phase::Warm { .. })
    }

    /// Why hosts of this runtime are made cold at present.
    pub(super) fn absence(&self) -> Option<Absence> {
        match &*self.state.borrow() {
            ZygoteState::Warm => None,
            ZygoteState::Absent(absence) => Some(absence.clone()),
        }
    }

    /// Asks it for a host with these ends. `None`: there is none, or it failed; a host that is needed is made cold then.
    pub(super) fn fork(&mut self, need: Need, ends: [BorrowedFd<'_>; FORK_FDS]) -> Option<Process> {
        let Phase::Warm { socket, .. } = &self.phase else { return None };
        let fork = self.children.fork();
        match ask(socket, need, ends) {
            Ok(Asked::Forked(process)) => {
                fork.made(process.pid());
                self.say(ZygoteState::Warm);
                Some(process)
            }
            // It lives and may be able to the next time (`EAGAIN`); this host is made cold.
            Ok(Asked::Declined(why)) => {
                self.say(ZygoteState::Absent(why));
                None
            }
            Err(error) => {
                drop(fork);
                let gone = ended(&error);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(runtime = %self.runtime, error, "zygote failed to fork");
                // Its death may not have been noticed yet.
                if gone {
                    self.lose(died)
                } else {
                    self.lose(|_, _| Absence::Silent)
                }
                None
            }
        }
    }

    /// Descriptors whose readiness calls for [`Self::tend`].
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        let (process, socket, output) = match &self.phase {
            Phase::Off | Phase::Waiting { .. } => (None, None, None),
            Phase::Starting { process, socket, output, .. } => (Some(process), Some(socket), output.as_ref()),
            // When warm it speaks only when asked; its death shows on the pidfd.
            Phase::Warm { process, output, .. } => (Some(process), None, output.as_ref()),
        };
        let process = process.map(|process| PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN));
        let socket = socket.map(|socket| PollFd::new(socket, PollFlags::IN));
        process.into_iter().chain(socket).chain(output.and_then(ZygoteOutput::watched))
    }

    /// When [`Self::tend`] is due even if nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Off | Phase::Warm { .. } => None,
            Phase::Waiting { until } => Some(*until),
            Phase::Starting { deadline, .. } => Some(*deadline),
        }
    }

    fn start(&mut self) {
        match self.make() {
            Ok((process, socket, output)) => {
                let deadline = Instant::now() + Duration::from_millis(ZYGOTE_WARM_MS);
                self.phase = Phase::Starting { process, socket, output, deadline };
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.wait(Absence::NotMade(format!("failed to {error}{cause}")));
            }
        }
    }

    fn make(&self) -> Result<(Process, OwnedFd, Option<ZygoteOutput>), SpawnError> {
        let (ours, theirs) = pair().map_err(SpawnError::Channel)?;
        let mut cold = Cold {
            program: &self.program,
            args: &self.args,
            directory: Some("/"),
            stdin: None,
            stdout: None,
            stderr: None,
            channel: Some(theirs),
        };
        let mut output = None;
        if self.talks {
            let (reader, writer) = pipe_to_us().map_err(SpawnError::Channel)?;
            cold.stdout = Some(writer.try_clone().map_err(SpawnError::Channel)?);
            cold.stderr = Some(writer);
            output = Some(ZygoteOutput::new(self.runtime.clone(), reader));
        }
        Ok((cold.spawn(self.children)?, ours, output))
    }

    fn warm(&mut self, now: Instant) {
        if let Phase::Starting { process, socket, mut output, .. } = std::mem::replace(&mut self.phase, Phase::Off) {
            if let Some(output) = &mut output {
                output.forget();
            }
            self.phase = Phase::Warm { process, socket, output, since: now };
            self.say(ZygoteState::Warm);
        }
    }

    /// Publishes the state, and logs it where it changed.
    fn say(&self, state: ZygoteState) {
        self.state.send_if_modified(|known| {
            let changed = *known != state;
            match &state {
                ZygoteState::Absent(why) if changed => {
                    let remedy = why.remedy();
                    tracing::warn!(runtime = %self.runtime, %why, remedy, "no zygote: hosts are made cold");
                }
                ZygoteState::Warm if changed => tracing::info!(runtime = %self.runtime, "zygote is warm"),
                ZygoteState::Absent(_) | ZygoteState::Warm => {}
            }
            *known = state;
            changed
        });
    }

    fn bury_if_dead(&mut self) {
        let (Phase::Starting { process, .. } | Phase::Warm { process, .. }) = &self.phase else { return };
        if !matches!(process::look(Whom::Pidfd(process.pidfd()), false), Ok(Found::Running)) {
            self.lose(died);
        }
    }

    /// Gives the present zygote up: kills and reaps it, and waits for the next.
    fn lose(&mut self, why: impl FnOnce(Option<Ended>, String) -> Absence) {
        let (process, output, long_warm) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Starting { process, output, .. } => (process, output, false),
            Phase::Warm { process, output, since, .. } => (process, output, since.elapsed() >= BACKOFF_MAX),
            Phase::Off | Phase::Waiting { .. } => return,
        };
        let _ = process.kill();
        let mut died = [PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN)];
        let _ = rustix::event::poll(&mut died, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        let ended = match self.children.reap(&process) {
            Ok(Found::Ended(corpse)) => Some(corpse.ended),
            Ok(Found::Running) | Err(_) => {
                self.children.disown(process.pid());
                None
            }
        };
        if long_warm {
            self.backoff = BACKOFF_FIRST;
        }
        self.wait(why(ended, output.map(ZygoteOutput::last_words).unwrap_or_default()));
    }

    fn wait(&mut self, why: Absence) {
        self.phase = Phase::Waiting { until: Instant::now() + self.backoff };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.say(ZygoteState::Absent(why));
    }
}

/// Whether the other end of the socket is closed.
fn ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn died(ended: Option<Ended>, last: String) -> Absence {
    Absence::Died { how: ended.map(|ended| ended.to_string()).unwrap_or_default(), last }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

enum Asked {
    Forked(Process),
    Declined(Absence),
}

fn ask(socket: &OwnedFd, need: Need, ends: [BorrowedFd<'_>; FORK_FDS]) -> io::Result<Asked> {
    fds::send(socket, &ZygoteFork { need }.encode(), &ends)?;
    let limit =
        Timespec { tv_sec: (ZYGOTE_REPLY_MS / 1000) as i64, tv_nsec: (ZYGOTE_REPLY_MS % 1000) as i64 * 1_000_000 };
    let mut answered = [PollFd::new(socket, PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut answered, Some(&limit)) {}
    match receive(socket)? {
        (ZygoteReply::Forked { pid }, Some(pidfd)) => {
            let process = Process::new(pid, pidfd);
            verify(&process)?;
            Ok(Asked::Forked(process))
        }
        (ZygoteReply::Forked { .. }, None) => Err(io::Error::new(io::ErrorKind::InvalidData, "a host without a pidfd")),
        (ZygoteReply::Refused { threads, names }, _) => {
            let names = escaped(&names).into_owned();
            Ok(Asked::Declined(Absence::Threads { count: threads, names }))
        }
        (ZygoteReply::Failed { errno }, _) => {
            Ok(Asked::Declined(Absence::Declined(io::Error::from_raw_os_error(errno).to_string())))
        }
        (ZygoteReply::Ready | ZygoteReply::Unfit { .. }, _) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "ready a second time"))
        }
    }
}

/// What a zygote hands over must be a child of ours, and have the pid that it says: else a stranger could be killed.
fn verify(process: &Process) -> io::Result<()> {
    process::look(Whom::Pidfd(process.pidfd()), false)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&process.pidfd());
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    if pid == Some(process.pid()) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a pidfd of another process"))
    }
}

/// One datagram that is there, without waiting.
fn receive(socket: impl AsFd) -> io::Result<(ZygoteReply, Option<OwnedFd>)> {
    let mut ready = [PollFd::new(&socket, PollFlags::IN)];
    if rustix::event::poll(&mut ready, Some(&Timespec::default()))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let mut bytes = [0; MESSAGE_BYTES_MAX + 1];
    let mut received = Vec::new();
    match fds::receive(&socket, &mut bytes, &mut received)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok((ZygoteReply::decode(&bytes[..count])?, received.pop())),
    }
}
