//! A host that serves: commands in, sessions run, reports out.
//!
//! Owns: the loop, its answers to pings and the way it leaves. Never: blocks, or outlives its channel.
//!
//! ```text
//! Serving ──Drain──► Draining ──last session ended──► Bye
//!    └──Shutdown, SIGTERM──► Leaving ──last session ended, or grace over──► Bye
//! (any) ──end of the channel──► gone at once
//! ```

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::snapshot::SNAPSHOT_SESSIONS_MAX;
use openrtc_ipc::{Command, HostSnapshot, LogLevel, Report, WireError};
use tokio::time::{Instant, sleep_until, timeout};

use crate::agent::Agent;
use crate::channel::{Inbox, Outbox, OutboxError, split};
use crate::command_agent::tree::Trees;
use crate::sessions::{Sessions, StartError};
use crate::settings::Settings;
use crate::sys::signals::arrivals;

/// Pings between two snapshots.
const PINGS_PER_SNAPSHOT: u32 = 4;
/// How long the last reports may take to be read.
const FLUSH: Duration = Duration::from_secs(1);

/// Why a host stopped that was not told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The system refused what the loop needs.
    #[error("set up the event loop")]
    Loop(#[source] io::Error),
    /// The supervisor's bytes made no sense.
    #[error("read a command")]
    Command(#[source] ChannelError),
    /// A command came that belongs to the setting up.
    #[error("serve: {command} came after the host was ready")]
    OutOfTurn {
        /// Its name.
        command: &'static str,
    },
    /// The supervisor does not read.
    #[error("report: {bytes_max} bytes wait to be read")]
    NotRead {
        /// The bound.
        bytes_max: usize,
    },
    /// A report could not be written.
    #[error("write a report")]
    Report(#[from] WireError),
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    Leaving { reason: &'static str, deadline: Instant },
}

struct Host {
    inbox: Inbox,
    outbox: Outbox,
    sessions: Sessions,
    settings: Rc<Settings>,
    stage: Stage,
    pings: u32,
    lag: Rc<Cell<Duration>>,
}

/// Serves until told to leave, or until the channel ends. Must run in a `LocalSet`.
pub(crate) async fn serve(
    channel: Channel,
    settings: Rc<Settings>,
    agents: Vec<Rc<dyn Agent>>,
    trees: Option<Rc<Trees>>,
) -> Result<(), HostError> {
    let (inbox, outbox) = split(channel).map_err(HostError::Loop)?;
    let sessions = Sessions::new(agents, Rc::clone(&settings), outbox.clone());
    let lag = Rc::new(Cell::new(Duration::ZERO));
    let mut host = Host { inbox, outbox, sessions, settings, stage: Stage::Serving, pings: 0, lag };
    if let Some(fault) = trees.as_ref().and_then(|trees| trees.fault()) {
        host.sessions.log(LogLevel::Warn, fault);
    }
    let sweeper = trees.clone().map(|trees| tokio::task::spawn_local(async move { trees.sweep_for_ever().await }));
    let outcome = host.run().await;
    host.sessions.drop_all();
    sweeper.inspect(|task| task.abort());
    if let Some(trees) = trees {
        trees.kill_all().await;
    }
    outcome
}

impl Host {
    async fn run(&mut self) -> Result<(), HostError> {
        let terminated = arrivals(Signal::SIGTERM).map_err(HostError::Loop)?;
        let outbox = self.outbox.clone();
        let mut writer = std::pin::pin!(outbox.write());
        while !self.has_finished() {
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                command = self.inbox.next() => match command {
                    Ok(command) => self.obey(command)?,
                    Err(error) => return ended(error),
                },
                error = &mut writer => return unwritten(error),
                Ok(()) = terminated.next() => self.leave("terminated", self.settings.terminate_grace),
                () = self.sessions.next_ended(), if !self.sessions.is_empty() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.on_deadline(),
            }
        }
        let reason = match self.stage {
            Stage::Leaving { reason, .. } => reason,
            Stage::Serving | Stage::Draining => "drained",
        };
        self.outbox.report(&Report::Bye { reason: reason.to_owned() })?;
        let flushed = async {
            tokio::select! { _ = &mut writer => {}, () = self.outbox.flushed() => {} }
        };
        let _ = timeout(FLUSH, flushed).await;
        Ok(())
    }

    fn has_finished(&self) -> bool {
        self.stage != Stage::Serving && self.sessions.is_empty()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let leaving = match self.stage {
            Stage::Leaving { deadline, .. } => Some(deadline),
            Stage::Serving | Stage::Draining => None,
        };
        self.sessions.next_overdue().into_iter().chain(leaving).min()
    }

    fn on_deadline(&mut self) {
        match self.stage {
            Stage::Leaving { deadline, .. } if deadline <= Instant::now() => self.sessions.drop_all(),
            _ => self.sessions.drop_overdue(),
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), HostError> {
        match command {
            Command::StartSession { info, call, input, output, .. } => {
                let fd = if input { self.inbox.take_fd().map(Some).ok_or(StartError::NoInput) } else { Ok(None) };
                if output {
                    // Agents of this host have no voice to keep.
                    drop(self.inbox.take_fd());
                }
                let fd = if self.stage == Stage::Serving { fd } else { Err(StartError::Draining) };
                self.sessions.start(info, call, fd);
            }
            // Agents of this host leave their rooms by ending.
            Command::LeaveRoom { .. } => {}
            Command::EndSession { session, reason } => {
                self.sessions.end(session, &reason, self.settings.terminate_grace);
            }
            Command::Ping { nonce } => self.pong(nonce)?,
            Command::Drain if self.stage == Stage::Serving => self.stage = Stage::Draining,
            Command::Drain => {}
            Command::Shutdown { grace_ms } => self.leave("shutdown", Duration::from_millis(grace_ms)),
            Command::Welcome(_) => return Err(HostError::OutOfTurn { command: "Welcome" }),
            Command::Proceed { .. } => return Err(HostError::OutOfTurn { command: "Proceed" }),
            Command::Configure(_) => return Err(HostError::OutOfTurn { command: "Configure" }),
        }
        Ok(())
    }

    /// Ends every session and then leaves. Agents get three quarters of the grace, so that their ends can be told.
    fn leave(&mut self, reason: &'static str, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.sessions.end_all(reason, self.settings.terminate_grace.min(grace * 3 / 4));
        self.stage = match self.stage {
            Stage::Leaving { reason, deadline: before } => Stage::Leaving { reason, deadline: before.min(deadline) },
            Stage::Serving | Stage::Draining => Stage::Leaving { reason, deadline },
        };
    }

    /// Answers at once, then measures how long one turn of every runnable task takes.
    fn pong(&mut self, nonce: u64) -> Result<(), HostError> {
        self.outbox.report(&Report::Pong { nonce })?;
        let _ = self.outbox.write_now();
        self.pings += 1;
        if self.pings.is_multiple_of(PINGS_PER_SNAPSHOT) {
            let sessions = self.sessions.ids().take(SNAPSHOT_SESSIONS_MAX).collect();
            let loop_lag_micros = self.lag.get().as_micros() as u64;
            let events_dropped = self.outbox.events_dropped();
            self.outbox.offer(&Report::Snapshot(HostSnapshot { sessions, events_dropped, loop_lag_micros }))?;
        }
        let (lag, asked) = (Rc::clone(&self.lag), Instant::now());
        tokio::task::spawn_local(async move {
            tokio::task::yield_now().await;
            lag.set(asked.elapsed());
        });
        Ok(())
    }
}

/// The end of the channel is the supervisor's end, and no error of ours.
fn ended(error: ChannelError) -> Result<(), HostError> {
    match error {
        ChannelError::Closed => Ok(()),
        ChannelError::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        error => Err(HostError::Command(error)),
    }
}

fn unwritten(error: OutboxError) -> Result<(), HostError> {
    match error {
        OutboxError::Io(_) => Ok(()),
        OutboxError::NotRead { bytes_max } => Err(HostError::NotRead { bytes_max }),
    }
}
