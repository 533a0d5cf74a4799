//! Connections: made, refused, lost and found.
//!
//! Owns: what becomes of the worker's registration. Never: a job's details.

use std::error::Error as _;
use std::sync::Arc;

use openrtc_livekit::{
    ApiKey, Capacity, ConnectError, Decision, Disconnect, JobEnd, JobId, LinkView, NotDispatchable, Notice,
    Registration, Service, Trust, proto,
};

use crate::desk::{Desk, dispatch, key, service, unique};
use crate::livekit_server::{KEY, LivekitServer, SECRET, VERSION};

pub(crate) async fn a_worker_registers_and_its_pings_are_answered(server: Arc<LivekitServer>) {
    let mut desk = Desk::start(&server.url(), key(), Registration::rooms(unique("clerk")), Capacity::IDLE);
    assert_eq!(desk.client.standing().dispatchable(), Err(NotDispatchable::NotRegistered));
    let (worker_id, version) = desk
        .wait("registration", |notice| match notice {
            Notice::Registered { worker_id, server, resumed: 0 } => Some((worker_id, server.version)),
            _ => None,
        })
        .await;
    assert!(worker_id.starts_with("AW_"), "{worker_id}");
    assert_eq!(version, VERSION);
    let standing = desk.standing(|standing| standing.dispatchable().is_ok()).await;
    assert!(matches!(standing.link, LinkView::Registered { worker_id: seen, .. } if *seen == *worker_id));
    let standing = desk.standing(|standing| standing.round_trip.is_some()).await;
    println!("  round trip {:?}", standing.round_trip);
    assert_eq!((standing.counters.messages_unknown, standing.counters.messages_unreadable), (0, 0));
}

async fn refusal(desk: &mut Desk) -> (u16, u32) {
    desk.wait("a refusal", |notice| match notice {
        Notice::Disconnected { why: Disconnect::Connect(error), attempt, .. } => match &*error {
            ConnectError::Refused { status, .. } => Some((*status, attempt)),
            error => panic!("{error}: {:?}", error.source()),
        },
        _ => None,
    })
    .await
}

pub(crate) async fn a_wrong_secret_is_refused_with_401_and_tried_again(server: Arc<LivekitServer>) {
    let wrong = Arc::new(ApiKey::new(KEY, "wrong"));
    let mut desk = Desk::start(&server.url(), wrong, Registration::rooms("clerk"), Capacity::IDLE);
    assert_eq!(refusal(&mut desk).await, (401, 1));
    assert_eq!(refusal(&mut desk).await, (401, 2));
    let LinkView::Connecting { why: Some(why), .. } = desk.client.standing().link else { panic!() };
    println!("  {why}");
    assert!(why.contains("401") && !why.contains("eyJ"), "{why}");

    let wrong = Arc::new(ApiKey::new(KEY, "wrong"));
    let service = Service::new(server.url().parse().expect("a URL"), wrong, &Trust::System).expect("a client");
    let error = service.list_dispatch("room").await.expect_err("a wrong secret").to_string();
    println!("  {error}");
    assert!(error.contains("call ListDispatch: ") && !error.contains("eyJ"), "{error}");
}

pub(crate) async fn a_path_that_is_no_server_is_told_from_a_wrong_key(server: Arc<LivekitServer>) {
    let url = format!("{}/elsewhere", server.url());
    let mut desk = Desk::start(&url, key(), Registration::rooms("clerk"), Capacity::IDLE);
    assert_eq!(refusal(&mut desk).await.0, 404);
}

pub(crate) async fn a_worker_of_each_type_in_a_deployment_registers(server: Arc<LivekitServer>) {
    for job_type in [proto::JobType::JtRoom, proto::JobType::JtPublisher, proto::JobType::JtParticipant] {
        let registration = Registration::rooms(unique("clerk")).of_type(job_type).with_instance_id("i1");
        let registration = registration.in_deployment("blue-2").expect("a fine name");
        let mut desk = Desk::start(&server.url(), key(), registration, Capacity::IDLE);
        desk.wait("registration", |notice| matches!(notice, Notice::Registered { .. }).then_some(())).await;
    }
}

/// Its own server: the others need theirs.
pub(crate) async fn a_killed_server_is_found_again_and_jobs_live_on(_: Arc<LivekitServer>) {
    let mut server = LivekitServer::start().expect("another server");
    assert_eq!((KEY, SECRET), ("devkey", "secret"));
    let (agent, room) = (unique("clerk"), unique("room"));
    let mut desk = Desk::registered(&server, &agent).await;
    service(&server).create_dispatch(dispatch(&agent, &room)).await.expect("a dispatch");
    let offer = desk.offer().await;
    desk.accept(&offer.id);
    let job = desk.assigned().await;

    server.kill();
    desk.wait("the loss", |notice| matches!(notice, Notice::Disconnected { .. }).then_some(())).await;
    assert_eq!(desk.client.standing().live, 1, "the call goes on");
    let ended = JobId("AJ_of_nobody".into());
    desk.client.ended(ended, JobEnd::Success).expect("a live worker");
    server.restart();
    let resumed = desk
        .wait("another registration", |notice| match notice {
            Notice::Registered { resumed, .. } => Some(resumed),
            _ => None,
        })
        .await;
    assert_eq!(resumed, 1);
    let standing = desk.client.standing();
    println!("  {} connections were lost or not made until the server was back", standing.counters.disconnected);

    // The new server knows nothing of the job, and takes our word for its end without closing the connection.
    desk.client.ended(job.id, JobEnd::Success).expect("a live worker");
    service(&server).create_dispatch(dispatch(&agent, &room)).await.expect("a dispatch");
    let offer = desk.offer().await;
    desk.accept(&offer.id);
    desk.assigned().await;
    desk.client.decide(Decision::Shutdown).expect("a live worker");
    desk.wait("the end", |notice| matches!(notice, Notice::Stopped).then_some(())).await;
    assert!(desk.notices.recv().await.is_none());
}
