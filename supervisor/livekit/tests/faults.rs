//! Faults that a real server cannot be made to produce, played by a scripted peer.
//!
//! Owns: late assignments, a server that leaves, frames that are no messages or too large, a private authority. Never:
//! stands in for the server where the real one can be had: `real_server.rs`.

#[path = "faults/peer.rs"]
mod peer;

use std::time::{Duration, Instant};

use openrtc_livekit::proto::{self, server_message, worker_message};
use openrtc_livekit::{Acceptance, Answer, Disconnect, JobEnd, JobId, Lapse, NotDispatchable, Notice, Trust, bounds};
use prost::Message as _;

use peer::{Peer, wait};

#[tokio::test]
async fn the_upgrade_carries_a_worker_token_below_the_path_of_the_url() {
    let mut peer = Peer::start("/eu/west").await;
    let (_client, _notices) = peer.client(Trust::System);
    let socket = peer.accept().await;
    assert_eq!(socket.path, "/eu/west/agent?protocol=1");
    let token = socket.authorization.strip_prefix("Bearer ").expect("a bearer token");
    let claims = livekit_token::TokenVerifier::with_api_key("devkey", "secret").verify(token).expect("our key");
    assert!(claims.video.agent && !claims.video.room_join && claims.sub.is_empty());
}

#[tokio::test]
async fn the_first_words_are_the_registration_and_then_the_load() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.accept().await;
    let worker_message::Message::Register(register) = socket.hear().await else { panic!() };
    assert_eq!((register.agent_name.as_str(), register.version.as_str()), ("clerk", env!("CARGO_PKG_VERSION")));
    assert_eq!(client.standing().dispatchable(), Err(NotDispatchable::NotRegistered));
    socket.confirm().await;
    let worker_message::Message::UpdateWorker(update) = socket.hear().await else { panic!() };
    assert_eq!((update.status(), update.load, update.seq), (proto::WorkerStatus::WsAvailable, 0.0, 1));
    wait(&mut notices, |notice| matches!(notice, Notice::Registered { .. }).then_some(())).await;
}

#[tokio::test]
async fn an_assignment_that_comes_too_late_is_failed_at_once_and_nobody_is_bothered() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    socket.offer("AJ_1").await;
    let offer = wait(&mut notices, |notice| if let Notice::Offer(offer) = notice { Some(offer) } else { None }).await;
    client.answer(offer.id, Answer::Accept(Box::<Acceptance>::default())).expect("a live worker");
    let answered = Instant::now();
    let lapse =
        wait(&mut notices, |notice| if let Notice::Lapsed { job, why } = notice { Some((job, why)) } else { None });
    assert_eq!(lapse.await, (JobId("AJ_1".into()), Lapse::NotAssigned));
    assert!(answered.elapsed() + Duration::from_millis(100) > bounds::ASSIGN_WITHIN, "{:?}", answered.elapsed());
    socket.assign("AJ_1").await;
    let update = socket.hear_update().await;
    assert_eq!((update.job_id.as_str(), update.status()), ("AJ_1", proto::JobStatus::JsFailed));
    assert!(notices.try_recv().is_err(), "nothing for the owner");
}

#[tokio::test]
async fn a_server_that_leaves_keeps_its_job_while_the_worker_registers_elsewhere() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut old = peer.registered().await;
    let job = old.run_job("AJ_1", &client, &mut notices).await;
    old.say(server_message::Message::GoAway(proto::agent_http::GoAway { reason: "deploy".into() })).await;
    let mut new = peer.registered().await;
    let reason = wait(&mut notices, |notice| if let Notice::Moving { reason } = notice { Some(reason) } else { None });
    assert_eq!(reason.await, "deploy");
    client.ended(job, JobEnd::Success).expect("a live worker");
    let update = old.hear_update().await;
    assert_eq!((update.job_id.as_str(), update.status()), ("AJ_1", proto::JobStatus::JsSuccess));
    old.gone().await;
    new.offer("AJ_2").await;
    wait(&mut notices, |notice| matches!(notice, Notice::Offer(_)).then_some(())).await;
}

#[tokio::test]
async fn a_job_that_ends_while_there_is_no_server_is_named_and_reported_to_the_next_connection() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    let ends = socket.run_job("AJ_1", &client, &mut notices).await;
    socket.run_job("AJ_2", &client, &mut notices).await;
    drop(socket);
    wait(&mut notices, |notice| matches!(notice, Notice::Disconnected { .. }).then_some(())).await;
    client.ended(ends, JobEnd::Failed { error: "signal 9".into() }).expect("a live worker");
    let mut next = peer.accept().await;
    assert!(matches!(next.hear().await, worker_message::Message::Register(_)));
    client.watch().wait_for(|standing| standing.updates_waiting == 1).await.expect("a live worker");
    next.confirm().await;
    let worker_message::Message::MigrateJob(migration) = next.hear().await else { panic!() };
    assert_eq!(migration.job_ids, ["AJ_2", "AJ_1"]);
    assert!(matches!(next.hear().await, worker_message::Message::UpdateWorker(_)));
    let update = next.hear_update().await;
    assert_eq!((update.job_id.as_str(), update.error.as_str()), ("AJ_1", "signal 9"));
    assert_eq!(client.standing().live, 1);
}

#[tokio::test]
async fn nonsense_is_skipped_and_counted_and_the_connection_serves_on() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    socket.say_text("{}").await;
    socket.say_bytes(b"\xff\xff\xff".to_vec()).await;
    socket.say_bytes(b"\xaa\x06\x01x".to_vec()).await;
    socket.say_bytes(Vec::new()).await;
    socket.offer("AJ_1").await;
    wait(&mut notices, |notice| matches!(notice, Notice::Offer(_)).then_some(())).await;
    let counters = client.standing().counters;
    assert_eq!((counters.messages_unreadable, counters.messages_unknown, counters.disconnected), (2, 2, 0));
}

#[tokio::test]
async fn a_frame_that_says_it_is_too_large_ends_the_connection_before_any_of_it_came() {
    let mut peer = Peer::start("").await;
    let (_client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    // The header of a binary frame of 1 TiB, and nothing else.
    let mut header = vec![0x82, 127];
    header.extend_from_slice(&(1u64 << 40).to_be_bytes());
    socket.say_raw(&header).await;
    let why = wait(&mut notices, |notice| if let Notice::Disconnected { why, .. } = notice { Some(why) } else { None });
    assert!(matches!(why.await, Disconnect::Broken(_)));
    peer.registered().await;
}

#[tokio::test]
async fn an_offer_of_three_mebibytes_passes_byte_by_byte() {
    let mut peer = Peer::start("").await;
    let (_client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    let job = proto::Job { id: "AJ_1".into(), metadata: "x".repeat(3 * 1024 * 1024), ..Default::default() };
    let request = proto::AvailabilityRequest { job: Some(job.clone()), resuming: false };
    socket.say(server_message::Message::Availability(request)).await;
    let offer = wait(&mut notices, |notice| if let Notice::Offer(offer) = notice { Some(offer) } else { None }).await;
    assert_eq!(offer.raw, job.encode_to_vec());
}

#[tokio::test]
async fn a_worker_whose_handles_are_gone_says_goodbye() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    socket.run_job("AJ_1", &client, &mut notices).await;
    drop(client);
    assert_eq!(socket.hear_update().await.status(), proto::JobStatus::JsFailed, "what runs is reported");
    socket.gone().await;
    wait(&mut notices, |notice| matches!(notice, Notice::Stopped).then_some(())).await;
    assert!(notices.recv().await.is_none());

    let (_client, notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    drop(notices);
    socket.gone().await;
}

#[tokio::test]
async fn an_owner_that_does_not_read_still_decides() {
    let mut peer = Peer::start("").await;
    let (client, mut notices) = peer.client(Trust::System);
    let mut socket = peer.registered().await;
    let job = socket.run_job("AJ_0", &client, &mut notices).await;
    for n in 1..=bounds::NOTICES_QUEUED_MAX {
        socket.offer(&format!("AJ_{n}")).await;
    }
    client.watch().wait_for(|standing| standing.pending == bounds::NOTICES_QUEUED_MAX).await.expect("a live worker");
    client.ended(job, JobEnd::Success).expect("room for a decision");
    assert_eq!(socket.hear_update().await.job_id, "AJ_0");
}

#[tokio::test]
async fn tls_believes_a_private_authority_and_nobody_else() {
    let mut peer = Peer::start_secure().await;
    let trusted = peer.authority.clone().expect("an authority");
    let (_client, mut notices) = peer.client(Trust::File(trusted.clone()));
    peer.registered().await;
    wait(&mut notices, |notice| matches!(notice, Notice::Registered { .. }).then_some(())).await;

    let mut stranger = Peer::start_secure().await;
    let (_client, mut notices) = stranger.client(Trust::File(trusted));
    let fault = wait(&mut notices, |notice| match notice {
        Notice::Disconnected { why: Disconnect::Connect(error), .. } => Some(format!("{error:?}")),
        _ => None,
    });
    let (fault, ()) = tokio::join!(fault, stranger.refused());
    assert!(fault.contains("UnknownIssuer") || fault.contains("BadSignature"), "{fault}");
}
