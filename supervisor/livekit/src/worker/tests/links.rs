//! Connections: registering, reporting load, losing them, and servers that leave.
//!
//! Owns: what is said when, and how often it is tried. Never: what becomes of an offer; `jobs` does.

use std::time::Duration;

use super::*;
use crate::bounds::{LEAVING_MAX, REPORT_APART, REPORT_EVERY, STABLE_AFTER};
use crate::worker::view::NotDispatchable;

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
