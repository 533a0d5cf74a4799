//! What goes into the worker and what comes out of it.
//!
//! Owns: events, decisions, outputs and notices. Never: a policy; why somebody accepts is not LiveKit's business.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fault::Disconnect;
use crate::message::ServerMessage;
use crate::proto;
use crate::token::Token;
use crate::worker::load::Capacity;

/// Names one connection of a worker; each new one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// The server's name for a job (`AJ_…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The owner wants the worker to connect. Later ones change nothing.
    Start,
    /// A connection was upgraded to a websocket.
    Opened(SocketId),
    /// Something came that says no more than that the server lives: a ping.
    Heard(SocketId),
    /// A message came.
    Received(SocketId, ServerMessage),
    /// A connection could not be made, or ended.
    Closed(SocketId, Disconnect),
    /// The owner decided.
    Decided(Decision),
    /// The moment of [`crate::Worker::deadline`] came. Harmless at any other time.
    Tick,
}

/// What the worker's owner decides.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Answers an offer.
    Answer(JobId, Answer),
    /// The job runs.
    Running(JobId),
    /// The job ended; say it before the agent leaves the room, or the server reports a failure of its own.
    Ended(JobId, JobEnd),
    /// How full the worker is.
    Capacity(Capacity),
    /// Ask the server for a job of this room on this very worker: a smoke test.
    Simulate(Box<Simulation>),
    /// Take no more jobs, keep those that run; [`Notice::Drained`] follows the last.
    Drain,
    /// Report what still runs as failed, close everything; [`Notice::Stopped`] follows.
    Shutdown,
}

/// The answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The job is taken.
    Accept(Box<Acceptance>),
    /// It is not.
    Refuse {
        /// Nobody else shall be asked; the server ends the dispatch as a success. Honoured only for jobs that were
        /// dispatched to our own agent name: an unnamed worker is offered every room of the project.
        terminate: bool,
    },
}

/// As whom the agent joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Unique in the room. Empty: `agent-` and the job's id, as livekit-agents has it.
    pub identity: String,
    /// Shown to participants.
    pub name: String,
    /// The participant's metadata; the server takes 512 KiB.
    pub metadata: String,
    /// The participant's attributes; the server takes 64 KiB and adds `lk.agent_name`.
    pub attributes: HashMap<String, String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// As it should.
    Success,
    /// It did not.
    Failed {
        /// Why, for the server's log and dashboard; cut after [`crate::bounds::ERROR_BYTES_MAX`].
        error: String,
    },
}

/// A job to be simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// The room that the job shall carry.
    pub room: proto::Room,
    /// The participant; with one, the server makes a job of type publisher.
    pub participant: Option<proto::ParticipantInfo>,
}

/// What to do now.
#[derive(Debug, Clone)]
pub enum Output {
    /// Connect, after this delay, under this name.
    Connect {
        /// The connection's name.
        socket: SocketId,
        /// How long to wait first.
        after: Duration,
    },
    /// Send, in order.
    Send {
        /// On which connection.
        socket: SocketId,
        /// What.
        message: Box<proto::WorkerMessage>,
    },
    /// Send what is queued, say goodbye and close. Nothing more is wanted of this connection.
    Close {
        /// Which connection.
        socket: SocketId,
    },
    /// Tell the owner.
    Notice(Notice),
}

/// What the owner is told.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The worker may be offered jobs now.
    Registered {
        /// The server's name for it, new with every connection.
        worker_id: String,
        /// Which server that is.
        server: Box<proto::ServerInfo>,
        /// Jobs that survived from an earlier connection.
        resumed: usize,
    },
    /// The worker's connection ended, or was not made. Live jobs go on.
    Disconnected {
        /// Why.
        why: Disconnect,
        /// How many tries there were in vain since the last stable registration, this one included.
        attempt: u32,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The server is about to leave and wants us elsewhere; jobs of the old connection keep it.
    Moving {
        /// What it said.
        reason: String,
    },
    /// A job is offered: answer from memory, at once. Exactly one of `Assigned`, `Lapsed` and the owner's own refusal or
    /// end follows.
    Offer(Box<Offer>),
    /// An offer was refused without asking, with `available = false`: nothing is to be done, but it can be counted.
    Declined {
        /// What was offered.
        offer: Box<Offer>,
        /// Why.
        why: Declined,
    },
    /// An accepted job is ours; it ends with the owner's [`Decision::Ended`].
    Assigned(Box<Assignment>),
    /// An offered or accepted job will not come: whatever was reserved for it is free.
    Lapsed {
        /// Which.
        job: JobId,
        /// Why.
        why: Lapse,
    },
    /// The server wants an assigned job to end, and removes the agent from the room 3 s later.
    Terminate {
        /// Which.
        job: JobId,
    },
    /// A simulation could not be asked for, because the worker is not registered.
    NotSimulated {
        /// The room.
        room: String,
    },
    /// The last job of a drain ended and was reported.
    Drained,
    /// Everything is closed. Nothing follows.
    Stopped,
}

/// Why an offer was refused without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Declined {
    /// The worker drains.
    Draining,
    /// The job is or was ours already.
    Known,
    /// [`crate::bounds::OFFERS_MAX`] others wait.
    TooMany,
}

/// Why an offer or an acceptance came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lapse {
    /// The owner did not answer in time; the worker refused for it.
    Unanswered,
    /// The answer came too late for the server, or somebody cancelled.
    NotAssigned,
    /// The connection that it came over ended.
    Disconnected,
    /// The server took it back.
    Terminated,
    /// The acceptance would not have fitted into a message.
    TooLarge,
    /// The worker was shut down.
    Stopped,
}

/// A job that may be had.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Its name.
    pub id: JobId,
    /// The job as far as this version knows it.
    pub job: proto::Job,
    /// The same, byte by byte as it came: prost forgets fields that it does not know.
    pub raw: Bytes,
    /// It ran elsewhere before (never on a self-hosted server).
    pub resuming: bool,
    /// It was dispatched to our agent name, not to whoever is there.
    pub explicit: bool,
    /// When it came.
    pub came: Instant,
}

/// A job that is ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Its name.
    pub id: JobId,
    /// The job as far as this version knows it.
    pub job: proto::Job,
    /// The same, byte by byte as it came.
    pub raw: Bytes,
    /// With what the agent joins the room; valid for an hour.
    pub token: Token,
    /// Where, if not where the worker is connected (a self-hosted server never says).
    pub url: Option<String>,
}
