//! Any order of steps loses, doubles or leaks nothing.
//!
//! Owns: the world that plays server and owner, and what must always hold. Never: one step alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// One step of the world.
#[derive(Debug, Clone)]
enum Step {
    Connects,
    Registers,
    Offers,
    Assigns(u8),
    Terminates(u8),
    GoAway,
    Loses,
    LosesOld,
    Nonsense,
    Accepts(u8),
    Refuses(u8, bool),
    Runs(u8),
    Ends(u8, bool),
    Fills(f64, bool),
    Drains,
    Passes(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let step = prop_oneof![
        2 => Just(Connects),
        4 => Just(Registers),
        8 => Just(Offers),
        8 => any::<u8>().prop_map(|n| Assigns(n % 24)),
        2 => any::<u8>().prop_map(|n| Terminates(n % 24)),
        1 => Just(GoAway),
        2 => Just(Loses),
        1 => Just(LosesOld),
        1 => Just(Nonsense),
        8 => any::<u8>().prop_map(|n| Accepts(n % 24)),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(n, terminate)| Refuses(n % 24, terminate)),
        3 => any::<u8>().prop_map(|n| Runs(n % 24)),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(n, good)| Ends(n % 24, good)),
        3 => (any::<f64>(), any::<bool>()).prop_map(|(used, admitting)| Fills(used, admitting)),
        1 => Just(Drains),
        4 => (0..12_000u16).prop_map(Passes),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What the owner knows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Offered,
    Accepted,
    Live,
    Over,
}

/// A world that plays server and owner, and checks what must always hold.
struct World {
    bench: Bench,
    known: BTreeMap<String, Known>,
    open: BTreeSet<SocketId>,
    confirmed: BTreeSet<SocketId>,
    terminal: BTreeMap<String, u32>,
    assigned: BTreeSet<String>,
    seen: (usize, usize, usize),
    serial: u32,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            known: BTreeMap::new(),
            open: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            terminal: BTreeMap::new(),
            assigned: BTreeSet::new(),
            seen: (0, 0, 0),
            serial: 0,
        }
    }

    fn pick(&self, n: u8, state: Known) -> Option<JobId> {
        let of_state: Vec<&String> =
            self.known.iter().filter(|(_, known)| **known == state).map(|(id, _)| id).collect();
        (!of_state.is_empty()).then(|| JobId(of_state[usize::from(n) % of_state.len()].clone()))
    }

    fn confirms(&mut self) {
        let socket = self.bench.socket();
        if self.open.contains(&socket) && self.confirmed.insert(socket) {
            self.bench.say(ServerMessage::Registered { worker_id: "AW".into(), server: Box::default() });
        }
    }

    fn takes(&mut self, step: Step) {
        let socket = self.bench.socket();
        match step {
            Step::Connects => {
                if self.open.insert(socket) {
                    self.bench.open();
                }
            }
            Step::Registers => self.confirms(),
            Step::Offers if self.confirmed.contains(&socket) => {
                self.serial += 1;
                self.bench.offer(&format!("AJ_{}", self.serial));
            }
            Step::Assigns(n) if self.confirmed.contains(&socket) => {
                let id = self.pick(n, Known::Accepted).unwrap_or(JobId(format!("AJ_{n}")));
                self.bench.assign(&id);
            }
            Step::Terminates(n) if self.confirmed.contains(&socket) => {
                let id = self.pick(n, Known::Live).unwrap_or(JobId(format!("AJ_{n}")));
                self.bench.say(ServerMessage::Terminate(id));
            }
            Step::GoAway if self.confirmed.contains(&socket) => {
                self.bench.say(ServerMessage::GoAway { reason: String::new() });
            }
            Step::Offers | Step::Assigns(_) | Step::Terminates(_) | Step::GoAway => {}
            Step::Loses => {
                self.lose(socket);
            }
            Step::LosesOld => {
                if let Some(old) = self.open.first().copied() {
                    self.lose(old);
                }
            }
            Step::Nonsense => self.bench.say(ServerMessage::Unknown),
            Step::Accepts(n) => {
                if let Some(id) = self.pick(n, Known::Offered) {
                    self.known.insert(id.0.clone(), Known::Accepted);
                    self.bench.accept(&id);
                }
            }
            Step::Refuses(n, terminate) => {
                if let Some(id) = self.pick(n, Known::Offered) {
                    self.known.insert(id.0.clone(), Known::Over);
                    self.bench.decide(Decision::Answer(id, Answer::Refuse { terminate }));
                }
            }
            Step::Runs(n) => {
                if let Some(id) = self.pick(n, Known::Live) {
                    self.bench.decide(Decision::Running(id));
                }
            }
            Step::Ends(n, good) => {
                let end = if good { JobEnd::Success } else { failed("died") };
                if let Some(id) = self.pick(n, if n % 5 == 0 { Known::Accepted } else { Known::Live }) {
                    self.known.insert(id.0.clone(), Known::Over);
                    self.bench.end(&id, end);
                }
            }
            Step::Fills(used, admitting) => self.bench.decide(Decision::Capacity(Capacity { used, admitting })),
            Step::Drains => self.bench.decide(Decision::Drain),
            Step::Passes(ms) => self.bench.pass(Duration::from_millis(ms.into())),
        }
        self.check();
    }

    fn lose(&mut self, socket: SocketId) {
        self.open.remove(&socket);
        self.confirmed.remove(&socket);
        self.bench.feed(Event::Closed(socket, Disconnect::Closed { reason: String::new() }));
    }

    fn check(&mut self) {
        let (sent, notices, closed) = self.seen;
        for (socket, message) in &self.bench.sent[sent..] {
            assert!(self.open.contains(socket), "{message:?} on a connection that is not open");
            let register = matches!(message, Message::Register(_));
            assert!(register != self.confirmed.contains(socket), "{message:?} out of turn");
            match message {
                Message::UpdateWorker(update) if update.status() == WorkerStatus::WsAvailable => {
                    assert!((0.0..0.7).contains(&update.load), "{update:?}");
                }
                Message::UpdateWorker(update) => assert_eq!(update.load, 1.0),
                Message::UpdateJob(update) if update.status() != JobStatus::JsRunning => {
                    *self.terminal.entry(update.job_id.clone()).or_default() += 1;
                }
                _ => {}
            }
        }
        for notice in &self.bench.notices[notices..] {
            match notice {
                Notice::Offer(offer) => assert_eq!(self.known.insert(offer.id.0.clone(), Known::Offered), None),
                Notice::Assigned(job) => {
                    assert_eq!(self.known.insert(job.id.0.clone(), Known::Live), Some(Known::Accepted));
                    self.assigned.insert(job.id.0.clone());
                }
                Notice::Lapsed { job, .. } => {
                    let before = self.known.insert(job.0.clone(), Known::Over);
                    assert!(matches!(before, Some(Known::Offered | Known::Accepted)), "{before:?} lapsed");
                }
                Notice::Terminate { job } => assert_eq!(self.known.get(&job.0), Some(&Known::Live)),
                _ => {}
            }
        }
        for socket in &self.bench.closed[closed..] {
            self.open.remove(socket);
            self.confirmed.remove(socket);
        }
        self.seen = (self.bench.sent.len(), self.bench.notices.len(), self.bench.closed.len());
        let doubled = self.terminal.iter().find(|(_, times)| **times > 1);
        assert!(doubled.is_none(), "{doubled:?}");
    }

    /// Everything ends well: nothing may be left.
    fn settles(&mut self) {
        while let Some(id) = self.pick(0, Known::Live) {
            self.known.insert(id.0.clone(), Known::Over);
            self.bench.end(&id, JobEnd::Success);
            self.check();
        }
        self.takes(Step::Passes(10_001));
        self.takes(Step::Passes(10_001));
        self.takes(Step::Connects);
        self.takes(Step::Registers);
        let standing = self.bench.worker.standing();
        assert_eq!((standing.pending, standing.live, standing.updates_waiting), (0, 0, 0), "leaked: {standing:?}");
        assert_eq!(self.pick(0, Known::Offered).or(self.pick(0, Known::Accepted)), None, "held for ever");
        for id in &self.assigned {
            assert_eq!(self.terminal.get(id), Some(&1), "{id} has no end");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaks_and_every_job_ends_once_whatever_the_order(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.takes(step);
        }
        world.settles();
    }

    #[test]
    fn a_storm_never_connects_more_often_than_the_back_off_allows(chances in proptest::collection::vec(0.0..1.0f64, 50)) {
        let mut bench = Bench::new();
        for chance in chances {
            bench.chance = chance;
            bench.close();
        }
        for (attempt, (_, after)) in bench.connects.iter().skip(1).enumerate() {
            let ceiling = Duration::from_millis(250).saturating_mul(1 << attempt.min(10)).min(Duration::from_secs(10));
            prop_assert!(*after <= ceiling);
        }
        prop_assert_eq!(bench.connects.len(), 51, "one at a time, and always one more");
    }
}
