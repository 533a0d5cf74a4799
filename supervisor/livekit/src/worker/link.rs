//! Connections: one that counts, and those that are only kept for their jobs.
//!
//! Owns: connecting, registering, moving, liveness, reports of load. Never: a job's fate, except that its connection is
//! gone.

use std::sync::Arc;
use std::time::Instant;

use crate::bounds::{LEAVING_MAX, PING_EVERY, STABLE_AFTER};
use crate::fault::Disconnect;
use crate::proto;
use crate::worker::event::{Lapse, Notice, Output, SocketId};
use crate::worker::jobs::{Job, JobState};
use crate::worker::load::{LoadReport, Reporter};
use crate::worker::{Message, Worker};

/// The connection that counts.
#[derive(Debug)]
pub(crate) enum Link {
    /// Not started.
    Idle,
    /// On its way, or waiting to be.
    Connecting { socket: SocketId },
    /// Upgraded; the server has to confirm.
    Registering { socket: SocketId, since: Instant, heard: Instant },
    /// Jobs may come.
    Registered {
        socket: SocketId,
        since: Instant,
        heard: Instant,
        pinged: Instant,
        reporter: Reporter,
        worker_id: Arc<str>,
        server_version: Arc<str>,
        node_id: Arc<str>,
    },
    /// Shut down.
    Stopped,
}

/// A connection whose server wants us elsewhere, kept for its jobs.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) socket: SocketId,
    pub(crate) heard: Instant,
}

impl Link {
    /// The connection's name.
    pub(crate) fn socket(&self) -> Option<SocketId> {
        match self {
            Self::Connecting { socket } | Self::Registering { socket, .. } | Self::Registered { socket, .. } => {
                Some(*socket)
            }
            Self::Idle | Self::Stopped => None,
        }
    }
}

impl Worker {
    pub(super) fn start(&mut self, out: &mut Vec<Output>) {
        match self.link {
            Link::Idle => self.connect(std::time::Duration::ZERO, out),
            Link::Connecting { .. } | Link::Registering { .. } | Link::Registered { .. } | Link::Stopped => {}
        }
    }

    fn connect(&mut self, after: std::time::Duration, out: &mut Vec<Output>) {
        self.sockets += 1;
        let socket = SocketId(self.sockets);
        self.link = Link::Connecting { socket };
        out.push(Output::Connect { socket, after });
    }

    pub(super) fn opened(&mut self, now: Instant, opened: SocketId, out: &mut Vec<Output>) {
        match self.link {
            Link::Connecting { socket } if socket == opened => {
                self.link = Link::Registering { socket, since: now, heard: now };
                self.send(socket, Message::Register(self.registration.request()), out);
            }
            Link::Connecting { .. }
            | Link::Idle
            | Link::Registering { .. }
            | Link::Registered { .. }
            | Link::Stopped => out.push(Output::Close { socket: opened }),
        }
    }

    pub(super) fn heard(&mut self, now: Instant, from: SocketId) {
        match &mut self.link {
            Link::Registering { socket, heard, .. } | Link::Registered { socket, heard, .. } if *socket == from => {
                *heard = now;
            }
            Link::Registering { .. }
            | Link::Registered { .. }
            | Link::Idle
            | Link::Connecting { .. }
            | Link::Stopped => {
                if let Some(leaving) = self.leaving.iter_mut().find(|leaving| leaving.socket == from) {
                    leaving.heard = now;
                }
            }
        }
    }

    /// The server knows us: tell it of jobs that live on, how full we are, and what ended meanwhile.
    pub(super) fn registered(
        &mut self,
        now: Instant,
        from: SocketId,
        worker_id: String,
        server: Box<proto::ServerInfo>,
        out: &mut Vec<Output>,
    ) {
        let Link::Registering { socket, .. } = self.link else {
            self.counters.messages_unexpected += 1;
            return;
        };
        if socket != from {
            self.counters.messages_unexpected += 1;
            return;
        }
        self.counters.registered += 1;
        self.last_fault = None;
        let report = self.report();
        self.link = Link::Registered {
            socket,
            since: now,
            heard: now,
            pinged: now,
            reporter: Reporter::new(report, now),
            worker_id: worker_id.as_str().into(),
            server_version: server.version.as_str().into(),
            node_id: server.node_id.as_str().into(),
        };
        let resumed = self.adopt(socket, out);
        self.say_load(socket, report, 1, out);
        self.tell_homeless_ends(socket, out);
        for index in 0..self.leaving.len() {
            let socket = self.leaving[index].socket;
            let full = LoadReport { status: proto::WorkerStatus::WsFull, load: 1.0 };
            self.say_load(socket, full, u64::MAX, out);
        }
        out.push(Output::Notice(Notice::Registered { worker_id, server, resumed }));
    }

    /// Jobs whose connection is gone belong to this one now. Jobs that ended meanwhile are named too: for the server they
    /// still run, and their end comes right after. How many live on.
    fn adopt(&mut self, socket: SocketId, out: &mut Vec<Output>) -> usize {
        let mut job_ids: Vec<String> = self.jobs.settle(socket).into_iter().map(|id| id.0).collect();
        let resumed = job_ids.len();
        job_ids.extend(self.ends.homeless().map(str::to_owned));
        if !job_ids.is_empty() {
            self.send(socket, Message::MigrateJob(proto::MigrateJobRequest { job_ids }), out);
        }
        resumed
    }

    /// A connection is over.
    pub(super) fn closed(
        &mut self,
        now: Instant,
        chance: &mut dyn FnMut() -> f64,
        closed: SocketId,
        why: Disconnect,
        out: &mut Vec<Output>,
    ) {
        if let Some(index) = self.leaving.iter().position(|leaving| leaving.socket == closed) {
            self.leaving.remove(index);
            self.abandon(closed, out);
            if let Link::Registered { socket, .. } = self.link {
                self.adopt(socket, out);
                self.tell_homeless_ends(socket, out);
            }
            return;
        }
        if self.link.socket() != Some(closed) {
            return;
        }
        if let Link::Registered { since, .. } = self.link
            && now >= since + STABLE_AFTER
        {
            self.backoff.reset();
        }
        self.counters.disconnected += 1;
        self.abandon(closed, out);
        let retry_after = self.backoff.next(chance());
        self.last_fault = Some(chain(&why).into());
        let attempt = self.backoff.attempts();
        out.push(Output::Notice(Notice::Disconnected { why, attempt, retry_after }));
        self.connect(retry_after, out);
    }

    /// We end a connection that is no good.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        chance: &mut dyn FnMut() -> f64,
        socket: SocketId,
        why: Disconnect,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Close { socket });
        self.closed(now, chance, socket, why, out);
    }

    fn abandon(&mut self, socket: SocketId, out: &mut Vec<Output>) {
        self.keep_ends_of(socket);
        for (id, Job { state, .. }) in self.jobs.leave_home(socket) {
            match state {
                // Its owner has ended it already and expects nothing more.
                JobState::Accepted { ended: Some(_), .. } => {}
                JobState::Offered { .. } | JobState::Accepted { ended: None, .. } | JobState::Live { .. } => {
                    self.lapsed(id, Lapse::Disconnected, out);
                }
            }
        }
    }

    /// The server leaves: register elsewhere, keep this connection for its jobs.
    pub(super) fn move_on(
        &mut self,
        now: Instant,
        chance: &mut dyn FnMut() -> f64,
        from: SocketId,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        match self.link {
            Link::Registered { socket, since, heard, .. } if socket == from => {
                if now >= since + STABLE_AFTER {
                    self.backoff.reset();
                }
                self.leaving.push(Leaving { socket, heard });
                out.push(Output::Notice(Notice::Moving { reason }));
                let after = self.backoff.next(chance());
                self.connect(after, out);
                if self.leaving.len() > LEAVING_MAX {
                    let oldest = self.leaving[0].socket;
                    self.give_up(now, chance, oldest, Disconnect::Closed { reason: String::new() }, out);
                }
            }
            Link::Registering { socket, .. } if socket == from => {
                self.give_up(now, chance, socket, Disconnect::Closed { reason }, out);
            }
            // One that we are leaving anyway.
            Link::Registered { .. }
            | Link::Registering { .. }
            | Link::Idle
            | Link::Connecting { .. }
            | Link::Stopped => {}
        }
    }

    /// Closes what was only kept for jobs that have ended, once there is a registration elsewhere.
    pub(super) fn leave_idle(&mut self, out: &mut Vec<Output>) {
        if !matches!(self.link, Link::Registered { .. }) {
            return;
        }
        let Self { leaving, jobs, ends, .. } = self;
        leaving.retain(|leaving| {
            let needed = jobs.has_home(leaving.socket) || ends.has_home(leaving.socket);
            if !needed {
                out.push(Output::Close { socket: leaving.socket });
            }
            needed
        });
    }

    pub(super) fn ping_and_report(&mut self, now: Instant, out: &mut Vec<Output>) {
        let wanted = self.report();
        let timestamp = self.timestamp(now);
        let Link::Registered { socket, pinged, reporter, .. } = &mut self.link else { return };
        let socket = *socket;
        let ping = (now >= *pinged + PING_EVERY).then(|| *pinged = now);
        let said = (now >= reporter.due(wanted)).then(|| {
            reporter.note(wanted, now);
            reporter.sequence()
        });
        if ping.is_some() {
            self.send(socket, Message::Ping(proto::WorkerPing { timestamp }), out);
        }
        if let Some(sequence) = said {
            self.say_load(socket, wanted, sequence, out);
        }
    }

    /// The answer to the ping with this time stamp; older ones say nothing of the connection as it is.
    pub(super) fn ponged(&mut self, now: Instant, sent: i64) {
        if let Link::Registered { pinged, .. } = self.link
            && self.timestamp(pinged) == sent
        {
            self.round_trip = Some(now.saturating_duration_since(pinged));
        }
    }

    /// Reports at once, whatever was reported before.
    pub(super) fn report_now(&mut self, now: Instant, out: &mut Vec<Output>) {
        let wanted = self.report();
        if let Link::Registered { socket, reporter, .. } = &mut self.link {
            reporter.note(wanted, now);
            let (socket, sequence) = (*socket, reporter.sequence());
            self.say_load(socket, wanted, sequence, out);
        }
    }

    fn say_load(&mut self, socket: SocketId, report: LoadReport, seq: u64, out: &mut Vec<Output>) {
        let update = proto::UpdateWorkerStatus {
            status: Some(report.status.into()),
            load: report.load,
            job_count: u32::try_from(self.jobs.live()).unwrap_or(u32::MAX),
            draining: self.drain.is_some() || self.leaving.iter().any(|leaving| leaving.socket == socket),
            seq,
        };
        self.send(socket, Message::UpdateWorker(update), out);
    }

    /// The time stamp of our pings, milliseconds as the protocol has it, counted from the worker's birth: it comes back.
    fn timestamp(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(i64::MAX)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
