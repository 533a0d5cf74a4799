//! The machine against a server that is played here, with a clock of its own.
//!
//! Owns: the bench on which it runs, with everything that came out of it. Never: a server; that is `tests/`.

mod jobs;
mod links;
mod orders;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::bounds::END_AFTER_ASSIGNMENT;
use crate::message::ServerMessage;
use crate::proto::{JobStatus, WorkerStatus};
use crate::token::Token;
use crate::worker::event::{Acceptance, Answer, Decision, JobEnd};

/// A worker, its clock, and everything that came out of it.
struct Bench {
    worker: Worker,
    now: Instant,
    chance: f64,
    sent: Vec<(SocketId, Message)>,
    notices: Vec<Notice>,
    connects: Vec<(SocketId, Duration)>,
    closed: Vec<SocketId>,
}

impl Bench {
    fn new() -> Self {
        Self::of(Registration::rooms("clerk"))
    }

    fn of(registration: Registration) -> Self {
        let now = Instant::now();
        let mut bench = Self {
            worker: Worker::new(registration, Capacity::IDLE, now),
            now,
            chance: 1.0,
            sent: Vec::new(),
            notices: Vec::new(),
            connects: Vec::new(),
            closed: Vec::new(),
        };
        bench.feed(Event::Start);
        bench
    }

    fn registered() -> Self {
        let mut bench = Self::new();
        bench.register();
        bench.forget();
        bench
    }

    fn feed(&mut self, event: Event) {
        let mut out = Vec::new();
        let chance = self.chance;
        self.worker.handle(self.now, &mut || chance, event, &mut out);
        for output in out {
            match output {
                Output::Connect { socket, after } => self.connects.push((socket, after)),
                Output::Send { socket, message } => self.sent.push((socket, message.message.expect("a message"))),
                Output::Close { socket } => self.closed.push(socket),
                Output::Notice(notice) => self.notices.push(notice),
            }
        }
        let deadline = self.worker.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "a deadline that was not met by {:?}",
            self.worker
        );
    }

    /// Lets time pass, with a tick at every deadline on the way.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.worker.deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.feed(Event::Tick);
        }
        self.now = end;
        self.feed(Event::Tick);
    }

    /// As [`Self::pass`], with a server that pings.
    fn pass_with_pings(&mut self, mut duration: Duration) {
        let step = Duration::from_secs(10);
        while duration > Duration::ZERO {
            self.pass(duration.min(step));
            self.feed(Event::Heard(self.socket()));
            duration = duration.saturating_sub(step);
        }
    }

    fn socket(&self) -> SocketId {
        self.connects.last().expect("a connection").0
    }

    fn open(&mut self) {
        self.feed(Event::Opened(self.socket()));
    }

    fn register(&mut self) {
        self.open();
        self.say(ServerMessage::Registered { worker_id: "AW_1".into(), server: Box::default() });
    }

    fn say(&mut self, message: ServerMessage) {
        self.feed(Event::Received(self.socket(), message));
    }

    fn close(&mut self) {
        self.feed(Event::Closed(self.socket(), Disconnect::Closed { reason: "gone".into() }));
    }

    fn decide(&mut self, decision: Decision) {
        self.feed(Event::Decided(decision));
    }

    fn offer(&mut self, id: &str) -> JobId {
        self.offer_for(id, "clerk")
    }

    fn offer_for(&mut self, id: &str, agent_name: &str) -> JobId {
        let job = proto::Job { id: id.into(), agent_name: agent_name.into(), ..Default::default() };
        let raw = Bytes::from(job.encode_to_vec());
        self.say(ServerMessage::Offer { id: JobId(id.into()), job: Box::new(job), raw, resuming: false });
        JobId(id.into())
    }

    fn accept(&mut self, id: &JobId) {
        self.decide(Decision::Answer(id.clone(), Answer::Accept(Box::default())));
    }

    fn assign(&mut self, id: &JobId) {
        self.say(assignment(id));
    }

    /// A job that runs.
    fn live(&mut self, id: &str) -> JobId {
        let id = self.offer(id);
        self.accept(&id);
        self.assign(&id);
        self.pass(END_AFTER_ASSIGNMENT);
        self.forget();
        id
    }

    fn end(&mut self, id: &JobId, end: JobEnd) {
        self.decide(Decision::Ended(id.clone(), end));
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.notices.clear();
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.sent.iter().map(|(_, message)| kind(message)).collect()
    }

    fn updates(&self) -> Vec<(String, JobStatus, String)> {
        let update = |message: &Message| match message {
            Message::UpdateJob(update) => Some((update.job_id.clone(), update.status(), update.error.clone())),
            _ => None,
        };
        self.sent.iter().filter_map(|(_, message)| update(message)).collect()
    }

    fn loads(&self) -> Vec<(WorkerStatus, f32)> {
        let load = |message: &Message| match message {
            Message::UpdateWorker(update) => Some((update.status(), update.load)),
            _ => None,
        };
        self.sent.iter().filter_map(|(_, message)| load(message)).collect()
    }
}

fn assignment(id: &JobId) -> ServerMessage {
    let job = proto::Job { id: id.0.clone(), ..Default::default() };
    let raw = Bytes::from(job.encode_to_vec());
    ServerMessage::Assigned { id: id.clone(), job: Box::new(job), raw, token: Token::from("t".to_owned()), url: None }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Register(_) => "register",
        Message::Availability(_) => "availability",
        Message::UpdateWorker(_) => "update_worker",
        Message::UpdateJob(_) => "update_job",
        Message::Ping(_) => "ping",
        Message::SimulateJob(_) => "simulate_job",
        Message::MigrateJob(_) => "migrate_job",
    }
}

fn failed(error: &str) -> JobEnd {
    JobEnd::Failed { error: error.into() }
}
