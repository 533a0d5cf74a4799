//! The machine against a server that is played here, with a clock of its own.
//!
//! Owns: what each step says, and that no order of steps loses, doubles or leaks anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::bounds::{
    ANSWER_WITHIN, ASSIGN_WITHIN, END_AFTER_ASSIGNMENT, LEAVING_MAX, OFFERS_MAX, REPORT_APART, REPORT_EVERY,
    STABLE_AFTER,
};
use crate::message::ServerMessage;
use crate::proto::{JobStatus, WorkerStatus};
use crate::token::Token;
use crate::worker::event::{Acceptance, Answer, Decision, Declined, JobEnd, Simulation};
use crate::worker::view::NotDispatchable;

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

#[test]
fn load_follows_the_registration_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.connects, [(SocketId(1), Duration::ZERO)]);
    bench.register();
    assert_eq!(bench.kinds(), ["register", "update_worker"]);
    assert_eq!(bench.loads(), [(WorkerStatus::WsAvailable, 0.0)]);
    assert!(matches!(&bench.notices[..], [Notice::Registered { worker_id, resumed: 0, .. }] if worker_id == "AW_1"));
    assert_eq!(bench.worker.standing().dispatchable(), Ok(()));
}

#[test]
fn load_is_said_on_change_coalesced_and_every_two_and_a_half_seconds() {
    let mut bench = Bench::registered();
    for used in [0.1, 0.2, 0.3, 0.5] {
        bench.decide(Decision::Capacity(Capacity { used, admitting: true }));
    }
    assert_eq!(bench.loads(), [], "the registration's report is younger than 100 ms");
    bench.pass(REPORT_APART);
    assert_eq!(bench.loads(), [(WorkerStatus::WsAvailable, 0.345)]);
    bench.pass(4 * REPORT_EVERY);
    assert_eq!(bench.loads().len(), 5);
    bench.decide(Decision::Capacity(Capacity::FULL));
    assert_eq!(bench.loads().last(), Some(&(WorkerStatus::WsFull, 1.0)), "full does not wait");
    assert_eq!(bench.worker.standing().dispatchable(), Err(NotDispatchable::Full));
}

#[test]
fn a_job_goes_from_offer_to_success_and_its_bytes_are_passed_on() {
    let mut bench = Bench::registered();
    let id = bench.offer("AJ_1");
    let Some(Notice::Offer(offer)) = bench.notices.last() else { panic!("{:?}", bench.notices) };
    assert!(offer.explicit && !offer.raw.is_empty());
    bench.accept(&id);
    let (_, Message::Availability(answer)) = &bench.sent[0] else { panic!() };
    assert!(answer.available && !answer.terminate);
    assert_eq!(answer.participant_identity, "agent-AJ_1", "never empty");
    bench.assign(&id);
    assert!(matches!(bench.notices.last(), Some(Notice::Assigned(job)) if job.id == id && job.token.expose() == "t"));
    bench.decide(Decision::Running(id.clone()));
    bench.pass(END_AFTER_ASSIGNMENT);
    bench.end(&id, JobEnd::Success);
    bench.end(&id, failed("too late"));
    let statuses: Vec<JobStatus> = bench.updates().into_iter().map(|(_, status, _)| status).collect();
    assert_eq!(statuses, [JobStatus::JsRunning, JobStatus::JsSuccess]);
    assert_eq!(bench.worker.standing().counters.decisions_stale, 1);
}

#[test]
fn an_acceptance_without_assignment_lapses_after_seven_and_a_half_seconds() {
    let mut bench = Bench::registered();
    let id = bench.offer("AJ_1");
    bench.accept(&id);
    bench.pass(ASSIGN_WITHIN - Duration::from_millis(1));
    assert_eq!(bench.worker.standing().pending, 1);
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.notices.last(), Some(Notice::Lapsed { job, why: Lapse::NotAssigned }) if *job == id));
    bench.forget();
    // The assignment after all: nothing is reserved any more, and the server must not believe that it runs.
    bench.assign(&id);
    bench.pass(END_AFTER_ASSIGNMENT);
    assert!(bench.notices.is_empty());
    assert!(matches!(&bench.updates()[..], [(_, JobStatus::JsFailed, error)] if error.contains("stopped waiting")));
    bench.assign(&id);
    bench.pass(END_AFTER_ASSIGNMENT);
    assert_eq!(bench.updates().len(), 1, "said once");
}

#[test]
fn an_offer_that_nobody_answers_is_refused_for_others_to_take() {
    let mut bench = Bench::registered();
    bench.offer("AJ_1");
    bench.pass(ANSWER_WITHIN);
    let refusal = bench.sent.iter().find_map(|(_, message)| match message {
        Message::Availability(answer) => Some((answer.available, answer.terminate)),
        _ => None,
    });
    assert_eq!(refusal, Some((false, false)));
    assert!(matches!(bench.notices.last(), Some(Notice::Lapsed { why: Lapse::Unanswered, .. })));
}

#[test]
fn only_a_dispatch_to_our_own_name_is_ever_terminated() {
    for (ours, theirs, honoured) in [("clerk", "clerk", true), ("clerk", "", false), ("", "", false)] {
        let mut bench = Bench::of(Registration::rooms(ours));
        bench.register();
        bench.forget();
        let id = bench.offer_for("AJ_1", theirs);
        bench.decide(Decision::Answer(id, Answer::Refuse { terminate: true }));
        let (_, Message::Availability(answer)) = &bench.sent[0] else { panic!() };
        assert_eq!((answer.available, answer.terminate), (false, honoured), "{ours:?} {theirs:?}");
        assert_eq!(bench.worker.standing().counters.terminate_withheld, u64::from(!honoured));
    }
}

#[test]
fn a_job_ended_before_its_assignment_is_reported_as_soon_as_it_is_assigned() {
    let mut bench = Bench::registered();
    let id = bench.offer("AJ_1");
    bench.accept(&id);
    bench.end(&id, failed("the host could not be made"));
    assert_eq!(bench.updates(), []);
    bench.forget();
    bench.assign(&id);
    assert_eq!(bench.updates(), [], "the server would forget it");
    bench.pass(END_AFTER_ASSIGNMENT);
    assert_eq!(bench.updates(), [("AJ_1".into(), JobStatus::JsFailed, "the host could not be made".into())]);
    assert!(bench.notices.is_empty(), "its owner expects nothing more");
}

#[test]
fn an_end_that_the_server_would_forget_waits_and_is_not_lost_with_its_connection() {
    let mut bench = Bench::registered();
    for id in ["AJ_1", "AJ_2", "AJ_3"] {
        let id = bench.offer(id);
        bench.accept(&id);
        bench.assign(&id);
    }
    bench.forget();
    bench.end(&JobId("AJ_1".into()), failed("signal 9"));
    assert_eq!((bench.updates(), bench.worker.standing().updates_waiting), (vec![], 1));
    bench.pass(END_AFTER_ASSIGNMENT - Duration::from_millis(1));
    bench.end(&JobId("AJ_2".into()), JobEnd::Success);
    assert_eq!(bench.updates(), []);
    bench.close();
    bench.register();
    let told: Vec<String> = bench.updates().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(told, ["AJ_1", "AJ_2"]);
    bench.forget();
    let id = bench.offer("AJ_4");
    bench.accept(&id);
    bench.assign(&id);
    bench.end(&id, JobEnd::Success);
    bench.decide(Decision::Shutdown);
    assert_eq!(bench.updates().len(), 2, "and not with its worker");
}

#[test]
fn a_long_error_is_cut_at_a_character() {
    let mut bench = Bench::registered();
    let id = bench.live("AJ_1");
    bench.end(&id, failed(&"ä".repeat(4000)));
    let error = &bench.updates()[0].2;
    assert!(error.len() <= crate::bounds::ERROR_BYTES_MAX && error.chars().all(|c| c == 'ä'));
}

#[test]
fn what_does_not_fit_into_a_message_is_refused_instead_of_losing_the_connection() {
    let mut bench = Bench::registered();
    let id = bench.offer("AJ_1");
    let metadata = "x".repeat(OUTBOUND_BYTES_MAX);
    let answer = Answer::Accept(Box::new(Acceptance { metadata, ..Default::default() }));
    bench.decide(Decision::Answer(id, answer));
    assert!(matches!(&bench.sent[..], [(_, Message::Availability(answer))] if !answer.available));
    assert!(matches!(bench.notices.last(), Some(Notice::Lapsed { why: Lapse::TooLarge, .. })));
}

#[test]
fn what_no_one_knows_is_skipped_and_counted() {
    let mut bench = Bench::registered();
    bench.say(ServerMessage::Unknown);
    bench.say(ServerMessage::Unreadable);
    bench.say(ServerMessage::Terminate(JobId("AJ_9".into())));
    bench.say(ServerMessage::Registered { worker_id: "AW_2".into(), server: Box::default() });
    let counters = bench.worker.standing().counters;
    assert_eq!((counters.messages_unknown, counters.messages_unreadable, counters.messages_unexpected), (1, 1, 2));
    assert!(bench.closed.is_empty() && bench.sent.is_empty() && bench.notices.is_empty());
}

#[test]
fn silence_of_25_s_ends_a_connection_and_pings_keep_it() {
    let mut bench = Bench::registered();
    bench.pass_with_pings(Duration::from_secs(120));
    assert!(bench.closed.is_empty());
    assert_eq!(bench.kinds().iter().filter(|kind| **kind == "ping").count(), 12);
    bench.pass(SILENCE);
    assert_eq!(bench.closed, [SocketId(1)]);
    assert!(matches!(bench.notices.last(), Some(Notice::Disconnected { why: Disconnect::Silent, attempt: 1, .. })));
    assert_eq!(bench.connects.len(), 2);
}

#[test]
fn the_round_trip_is_measured_by_our_own_clock() {
    let mut bench = Bench::registered();
    bench.pass(PING_EVERY);
    let sent = bench.sent.iter().find_map(|(_, message)| match message {
        Message::Ping(ping) => Some(ping.timestamp),
        _ => None,
    });
    bench.pass(Duration::from_millis(42));
    bench.say(ServerMessage::Pong { sent: sent.expect("a ping") });
    assert_eq!(bench.worker.standing().round_trip, Some(Duration::from_millis(42)));
    bench.say(ServerMessage::Pong { sent: i64::MIN });
    assert_eq!(bench.worker.standing().round_trip, Some(Duration::from_millis(42)), "nonsense changes nothing");
}

#[test]
fn a_server_that_does_not_confirm_is_left_after_ten_seconds() {
    let mut bench = Bench::new();
    bench.open();
    bench.pass(REGISTER_WITHIN);
    assert_eq!(bench.closed, [SocketId(1)]);
    assert!(matches!(bench.notices.last(), Some(Notice::Disconnected { why: Disconnect::NotRegistered, .. })));
}

#[test]
fn live_jobs_survive_a_lost_connection_and_ends_are_told_after_it() {
    let mut bench = Bench::registered();
    let (ends, stays) = (bench.live("AJ_1"), bench.live("AJ_2"));
    let unanswered = bench.offer("AJ_3");
    let unassigned = bench.offer("AJ_4");
    bench.accept(&unassigned);
    bench.forget();
    bench.close();
    let lapsed: Vec<_> = bench.notices.iter().filter(|notice| matches!(notice, Notice::Lapsed { .. })).collect();
    assert_eq!(lapsed.len(), 2);
    assert_eq!(bench.connects.last().expect("again").1, Duration::from_millis(250));
    bench.accept(&unanswered);
    bench.end(&ends, failed("signal 9"));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.worker.standing().updates_waiting, 1);
    bench.register();
    assert_eq!(bench.kinds(), ["register", "migrate_job", "update_worker", "update_job"]);
    let (_, Message::MigrateJob(migration)) = &bench.sent[1] else { panic!() };
    assert_eq!(migration.job_ids, ["AJ_2", "AJ_1"], "the one that lives, then the one whose end follows");
    assert_eq!(bench.updates(), [("AJ_1".into(), JobStatus::JsFailed, "signal 9".into())]);
    assert!(matches!(bench.notices.last(), Some(Notice::Registered { resumed: 1, .. })));
    bench.end(&stays, JobEnd::Success);
    assert_eq!(bench.updates().len(), 2);
}

#[test]
fn a_storm_of_lost_connections_is_met_with_growing_delays_and_a_stable_one_forgives() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.register();
        bench.close();
    }
    let delays: Vec<u128> = bench.connects.iter().map(|(_, after)| after.as_millis()).collect();
    assert_eq!(delays[..8], [0, 250, 500, 1000, 2000, 4000, 8000, 10_000]);
    assert!(delays[8..].iter().all(|delay| *delay == 10_000), "for ever, never beyond the cap");
    bench.register();
    bench.pass(STABLE_AFTER);
    bench.close();
    assert_eq!(bench.connects.last().expect("again").1, Duration::from_millis(250));
}

#[test]
fn a_drain_refuses_for_others_to_take_and_ends_with_the_last_job() {
    let mut bench = Bench::registered();
    let id = bench.live("AJ_1");
    bench.decide(Decision::Drain);
    assert_eq!(bench.loads(), [(WorkerStatus::WsFull, 1.0)], "at once");
    bench.pass_with_pings(Duration::from_secs(10));
    assert_eq!(bench.loads().len(), 5);
    bench.forget();
    bench.offer("AJ_2");
    assert!(matches!(&bench.sent[..], [(_, Message::Availability(answer))] if !answer.available && !answer.terminate));
    assert!(matches!(&bench.notices[..], [Notice::Declined { why: Declined::Draining, .. }]), "nobody is asked");
    bench.notices.clear();
    bench.end(&id, JobEnd::Success);
    assert!(matches!(&bench.notices[..], [Notice::Drained]));
    bench.pass_with_pings(Duration::from_secs(30));
    assert!(matches!(&bench.notices[..], [Notice::Drained]), "said once");
    assert_eq!(bench.worker.standing().dispatchable(), Err(NotDispatchable::Draining));
}

#[test]
fn a_drain_without_a_server_waits_for_it_a_moment_only() {
    let mut bench = Bench::registered();
    let id = bench.live("AJ_1");
    bench.close();
    bench.decide(Decision::Drain);
    bench.end(&id, JobEnd::Success);
    bench.forget();
    bench.pass(DRAIN_FLUSH - Duration::from_millis(1));
    assert!(bench.notices.is_empty());
    bench.pass(Duration::from_millis(1));
    assert!(matches!(&bench.notices[..], [Notice::Drained]));
}

#[test]
fn a_leaving_server_keeps_its_jobs_until_they_end_and_gets_no_more() {
    let mut bench = Bench::registered();
    let id = bench.live("AJ_1");
    let old = bench.socket();
    bench.say(ServerMessage::GoAway { reason: "draining".into() });
    assert!(matches!(bench.notices.last(), Some(Notice::Moving { reason }) if reason == "draining"));
    assert_ne!(bench.socket(), old);
    bench.forget();
    bench.register();
    assert_eq!(bench.kinds(), ["register", "update_worker", "update_worker"]);
    let (socket, Message::UpdateWorker(update)) = &bench.sent[2] else { panic!() };
    assert!(*socket == old && update.draining && update.status() == WorkerStatus::WsFull);
    assert!(bench.closed.is_empty());
    bench.end(&id, JobEnd::Success);
    assert_eq!(bench.sent.last().map(|(socket, _)| *socket), Some(old), "where the server knows it");
    assert_eq!(bench.closed, [old]);
    assert_eq!(bench.worker.standing().leaving, 0);
}

#[test]
fn jobs_of_a_leaving_server_that_left_early_move_to_the_new_one() {
    let mut bench = Bench::registered();
    let id = bench.live("AJ_1");
    let old = bench.socket();
    bench.say(ServerMessage::GoAway { reason: String::new() });
    bench.register();
    bench.forget();
    bench.feed(Event::Closed(old, Disconnect::Closed { reason: String::new() }));
    assert_eq!(bench.kinds(), ["migrate_job"]);
    bench.end(&id, JobEnd::Success);
    assert_eq!(bench.sent.last().map(|(socket, _)| *socket), Some(bench.socket()));
}

#[test]
fn a_server_that_sends_us_away_again_and_again_costs_a_bounded_number_of_connections() {
    let mut bench = Bench::registered();
    for round in 0..20 {
        bench.live(&format!("AJ_{round}"));
        bench.say(ServerMessage::GoAway { reason: String::new() });
        bench.register();
        assert!(bench.worker.standing().leaving <= LEAVING_MAX);
    }
    assert_eq!(bench.worker.standing().live, 20, "and no job");
}

#[test]
fn the_server_may_end_a_job_and_take_back_what_it_has_not_assigned() {
    let mut bench = Bench::registered();
    let live = bench.live("AJ_1");
    let accepted = bench.offer("AJ_2");
    bench.accept(&accepted);
    bench.forget();
    bench.say(ServerMessage::Terminate(live.clone()));
    bench.say(ServerMessage::Terminate(accepted.clone()));
    let [Notice::Terminate { job }, Notice::Lapsed { job: gone, why: Lapse::Terminated }] = &bench.notices[..] else {
        panic!("{:?}", bench.notices)
    };
    assert_eq!((job, gone), (&live, &accepted));
    bench.end(&live, failed("the server ended it"));
    assert_eq!(bench.updates().len(), 1);
}

#[test]
fn a_shutdown_reports_what_runs_refuses_what_is_offered_and_closes() {
    let mut bench = Bench::registered();
    bench.live("AJ_1");
    bench.offer("AJ_2");
    bench.forget();
    bench.decide(Decision::Shutdown);
    assert_eq!(bench.kinds(), ["update_job", "availability"]);
    assert_eq!(bench.closed, [bench.socket()]);
    assert!(matches!(&bench.notices[..], [Notice::Lapsed { why: Lapse::Stopped, .. }, Notice::Stopped]));
    bench.forget();
    bench.register();
    bench.pass(Duration::from_secs(60));
    assert!(bench.sent.is_empty() && bench.notices.is_empty() && bench.connects.len() == 1, "nothing follows");
}

#[test]
fn a_simulation_is_asked_for_when_there_is_somebody_to_ask() {
    let simulation = || {
        Decision::Simulate(Box::new(Simulation {
            room: proto::Room { name: "r".into(), ..Default::default() },
            participant: None,
        }))
    };
    let mut bench = Bench::new();
    bench.decide(simulation());
    assert!(matches!(&bench.notices[..], [Notice::NotSimulated { room }] if room == "r"));
    bench.register();
    bench.decide(simulation());
    assert_eq!(bench.kinds(), ["register", "update_worker", "simulate_job"]);
}

#[test]
fn a_flood_of_offers_is_bounded() {
    let mut bench = Bench::registered();
    for n in 0..OFFERS_MAX + 10 {
        bench.offer(&format!("AJ_{n}"));
    }
    assert_eq!(bench.worker.standing().pending, OFFERS_MAX);
    assert_eq!(bench.worker.standing().counters.refused, 10);
    assert!(matches!(bench.notices.last(), Some(Notice::Declined { why: Declined::TooMany, .. })));
}

#[test]
fn an_offer_of_a_job_that_we_have_is_refused() {
    let mut bench = Bench::registered();
    bench.live("AJ_1");
    bench.offer("AJ_1");
    assert!(matches!(&bench.notices[..], [Notice::Declined { why: Declined::Known, .. }]));
    assert_eq!(bench.worker.standing().live, 1);
}

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
