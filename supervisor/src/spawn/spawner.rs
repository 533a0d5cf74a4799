//! The spawner: one thread that makes every process, and the handle that asks it.
//!
//! Owns: the thread, its queue and its bell, and the kinds of hosts that it makes. Never: ends before the supervisor does: hosts ask to die with the thread
//! that made them (decision P1).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openrtc_ipc::{HostId, Need, RuntimeName};
use openrtc_policy::bounds::SPAWNS_QUEUED_MAX;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::COMMAND_RUNTIME;
use crate::spawn::children::ChildTable;
use crate::spawn::cold::Cold;
use crate::spawn::ends::{Ends, Made};
use crate::spawn::helper::{self, Helper, Output};
use crate::spawn::idle::IdleHosts;
use crate::spawn::newborn::{How, Newborn, Unclaimed};
use crate::spawn::state::{Absence, Shown, ZygoteRow, ZygoteState};
use crate::spawn::zygote::Zygote;
use crate::spawn::{HostProgram, LaunchArguments, SpawnError};
use crate::sys::process;

/// An answer, to whoever may still wait for it.
type Answer<T> = oneshot::Sender<Result<Unclaimed<T>, SpawnError>>;

#[derive(Debug)]
enum Request {
    Host { host: HostId, runtime: RuntimeName, how: How, answer: Answer<Newborn> },
    Helper { argv: Vec<String>, answer: Answer<Helper> },
    Warm,
}

/// Asks the spawner thread. Clones ask the same thread.
#[derive(Debug, Clone)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
    bell: Arc<OwnedFd>,
    built_in: Shown,
    zygotes: BTreeMap<RuntimeName, Shown>,
}

impl Spawner {
    /// Starts the thread, and with it the built-in zygote, if the program has one. Those of runtimes with their own wait
    /// for [`Self::warm_runtimes`].
    ///
    /// # Errors
    ///
    /// [`SpawnError::Thread`] when the system gives no thread or descriptor.
    pub fn start(program: HostProgram) -> Result<Self, SpawnError> {
        process::keep_ended_children();
        let (requests, queue) = mpsc::channel(SPAWNS_QUEUED_MAX);
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = Arc::new(bell.map_err(|error| SpawnError::Thread(error.into()))?);
        let HostProgram { path, built_in, runtimes } = program;
        let own =
            RuntimeName::parse(COMMAND_RUNTIME).map_err(|_| SpawnError::Thread(io::ErrorKind::InvalidInput.into()))?;
        let mut known = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        for (runtime, arguments) in runtimes {
            let (kind, shown) = Kind::new(runtime.clone(), &path, arguments, true);
            known.insert(runtime.clone(), shown);
            kinds.insert(runtime, kind);
        }
        let (mut built_in, shown) = Kind::new(own, &path, built_in, false);
        built_in.zygote.want();
        let rung = Arc::clone(&bell);
        let body = move || {
            let children = ChildTable::of_this_process();
            children.add_spawner();
            Thread { path, queue, bell: rung, built_in, kinds, children }.serve()
        };
        std::thread::Builder::new().name("spawner".to_owned()).spawn(body).map_err(SpawnError::Thread)?;
        Ok(Self { requests, bell, built_in: shown, zygotes: known })
    }

    /// Starts the zygotes of all runtimes that have one of their own. Does not wait for them.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Thread`] when the thread has stopped.
    pub async fn warm_runtimes(&self) -> Result<(), SpawnError> {
        self.send(Request::Warm).await
    }

    /// Makes a host of a runtime: its process, walled by nothing yet, waiting to be welcomed. May be abandoned at any time: a host
    /// that nobody takes is killed.
    ///
    /// # Errors
    ///
    /// Names the step that failed; no process is left then.
    pub async fn spawn(&self, host: HostId, runtime: &RuntimeName, how: How) -> Result<Newborn, SpawnError> {
        let (answer, made) = oneshot::channel();
        self.ask(Request::Host { host, runtime: runtime.clone(), how, answer }, made).await
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

    /// Whether hosts of this runtime are forked from a zygote at present.
    pub fn zygote_state(&self, runtime: &RuntimeName) -> ZygoteState {
        self.shown(runtime).state.borrow().clone()
    }

    /// The same, to wait for changes.
    pub fn zygote_changes(&self, runtime: &RuntimeName) -> watch::Receiver<ZygoteState> {
        self.shown(runtime).state.clone()
    }

    /// All of them: the built-in one, as `command`, and those of runtimes with their own.
    pub fn zygote_states(&self) -> Vec<ZygoteRow> {
        let row = |(runtime, shown): (RuntimeName, &Shown)| ZygoteRow {
            runtime,
            state: shown.state.borrow().clone(),
            idle_hosts: shown.idle_hosts.load(Ordering::Relaxed),
        };
        let own = RuntimeName::parse(COMMAND_RUNTIME).ok().map(|name| (name, &self.built_in));
        own.into_iter().chain(self.zygotes.iter().map(|(name, shown)| (name.clone(), shown))).map(row).collect()
    }

    fn shown(&self, runtime: &RuntimeName) -> &Shown {
        self.zygotes.get(runtime).unwrap_or(&self.built_in)
    }

    async fn send(&self, request: Request) -> Result<(), SpawnError> {
        self.requests.send(request).await.map_err(|_| gone())?;
        // It fails only when the counter is full, and then the bell has not been heard yet.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        Ok(())
    }

    async fn ask<T>(
        &self,
        request: Request,
        made: oneshot::Receiver<Result<Unclaimed<T>, SpawnError>>,
    ) -> Result<T, SpawnError> {
        self.send(request).await?;
        made.await.map_err(|_| gone())??.claim().ok_or_else(gone)
    }
}

/// One kind of host: what makes it, its zygote, and those that wait.
struct Kind {
    args: Vec<std::ffi::OsString>,
    zygote: Zygote,
    idle: IdleHosts,
}

impl Kind {
    fn new(runtime: RuntimeName, path: &Path, arguments: LaunchArguments, talks: bool) -> (Self, Shown) {
        let (LaunchArguments { host, zygote, idle_hosts: wanted }, children) =
            (arguments, ChildTable::of_this_process());
        let absence = if zygote.is_empty() { Absence::None } else { Absence::Starting };
        let (says, state) = watch::channel(ZygoteState::Absent(absence));
        let idle_hosts = Arc::new(AtomicUsize::new(0));
        let idle = IdleHosts::new(runtime.clone(), wanted, Arc::clone(&idle_hosts), children);
        let zygote = Zygote::new(runtime, path, zygote, talks, says, children);
        (Self { args: host, zygote, idle }, Shown { state, idle_hosts })
    }

    fn tend(&mut self) {
        self.zygote.tend();
        self.idle.tend();
    }

    fn refill(&mut self) {
        self.idle.refill(&mut self.zygote);
    }

    /// When [`Self::tend`] or [`Self::refill`] is due even if nothing happens.
    fn due(&self) -> Option<Instant> {
        self.zygote.due().into_iter().chain(self.idle.due(&self.zygote)).min()
    }
}

fn gone() -> SpawnError {
    SpawnError::Thread(io::ErrorKind::BrokenPipe.into())
}

/// What the thread holds.
struct Thread {
    path: PathBuf,
    queue: mpsc::Receiver<Request>,
    bell: Arc<OwnedFd>,
    built_in: Kind,
    kinds: BTreeMap<RuntimeName, Kind>,
    children: &'static ChildTable,
}

impl Thread {
    fn serve(mut self) {
        loop {
            self.built_in.tend();
            self.kinds.values_mut().for_each(Kind::tend);
            while let Ok(request) = self.queue.try_recv() {
                self.answer(request);
            }
            // After whoever waits for a host now.
            self.kinds.values_mut().for_each(Kind::refill);
            self.built_in.refill();
            self.wait();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Kind> {
        std::iter::once(&self.built_in).chain(self.kinds.values())
    }

    /// Until the bell rings, or a zygote or an idle host needs tending.
    fn wait(&self) {
        let mut watched: Vec<_> =
            self.all().flat_map(|kind| kind.zygote.watched().chain(kind.idle.watched())).collect();
        watched.push(PollFd::new(&*self.bell, PollFlags::IN));
        let limit = self.all().filter_map(Kind::due).min().map(|due| {
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
            Request::Host { host, runtime, how, answer } => {
                let made =
                    self.host(host, &runtime, how).map(|newborn| Unclaimed::new(&newborn.process.clone(), newborn));
                drop(answer.send(made));
            }
            Request::Helper { argv, answer } => {
                let made = helper::start(&argv, self.children);
                drop(answer.send(made.map(|helper| Unclaimed::new(&helper.process().clone(), helper))));
            }
            Request::Warm => self.kinds.values_mut().for_each(|kind| {
                kind.zygote.want();
                kind.tend();
            }),
        }
    }

    fn host(&mut self, host: HostId, runtime: &RuntimeName, how: How) -> Result<Newborn, SpawnError> {
        let begun = Instant::now();
        let Kind { args, zygote, idle } = self.kinds.get_mut(runtime).unwrap_or(&mut self.built_in);
        if how != How::Cold
            && let Some((process, ours)) = idle.take()
        {
            return Ok(ours.newborn(host, process, Made::Warm(How::Ahead), begun));
        }
        if how != How::Cold && zygote.is_warm() {
            let (ours, theirs) = Ends::make()?;
            if let Some(process) = zygote.fork(Need::Now, theirs.each_ref().map(std::os::fd::AsFd::as_fd)) {
                return Ok(ours.newborn(host, process, Made::Warm(How::Zygote), begun));
            }
            // These ends are not used again: a zygote that failed may have made a host that holds them.
        }
        let (ours, [channel, stdout, stderr]) = Ends::make()?;
        let cold = Cold {
            program: &self.path,
            args,
            directory: Some("/"),
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
            channel: Some(channel),
        };
        let process = cold.spawn(self.children)?;
        let why = if how == How::Cold { None } else { zygote.absence() };
        Ok(ours.newborn(host, process, Made::Cold(why), begun))
    }
}
