//! Jobs: offered, answered, assigned, ended.
//!
//! Owns: what the server makes of our answers and statuses. Never: joins a room.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use openrtc_livekit::{
    Capacity, Decision, JobEnd, JobId, Lapse, Notice, Offer, Registration, Service, Simulation, proto,
};
use prost::Message as _;

use crate::desk::{Desk, dispatch, key, service, unique};
use crate::livekit_server::{KEY, LivekitServer};

/// The job of a room's dispatch, once the server lists it as wanted: up to 5 s late, and as it was assigned. Later
/// statuses are in the server's log only.
async fn job_state(service: &Service, room: &str, wanted: proto::JobStatus) -> proto::JobState {
    let search = async {
        loop {
            let dispatches = service.list_dispatch(room).await.expect("dispatches");
            let jobs = dispatches.into_iter().filter_map(|dispatch| dispatch.state).flat_map(|state| state.jobs);
            if let Some(state) = jobs.filter_map(|job| job.state).find(|state| state.status() == wanted) {
                break state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap_or_else(|_| panic!("no job became {wanted:?}"))
}

pub(crate) async fn a_simulated_job_is_offered_assigned_and_ended(server: Arc<LivekitServer>) {
    let (agent, name) = (unique("clerk"), unique("room"));
    let mut desk = Desk::registered(&server, &agent).await;
    let room = proto::Room { name: name.clone(), ..Default::default() };
    desk.client.decide(Decision::Simulate(Box::new(Simulation { room, participant: None }))).expect("a live worker");
    let offer = desk.offer().await;
    assert!(offer.id.0.starts_with("AJ_") && offer.explicit && !offer.resuming, "{offer:?}");
    assert_eq!(offer.job.room.as_ref().map(|room| room.name.as_str()), Some(name.as_str()));
    assert_eq!(proto::Job::decode(offer.raw.clone()).expect("the job's own bytes"), offer.job);
    desk.accept(&offer.id);
    let job = desk.assigned().await;
    assert_eq!((job.id.clone(), job.url), (offer.id, None));
    let verifier = livekit_token::TokenVerifier::with_api_key(KEY, server.secret());
    let claims = verifier.verify(job.token.expose()).expect("the server's own token");
    assert_eq!((claims.sub.as_str(), claims.kind.as_str()), (&*format!("agent-{}", job.id), "agent"));
    assert!(claims.video.room_join && claims.video.room == name);
    assert_eq!(claims.attributes.get("lk.agent_name"), Some(&agent));
    desk.client.decide(Decision::Running(job.id.clone())).expect("a live worker");
    desk.client.ended(job.id, JobEnd::Success).expect("a live worker");
    let standing = desk.standing(|standing| standing.live == 0).await;
    assert_eq!((standing.counters.accepted, standing.counters.assigned, standing.counters.succeeded), (1, 1, 1));
}

pub(crate) async fn a_dispatch_carries_its_metadata_and_attributes(server: Arc<LivekitServer>) {
    let (agent, room) = (unique("clerk"), unique("room"));
    let (mut desk, service) = (Desk::registered(&server, &agent).await, service(&server));
    let request = proto::CreateAgentDispatchRequest {
        metadata: r#"{"tenant":"acme"}"#.into(),
        attributes: [("tenant".to_owned(), "acme".to_owned())].into(),
        ..dispatch(&agent, &room)
    };
    let asked = tokio::time::Instant::now();
    let made = service.create_dispatch(request).await.expect("a dispatch");
    let offer = desk.offer().await;
    let offered = asked.elapsed();
    assert_eq!((offer.job.metadata.as_str(), offer.job.dispatch_id.as_str()), (r#"{"tenant":"acme"}"#, &*made.id));
    assert_eq!(offer.job.attributes.get("tenant").map(String::as_str), Some("acme"));
    desk.accept(&offer.id);
    let job = desk.assigned().await;
    println!("  dispatch to offer {offered:.1?}, offer to assignment {:.1?}", asked.elapsed() - offered);
    assert_eq!(job_state(&service, &room, proto::JobStatus::JsRunning).await.error, "");
    assert_eq!(service.list_participants(&room).await.expect("participants"), []);
    desk.client.ended(job.id, JobEnd::Success).expect("a live worker");
    desk.standing(|standing| standing.live == 0 && standing.counters.succeeded == 1).await;
}

/// Its own server, whose log says what it took note of; nothing else does.
pub(crate) async fn a_failed_job_is_recorded_with_its_reason(_: Arc<LivekitServer>) {
    let server = LivekitServer::start_logging("info").expect("another server");
    let (agent, room) = (unique("clerk"), unique("room"));
    let mut desk = Desk::registered(&server, &agent).await;
    service(&server).create_dispatch(dispatch(&agent, &room)).await.expect("a dispatch");
    let offer = desk.offer().await;
    desk.accept(&offer.id);
    let job = desk.assigned().await;
    desk.client.decide(Decision::Running(job.id.clone())).expect("a live worker");
    let error = "signal 9; oom_kill; rss 412 MB".to_owned();
    desk.client.ended(job.id.clone(), JobEnd::Failed { error: error.clone() }).expect("a live worker");
    let recorded = async {
        loop {
            let log = server.log();
            if let Some(line) = log.lines().find(|line| line.contains("job ended") && line.contains(&job.id.0)) {
                break line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(10), recorded).await.expect("the end in the server's log");
    assert!(line.contains("JS_FAILED") && line.contains(&error), "{line}");
}

pub(crate) async fn a_room_created_with_an_agent_offers_it(server: Arc<LivekitServer>) {
    let (agent, room) = (unique("clerk"), unique("room"));
    let (mut desk, service) = (Desk::registered(&server, &agent).await, service(&server));
    let wanted = proto::RoomAgentDispatch { agent_name: agent.clone(), metadata: "m".into(), ..Default::default() };
    let request = proto::CreateRoomRequest {
        name: room.clone(),
        metadata: "of the room".into(),
        agents: vec![wanted],
        ..Default::default()
    };
    service.create_room(request).await.expect("a room");
    let offer = desk.offer().await;
    assert_eq!(offer.job.metadata, "m");
    assert_eq!(offer.job.room.map(|room| room.metadata).as_deref(), Some("of the room"));
    service.delete_room(&room).await.expect("closed");
}

pub(crate) async fn a_deleted_dispatch_terminates_its_job(server: Arc<LivekitServer>) {
    let (agent, room) = (unique("clerk"), unique("room"));
    let (mut desk, service) = (Desk::registered(&server, &agent).await, service(&server));
    let made = service.create_dispatch(dispatch(&agent, &room)).await.expect("a dispatch");
    let offer = desk.offer().await;
    desk.accept(&offer.id);
    let job = desk.assigned().await;
    desk.client.decide(Decision::Running(job.id.clone())).expect("a live worker");
    job_state(&service, &room, proto::JobStatus::JsRunning).await;
    let (deleted, terminated) = tokio::join!(
        service.delete_dispatch(&room, &made.id),
        desk.wait("a termination", |notice| match notice {
            Notice::Terminate { job } => Some(job),
            _ => None,
        })
    );
    assert_eq!(deleted.expect("deleted").id, made.id);
    assert_eq!(terminated, job.id);
    desk.client.ended(job.id, JobEnd::Success).expect("a live worker");
    desk.standing(|standing| standing.live == 0).await;
}

/// Answers this worker's offers with `answer` until it is told to stop; what it was offered.
async fn answering(mut desk: Desk, answer: impl Fn(&Desk, &JobId)) -> (Vec<Offer>, Desk) {
    let mut offers = Vec::new();
    while let Some(notice) = desk.notices.recv().await {
        match notice {
            Notice::Offer(offer) => {
                answer(&desk, &offer.id);
                offers.push(*offer);
            }
            Notice::Stopped => break,
            _ => {}
        }
    }
    (offers, desk)
}

/// Collects so many jobs of one worker, in whatever order offers and assignments come.
async fn assigned(desk: &mut Desk, many: usize) -> Vec<JobId> {
    let mut jobs = Vec::new();
    while jobs.len() < many {
        match desk.wait("an offer or an assignment", Some).await {
            Notice::Offer(offer) => desk.accept(&offer.id),
            Notice::Assigned(job) => jobs.push(job.id),
            Notice::Lapsed { job, why } => panic!("{job} lapsed: {why:?}"),
            _ => {}
        }
    }
    jobs
}

pub(crate) async fn what_one_worker_refuses_the_other_gets(server: Arc<LivekitServer>) {
    let agent = unique("clerk");
    let service = service(&server);
    let unwilling = Desk::registered(&server, &agent).await;
    // Nearly full, so that the unwilling one is asked first more often than not.
    let mut willing = Desk::with_capacity(&server, &agent, Capacity { used: 1.0, admitting: true }).await;
    let stop = unwilling.client.clone();
    let work = async {
        for _ in 0..6 {
            service.create_dispatch(dispatch(&agent, &unique("room"))).await.expect("a dispatch");
        }
        let jobs = assigned(&mut willing, 6).await;
        stop.decide(Decision::Shutdown).expect("a live worker");
        jobs
    };
    let (jobs, (refused, _)) = tokio::join!(work, answering(unwilling, |desk, job| desk.refuse(job, false)));
    println!("  of 6, {} were refused by the other first", refused.len());
    assert_eq!(jobs.iter().collect::<HashSet<_>>().len(), 6);
    assert!(!refused.is_empty(), "the unwilling one was never asked");
}

pub(crate) async fn what_is_refused_for_everybody_nobody_gets(server: Arc<LivekitServer>) {
    let (agent, room) = (unique("clerk"), unique("room"));
    let service = service(&server);
    let mut desk = Desk::registered(&server, &agent).await;
    service.create_dispatch(dispatch(&agent, &room)).await.expect("a dispatch");
    let offer = desk.offer().await;
    // A willing one, which comes too late to be the first asked, and would be the next.
    let willing = Desk::registered(&server, &agent).await;
    desk.refuse(&offer.id, true);
    let state = job_state(&service, &room, proto::JobStatus::JsSuccess).await;
    assert!(state.ended_at > 0, "{state:?}");
    assert_eq!(willing.client.standing().counters.offers, 0);
}

pub(crate) async fn an_unnamed_worker_never_cancels_what_is_not_its_own(server: Arc<LivekitServer>) {
    let room = unique("room");
    let service = service(&server);
    let mut unnamed = Desk::registered(&server, "").await;
    let request = proto::CreateRoomRequest { name: room.clone(), ..Default::default() };
    service.create_room(request).await.expect("a room");
    let offer = unnamed.offer().await;
    assert!(!offer.explicit && offer.job.agent_name.is_empty());
    let mut other = Desk::registered(&server, "").await;
    unnamed.refuse(&offer.id, true);
    let offer = other.offer().await;
    other.accept(&offer.id);
    other.assigned().await;
    assert_eq!(unnamed.client.standing().counters.terminate_withheld, 1);
    service.delete_room(&room).await.expect("closed");
}

pub(crate) async fn a_full_worker_gets_nothing_and_one_at_its_limit_does(server: Arc<LivekitServer>) {
    let agent = unique("clerk");
    let service = service(&server);
    let full = Desk::with_capacity(&server, &agent, Capacity::FULL).await;
    let mut limit = Desk::with_capacity(&server, &agent, Capacity { used: 1.0, admitting: true }).await;
    for _ in 0..4 {
        service.create_dispatch(dispatch(&agent, &unique("room"))).await.expect("a dispatch");
    }
    assigned(&mut limit, 4).await;
    assert_eq!(full.client.standing().counters.offers, 0);
    assert_eq!(limit.client.standing().report.load, 0.69);
}

pub(crate) async fn twenty_dispatches_at_once_at_a_cap_of_ten(server: Arc<LivekitServer>) {
    let agent = unique("clerk");
    let service = service(&server);
    let mut desk = Desk::registered(&server, &agent).await;
    let mut calls = tokio::task::JoinSet::new();
    let service = Arc::new(service);
    for _ in 0..20 {
        let (service, request) = (service.clone(), dispatch(&agent, &unique("room")));
        calls.spawn(async move { service.create_dispatch(request).await.map(|_| ()) });
    }
    let (mut offers, mut jobs) = (0, HashSet::new());
    while offers < 20 || jobs.len() < 10 {
        match desk.wait("20 offers and 10 jobs", Some).await {
            Notice::Offer(offer) => {
                offers += 1;
                if offers <= 10 {
                    desk.accept(&offer.id);
                } else {
                    desk.refuse(&offer.id, false);
                }
            }
            Notice::Assigned(job) => assert!(jobs.insert(job.id), "assigned twice"),
            Notice::Lapsed { job, why } => panic!("{job} lapsed: {why:?}"),
            _ => {}
        }
    }
    for made in calls.join_all().await {
        made.expect("a dispatch");
    }
    let counters = desk.standing(|standing| standing.pending == 0).await.counters;
    assert_eq!((counters.accepted, counters.refused, counters.assigned), (10, 10, 10));
}

pub(crate) async fn a_draining_worker_keeps_its_job_and_gets_no_more(server: Arc<LivekitServer>) {
    let agent = unique("clerk");
    let service = service(&server);
    let mut desk = Desk::registered(&server, &agent).await;
    service.create_dispatch(dispatch(&agent, &unique("room"))).await.expect("a dispatch");
    let job = assigned(&mut desk, 1).await.remove(0);
    desk.client.decide(Decision::Drain).expect("a live worker");
    desk.standing(|standing| standing.draining && !standing.report.available()).await;
    let mut other = Desk::registered(&server, &agent).await;
    for _ in 0..3 {
        service.create_dispatch(dispatch(&agent, &unique("room"))).await.expect("a dispatch");
    }
    assigned(&mut other, 3).await;
    assert_eq!(desk.client.standing().live, 1);
    desk.client.ended(job, JobEnd::Success).expect("a live worker");
    desk.wait("the drain's end", |notice| matches!(notice, Notice::Drained).then_some(())).await;

    // Held nothing back: an acceptance without an assignment is told as such when the worker is stopped.
    let mut third = Desk::start(&server.url(), key(), Registration::rooms(unique("clerk")), Capacity::IDLE);
    third.wait("registration", |notice| matches!(notice, Notice::Registered { .. }).then_some(())).await;
    let room = proto::Room { name: unique("room"), ..Default::default() };
    third.client.decide(Decision::Simulate(Box::new(Simulation { room, participant: None }))).expect("a live worker");
    let offer = third.offer().await;
    third.client.decide(Decision::Shutdown).expect("a live worker");
    let lapsed = |notice| match notice {
        Notice::Lapsed { job, why: Lapse::Stopped } => Some(job),
        _ => None,
    };
    assert_eq!(third.wait("the lapse", lapsed).await, offer.id);
}
