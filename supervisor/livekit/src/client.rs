//! A worker that lives: the machine, its sockets, a clock and dice.
//!
//! Owns: one task that drives them, the channel of notices and the handle for decisions. Never: decides; never waits for
//! its owner while it could take a decision.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::bounds::{CLOSE_WITHIN, DECISIONS_QUEUED_MAX, NOTICES_QUEUED_MAX, SOCKET_QUEUED_MAX};
use crate::endpoint::Endpoint;
use crate::fault::Disconnect;
use crate::message::ServerMessage;
use crate::registration::Registration;
use crate::socket::{self, Dial, SocketEvent};
use crate::tls::{self, TlsError, Trust};
use crate::token::ApiKey;
use crate::worker::Worker;
use crate::worker::event::{Answer, Decision, Event, JobEnd, JobId, Notice, Output, SocketId};
use crate::worker::load::Capacity;
use crate::worker::view::Standing;

/// Everything a client needs.
pub struct ClientPlan {
    /// Where.
    pub endpoint: Endpoint,
    /// With what key.
    pub key: Arc<ApiKey>,
    /// Whom to believe.
    pub trust: Trust,
    /// As what.
    pub registration: Registration,
    /// How full at the start.
    pub capacity: Capacity,
}

/// A handle for decisions. When the last one is dropped, or the notices' receiver is, the worker shuts down.
#[derive(Debug, Clone)]
pub struct Client {
    decisions: mpsc::Sender<Decision>,
    capacity: watch::Sender<Capacity>,
    standing: watch::Receiver<Standing>,
}

/// A decision that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// So many wait that the client's task must be starved.
    #[error("hand over a decision: {DECISIONS_QUEUED_MAX} wait already")]
    Full(Decision),
    /// The worker has stopped.
    #[error("hand over a decision: the worker has stopped")]
    Stopped(Decision),
}

impl Client {
    /// Starts a worker in a task of the current tokio runtime.
    pub fn start(plan: ClientPlan) -> Result<(Self, mpsc::Receiver<Notice>), TlsError> {
        let ClientPlan { endpoint, key, trust, registration, capacity } = plan;
        let tls = endpoint.is_secure().then(|| tls::configuration(&trust)).transpose()?;
        let worker = Worker::new(registration, capacity, Instant::now().into_std());
        let (decisions, decided) = mpsc::channel(DECISIONS_QUEUED_MAX);
        let (notices, noticed) = mpsc::channel(NOTICES_QUEUED_MAX);
        let (standing, seen) = watch::channel(worker.standing());
        let (capacity, full) = watch::channel(capacity);
        let (events, happened) = mpsc::channel(SOCKET_QUEUED_MAX);
        let task = Task {
            worker,
            dial: Arc::new(Dial { endpoint, key, tls }),
            sockets: HashMap::new(),
            tasks: JoinSet::new(),
            events,
            waiting: VecDeque::new(),
            standing,
            dice: Dice::new(),
        };
        tokio::spawn(task.run(decided, full, happened, notices));
        Ok((Self { decisions, capacity, standing: seen }, noticed))
    }

    /// Hands over a decision; never waits.
    pub fn decide(&self, decision: Decision) -> Result<(), Undecided> {
        self.decisions.try_send(decision).map_err(|error| match error {
            mpsc::error::TrySendError::Full(decision) => Undecided::Full(decision),
            mpsc::error::TrySendError::Closed(decision) => Undecided::Stopped(decision),
        })
    }

    /// Answers an offer.
    pub fn answer(&self, job: JobId, answer: Answer) -> Result<(), Undecided> {
        self.decide(Decision::Answer(job, answer))
    }

    /// Says that a job ended.
    pub fn ended(&self, job: JobId, end: JobEnd) -> Result<(), Undecided> {
        self.decide(Decision::Ended(job, end))
    }

    /// Says how full the worker is; only the last word counts, so there is no queue to fill.
    pub fn set_capacity(&self, capacity: Capacity) {
        self.capacity.send_if_modified(|said| std::mem::replace(said, capacity) != capacity);
    }

    /// How the worker stands.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Tells of every change of the standing.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }
}

struct Task {
    worker: Worker,
    dial: Arc<Dial>,
    sockets: HashMap<SocketId, mpsc::Sender<Bytes>>,
    tasks: JoinSet<()>,
    events: mpsc::Sender<(SocketId, SocketEvent)>,
    waiting: VecDeque<Notice>,
    standing: watch::Sender<Standing>,
    dice: Dice,
}

impl Task {
    async fn run(
        mut self,
        mut decisions: mpsc::Receiver<Decision>,
        mut capacity: watch::Receiver<Capacity>,
        mut events: mpsc::Receiver<(SocketId, SocketEvent)>,
        notices: mpsc::Sender<Notice>,
    ) {
        let mut stopped = self.handle(Event::Start);
        while !stopped {
            let deadline = self.worker.deadline().map(Instant::from_std);
            let event = tokio::select! {
                biased;
                // Everybody dropped the handle: nobody will ever decide again.
                decision = decisions.recv() => Event::Decided(decision.unwrap_or(Decision::Shutdown)),
                Ok(()) = capacity.changed() => Event::Decided(Decision::Capacity(*capacity.borrow_and_update())),
                room = notices.reserve(), if !self.waiting.is_empty() => match room {
                    Ok(room) => {
                        if let Some(notice) = self.waiting.pop_front() {
                            room.send(notice);
                        }
                        continue;
                    }
                    Err(_nobody_listens) => Event::Decided(Decision::Shutdown),
                },
                () = notices.closed(), if self.waiting.is_empty() => Event::Decided(Decision::Shutdown),
                () = until(deadline) => Event::Tick,
                Some((socket, event)) = events.recv(), if self.waiting.len() < NOTICES_QUEUED_MAX => {
                    self.read(socket, event)
                }
            };
            self.tasks.try_join_next();
            stopped = self.handle(event);
        }
        self.sockets.clear();
        drop(events);
        for notice in self.waiting.drain(..) {
            if notices.send(notice).await.is_err() {
                break;
            }
        }
        let _ = tokio::time::timeout(2 * CLOSE_WITHIN, self.tasks.join_all()).await;
    }

    fn read(&mut self, socket: SocketId, event: SocketEvent) -> Event {
        match event {
            SocketEvent::Opened => Event::Opened(socket),
            SocketEvent::Heard => Event::Heard(socket),
            SocketEvent::Frame(bytes) => Event::Received(socket, ServerMessage::read(bytes)),
            SocketEvent::Odd => Event::Received(socket, ServerMessage::Unreadable),
            SocketEvent::Closed(why) => {
                self.sockets.remove(&socket);
                Event::Closed(socket, why)
            }
        }
    }

    /// Feeds the machine, and does what it says. Whether that was the last.
    fn handle(&mut self, event: Event) -> bool {
        let mut events = VecDeque::from([event]);
        let mut stopped = false;
        while let Some(event) = events.pop_front() {
            let mut outputs = Vec::new();
            let now = Instant::now().into_std();
            self.worker.handle(now, &mut || self.dice.roll(), event, &mut outputs);
            for output in outputs {
                match output {
                    Output::Connect { socket, after } => self.connect(socket, after),
                    Output::Send { socket, message } => {
                        let bytes = Bytes::from(message.encode_to_vec());
                        let sent = self.sockets.get(&socket).map(|sender| sender.try_send(bytes));
                        if let Some(Err(mpsc::error::TrySendError::Full(_))) = sent {
                            self.sockets.remove(&socket);
                            events.push_back(Event::Closed(socket, Disconnect::NotReading));
                        }
                    }
                    Output::Close { socket } => {
                        self.sockets.remove(&socket);
                    }
                    Output::Notice(notice) => {
                        stopped |= matches!(notice, Notice::Stopped);
                        self.waiting.push_back(notice);
                    }
                }
            }
        }
        let standing = self.worker.standing();
        self.standing.send_if_modified(|seen| {
            let changed = *seen != standing;
            *seen = standing;
            changed
        });
        stopped
    }

    fn connect(&mut self, socket: SocketId, after: Duration) {
        let (sender, outgoing) = mpsc::channel(SOCKET_QUEUED_MAX);
        self.sockets.insert(socket, sender);
        self.tasks.spawn(socket::run(socket, after, self.dial.clone(), outgoing, self.events.clone()));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Where chance comes from: delays need not be secret, only different in each process.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        // Without randomness from the system the addresses of this process still differ from another's.
        Self(getrandom::u64().unwrap_or_else(|_| std::ptr::from_ref(&()).addr() as u64) | 1)
    }

    /// Evenly from 0 to 1 (xorshift64).
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
