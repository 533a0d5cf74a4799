//! Jobs, from the offer to the end that the server is told.
//!
//! Owns: what is said at each step. Never: loses a connection; `links` does.

use std::time::Duration;

use super::*;
use crate::bounds::{ANSWER_WITHIN, ASSIGN_WITHIN, END_AFTER_ASSIGNMENT, OFFERS_MAX};
use crate::worker::event::{Declined, Simulation};
use crate::worker::view::NotDispatchable;

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
