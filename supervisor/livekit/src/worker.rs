//! The worker as a state machine: what LiveKit's server and our owner say goes in, what to do comes out.
//!
//! Owns: one registration (agent name, job type, deployment), its connections and its jobs. Never: does anything, reads a
//! clock or rolls dice; time and chance are arguments.
//!
//! ```text
//! idle ──start──► connecting ──opened──► registering ──registered──► registered
//!                     ▲                      │  10 s, closed            │ │ closed, silent for 25 s
//!                     └────── back-off ──────┴──────────────────────────┘ │ go_away: the old connection is kept until idle
//!                     ▲──────────────────────────────────────────────────-┘
//! any ──shutdown──► stopped
//! ```

mod backoff;
mod decisions;
mod ends;
pub(crate) mod event;
mod jobs;
mod link;
pub(crate) mod load;
mod messages;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;

use crate::bounds::{DRAIN_FLUSH, OUTBOUND_BYTES_MAX, PING_EVERY, REGISTER_WITHIN, SILENCE};
use crate::fault::Disconnect;
use crate::proto;
use crate::registration::Registration;
use crate::worker::backoff::Backoff;
use crate::worker::ends::Ends;
use crate::worker::event::{Event, JobId, Lapse, Notice, Output, SocketId};
use crate::worker::jobs::Jobs;
use crate::worker::link::{Leaving, Link};
use crate::worker::load::{Capacity, LoadReport};
use crate::worker::view::{Counters, LinkView, Standing};

type Message = proto::worker_message::Message;

/// One worker.
#[derive(Debug)]
pub struct Worker {
    registration: Registration,
    born: Instant,
    capacity: Capacity,
    link: Link,
    leaving: Vec<Leaving>,
    jobs: Jobs,
    ends: Ends,
    drain: Option<Drain>,
    backoff: Backoff,
    sockets: u64,
    round_trip: Option<Duration>,
    last_fault: Option<Arc<str>>,
    counters: Counters,
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// Jobs are left.
    Busy,
    /// None since then; a terminal update may wait for a connection.
    Idle(Instant),
    /// The owner knows.
    Told,
}

impl Worker {
    /// A worker that waits for [`Event::Start`]. The first thing that the server hears after the registration is this
    /// capacity, because a registered worker is offered jobs at once.
    pub fn new(registration: Registration, capacity: Capacity, now: Instant) -> Self {
        Self {
            registration,
            born: now,
            capacity,
            link: Link::Idle,
            leaving: Vec::new(),
            jobs: Jobs::default(),
            ends: Ends::default(),
            drain: None,
            backoff: Backoff::default(),
            sockets: 0,
            round_trip: None,
            last_fault: None,
            counters: Counters::default(),
        }
    }

    /// Takes an event; what to do about it is appended to `out`, in order. `chance` draws evenly from 0 to 1.
    pub fn handle(&mut self, now: Instant, chance: &mut dyn FnMut() -> f64, event: Event, out: &mut Vec<Output>) {
        if matches!(self.link, Link::Stopped) {
            return;
        }
        match event {
            Event::Start => self.start(out),
            Event::Opened(socket) => self.opened(now, socket, out),
            Event::Heard(socket) => self.heard(now, socket),
            Event::Received(socket, message) => {
                self.heard(now, socket);
                self.received(now, chance, socket, message, out);
            }
            Event::Closed(socket, why) => self.closed(now, chance, socket, why, out),
            Event::Decided(decision) => self.decided(now, decision, out),
            Event::Tick => {}
        }
        self.let_time_pass(now, chance, out);
    }

    /// When [`Event::Tick`] is wanted, if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let link = match &self.link {
            Link::Idle | Link::Connecting { .. } | Link::Stopped => None,
            Link::Registering { since, heard, .. } => Some((*since + REGISTER_WITHIN).min(*heard + SILENCE)),
            Link::Registered { heard, pinged, reporter, .. } => {
                Some((*heard + SILENCE).min(*pinged + PING_EVERY).min(reporter.due(self.report())))
            }
        };
        let drain = match self.drain {
            Some(Drain::Idle(since)) => Some(since + DRAIN_FLUSH),
            Some(Drain::Busy | Drain::Told) | None => None,
        };
        let leaving = self.leaving.iter().map(|leaving| leaving.heard + SILENCE);
        leaving.chain(link).chain(drain).chain(self.jobs.deadline()).chain(self.ends.deadline()).min()
    }

    /// What the worker looks like now.
    pub fn standing(&self) -> Standing {
        let link = match &self.link {
            Link::Idle => LinkView::Idle,
            Link::Connecting { .. } => {
                LinkView::Connecting { attempt: self.backoff.attempts(), why: self.last_fault.clone() }
            }
            Link::Registering { .. } => LinkView::Registering,
            Link::Registered { worker_id, server_version, node_id, .. } => LinkView::Registered {
                worker_id: worker_id.clone(),
                server_version: server_version.clone(),
                node_id: node_id.clone(),
            },
            Link::Stopped => LinkView::Stopped,
        };
        let report = match &self.link {
            Link::Registered { reporter, .. } => reporter.said(),
            Link::Idle | Link::Connecting { .. } | Link::Registering { .. } | Link::Stopped => self.report(),
        };
        Standing {
            link,
            draining: self.drain.is_some(),
            report,
            pending: self.jobs.pending(),
            live: self.jobs.live(),
            updates_waiting: self.ends.len(),
            leaving: self.leaving.len(),
            round_trip: self.round_trip,
            counters: self.counters,
        }
    }

    /// As what it registers.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    fn report(&self) -> LoadReport {
        LoadReport::of(self.capacity, self.drain.is_some())
    }

    fn let_time_pass(&mut self, now: Instant, chance: &mut dyn FnMut() -> f64, out: &mut Vec<Output>) {
        while let Some((id, job)) = self.jobs.take_lapsed(now) {
            self.lapse_in_time(id, job, out);
        }
        self.tell_due_ends(now, out);
        match self.link {
            Link::Registering { socket, since, .. } if now >= since + REGISTER_WITHIN => {
                self.give_up(now, chance, socket, Disconnect::NotRegistered, out);
            }
            Link::Registering { socket, heard, .. } | Link::Registered { socket, heard, .. }
                if now >= heard + SILENCE =>
            {
                self.give_up(now, chance, socket, Disconnect::Silent, out);
            }
            Link::Registering { .. }
            | Link::Registered { .. }
            | Link::Idle
            | Link::Connecting { .. }
            | Link::Stopped => {}
        }
        let silent = |leaving: &&Leaving| now >= leaving.heard + SILENCE;
        while let Some(socket) = self.leaving.iter().find(silent).map(|leaving| leaving.socket) {
            self.give_up(now, chance, socket, Disconnect::Silent, out);
        }
        self.ping_and_report(now, out);
        self.leave_idle(out);
        self.finish_drain(now, out);
    }

    fn finish_drain(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(drain) = self.drain else { return };
        let next = match drain {
            Drain::Told => Drain::Told,
            Drain::Busy | Drain::Idle(_) if !self.jobs.is_empty() => Drain::Busy,
            Drain::Busy if self.ends.len() > 0 => Drain::Idle(now),
            Drain::Idle(since) if self.ends.len() > 0 && now < since + DRAIN_FLUSH => Drain::Idle(since),
            Drain::Busy | Drain::Idle(_) => {
                out.push(Output::Notice(Notice::Drained));
                Drain::Told
            }
        };
        self.drain = Some(next);
    }

    /// Whether messages about jobs may go over this connection.
    fn is_open(&self, socket: SocketId) -> bool {
        matches!(self.link, Link::Registered { socket: current, .. } if current == socket)
            || self.leaving.iter().any(|leaving| leaving.socket == socket)
    }

    /// Sends, unless the server would close the connection for its size.
    fn send(&mut self, socket: SocketId, message: Message, out: &mut Vec<Output>) -> bool {
        let message = Box::new(proto::WorkerMessage { message: Some(message) });
        if message.encoded_len() > OUTBOUND_BYTES_MAX {
            self.counters.messages_too_large += 1;
            return false;
        }
        out.push(Output::Send { socket, message });
        true
    }

    fn lapsed(&mut self, job: JobId, why: Lapse, out: &mut Vec<Output>) {
        self.counters.lapsed += 1;
        out.push(Output::Notice(Notice::Lapsed { job, why }));
    }
}
