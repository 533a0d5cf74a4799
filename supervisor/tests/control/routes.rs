//! What is asked and what is answered.

use std::time::Duration;

use openrtc_control_api::{
    Breaker, DispatchRequest, DispatchResponse, DrainStatus, Host, HostGone, Problem, Session, SessionList, Snapshot,
    Tenant, TripBreaker,
};
use openrtc_policy::outcome::{Reason, Status};
use openrtc_policy::{OperatorEvent, RejectReason};
use openrtc_supervisor::cli::client::{Client, Patience};
use openrtc_supervisor::cli::exit::{CliError, Exit};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::harness::{DEADLINE, HOST, Server, end, tenant, until};

async fn post<A: DeserializeOwned>(client: &Client, path: &str, body: Value) -> Result<A, CliError> {
    client.post(path, &body, Patience::Usual).await
}

async fn refused(client: &Client, path: &str, body: Value) -> Problem {
    let error = post::<Value>(client, path, body).await.expect_err(path);
    error.problem().unwrap_or_else(|| panic!("{path}: {error}")).clone()
}

async fn admit(server: &Server) -> DispatchResponse {
    let request = DispatchRequest { room: "call-1".into(), ..DispatchRequest::default() };
    server.client().post("/v1/dispatch", &request, Patience::Usual).await.unwrap()
}

#[tokio::test]
async fn a_dispatch_carries_its_recording_and_tells_how_it_was_admitted() {
    let server = Server::start();
    let recording = server.home.path().join("call.wav");
    std::fs::write(&recording, "RIFF").unwrap();
    let response: DispatchResponse =
        post(&server.client(), "/v1/dispatch", json!({"room": "call-1", "input": recording})).await.unwrap();
    let admitted = response.admitted;
    assert_eq!((admitted.session.as_str(), admitted.tenant.as_str()), ("s-1a2b3c4d-1", "acme-corp"));
    assert_eq!((admitted.agent.as_str(), admitted.routed_by.as_str()), ("support", "fallback"));
    assert!(response.ended.is_none());
    assert_eq!(*server.recordings.lock().unwrap(), ["RIFF"]);
}

#[tokio::test]
async fn a_dispatch_that_waits_is_answered_with_the_end() {
    let server = Server::start();
    let client = server.client();
    let waiting = post::<DispatchResponse>(&client, "/v1/dispatch", json!({"room": "call-1", "wait": true}));
    let ending = async {
        until("the session is admitted", || !server.ledger.all_live().is_empty()).await;
        let session = server.ledger.all_live()[0].info.session;
        end(&server.ledger, session, Status::Failed, Reason::HostExit { code: 3 });
    };
    let (response, ()) = tokio::join!(waiting, ending);
    let ended = response.unwrap().ended.unwrap();
    assert_eq!((ended.status.as_str(), ended.reason.as_str(), ended.blame.as_str()), ("failed", "host_exit", "tenant"));
    assert_eq!(ended.reason_detail, json!({"reason": "host_exit", "code": 3}));
    assert_eq!((ended.host.as_deref(), ended.duration_ms, ended.started), (Some("h3.1"), 1_234, true));
}

#[tokio::test]
async fn a_rejection_comes_back_whole() {
    let server = Server::start();
    let problem = refused(&server.client(), "/v1/dispatch", json!({"room": "r", "tenant": "full"})).await;
    let expected = Problem::new(409, "tenant_cap", "tenant full: 2 of 2 sessions; raise max_sessions")
        .with_tenant(Some("full".into()))
        .with_retry_after_ms(Some(2_500));
    assert_eq!(problem, expected);
    assert_eq!(CliError::Refused(Box::new(problem)).exit(), Exit::Rejected);
}

#[tokio::test]
async fn a_dispatch_at_fault_names_the_field_and_never_reaches_policy() {
    let server = Server::start();
    let client = server.client();
    for (body, field) in [
        (json!({"room": "r".repeat(513)}), "room"),
        (json!({"room": ""}), "room"),
        (json!({"room": "r", "metadata": "m".repeat(65_537)}), "metadata"),
        (json!({"room": "r", "room_metadata": "m".repeat(65_537)}), "room_metadata"),
        (json!({"room": "r", "input": "call.wav"}), "input"),
        (json!({"room": "r", "input": "/no/such.wav"}), "input"),
        (json!({"room": "r", "input": server.home.path()}), "input"),
    ] {
        let problem = refused(&client, "/v1/dispatch", body).await;
        assert_eq!((problem.status, problem.reason.as_str()), (400, "config_error"), "{problem:?}");
        assert!(problem.detail.starts_with(&format!("{field}: ")), "{problem:?}");
    }
    for body in [json!({"room": "r", "rom": 1}), json!({"tenant": "t"}), json!([1])] {
        assert_eq!(refused(&client, "/v1/dispatch", body).await.reason, "bad_request");
    }
    assert!(server.ledger.all_live().is_empty());
}

#[tokio::test]
async fn who_stops_waiting_frees_the_place() {
    let server = Server::start();
    let client = server.client();
    // More than may wait at once: each gives up before the next comes.
    for _ in 0..130 {
        let waiting = post::<DispatchResponse>(&client, "/v1/dispatch", json!({"room": "r", "wait": true}));
        let live = server.ledger.all_live().len();
        tokio::select! {
            early = waiting => panic!("answered before the end: {early:?}"),
            () = until("one more is admitted", || server.ledger.all_live().len() > live) => {}
        }
    }
    // One that waits now has a place, so it is answered with the end and not before.
    let waiting = post::<DispatchResponse>(&client, "/v1/dispatch", json!({"room": "last", "wait": true}));
    let ending = async {
        until("the last is admitted", || server.ledger.all_live().iter().any(|live| live.info.room_name == "last"))
            .await;
        let last = server.ledger.all_live().into_iter().find(|live| live.info.room_name == "last").unwrap();
        end(&server.ledger, last.info.session, Status::Success, Reason::Completed);
    };
    let (response, ()) = tokio::join!(waiting, ending);
    assert_eq!(response.unwrap().ended.unwrap().reason, "completed");
}

#[tokio::test]
async fn a_session_is_listed_shown_ended_and_still_shown() {
    let server = Server::start();
    server.enter_host();
    let client = server.client();
    admit(&server).await;
    let list: SessionList = client.get("/v1/sessions?tenant=acme-corp").await.unwrap();
    let row = &list.sessions[0];
    assert_eq!((row.session_id.as_str(), row.status.as_str(), row.mem_mb), ("s-1a2b3c4d-1", "active", 10.0));
    assert!(client.get::<SessionList>("/v1/sessions?tenant=initech").await.unwrap().sessions.is_empty());
    assert!(matches!(client.get("/v1/sessions/s-1a2b3c4d-1").await.unwrap(), Session::Live { .. }));

    let path = "/v1/sessions/s-1a2b3c4d-1/end?wait_s=20";
    let Session::Ended { ended } = post(&client, path, json!({})).await.unwrap() else { panic!("still runs") };
    assert_eq!((ended.status.as_str(), ended.reason.as_str()), ("cancelled", "operator_kill"));
    // Ending it again changes nothing.
    assert!(matches!(post(&client, path, json!({})).await.unwrap(), Session::Ended { .. }));
    assert_eq!(server.ordered().len(), 1);
    assert!(matches!(client.get("/v1/sessions/s-1a2b3c4d-1").await.unwrap(), Session::Ended { .. }));
    let list: SessionList = client.get("/v1/sessions?ended=true").await.unwrap();
    assert_eq!((list.sessions.len(), list.ended.len()), (0, 1));
}

#[tokio::test]
async fn asking_for_a_session_waits_as_long_as_asked_and_no_longer() {
    let server = Server::start();
    admit(&server).await;
    let start = std::time::Instant::now();
    let path = "/v1/sessions/s-1a2b3c4d-1?wait_s=0.3";
    assert!(matches!(server.client().get(path).await.unwrap(), Session::Live { .. }));
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < DEADLINE);
    for wrong in ["-1", "61", "NaN"] {
        let error =
            server.client().get::<Value>(&format!("/v1/sessions/s-1a2b3c4d-1?wait_s={wrong}")).await.unwrap_err();
        assert_eq!(error.problem().unwrap().reason, "bad_request", "{wrong}");
    }
}

#[tokio::test]
async fn a_kill_is_answered_when_the_host_is_gone() {
    let server = Server::start();
    server.enter_host();
    let client = server.client();
    let hosts: Vec<Host> = client.get("/v1/hosts").await.unwrap();
    assert_eq!((hosts[0].host.as_str(), hosts[0].pid, hosts[0].memory_bytes), ("h3.1", Some(4711), 10 << 20));
    let gone: HostGone = post(&client, "/v1/hosts/h3.1/kill", json!({})).await.unwrap();
    assert_eq!(gone.host, "h3.1");
    assert_eq!(server.ordered(), [OperatorEvent::KillHost(HOST)]);
    assert!(server.hosts.get(HOST).is_none());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::start();
    let client = server.client();
    for path in ["/v1/sessions/s-1a2b3c4d-9", "/v1/hosts/h9.9", "/v1/tenants/nobody", "/v1/nonsense", "/nonsense"] {
        let error = client.get::<Value>(path).await.unwrap_err();
        assert_eq!((error.problem().unwrap().status, error.exit()), (404, Exit::NotFound), "{path}");
    }
    for path in ["/v1/tenants/nobody/suspend", "/v1/breakers/nobody/trip", "/v1/hosts/h9.9/kill"] {
        assert_eq!(refused(&client, path, json!({})).await.status, 404, "{path}");
    }
    assert_eq!(refused(&client, "/v1/tenants/a%2Fb/suspend", json!({})).await.reason, "tenant_invalid");
    assert_eq!(client.get::<Value>("/v1/sessions/17").await.unwrap_err().exit(), Exit::Usage);
    assert_eq!(refused(&client, "/v1/snapshot", json!({})).await.status, 405);
    assert!(server.ordered().is_empty(), "an order was given for what is not there");
}

#[tokio::test]
async fn orders_arrive_as_they_were_given() {
    let server = Server::start();
    let client = server.client();
    let acme = || tenant("acme-corp");
    let shown: Tenant = post(&client, "/v1/tenants/acme-corp/drain", json!({})).await.unwrap();
    assert_eq!(shown.tenant, "acme-corp");
    let trip = TripBreaker { for_s: Some(2.5) };
    let breaker: Breaker = client.post("/v1/breakers/initech/trip", &trip, Patience::Usual).await.unwrap();
    assert_eq!((breaker.state.as_str(), breaker.closes_in_s, breaker.cooldown_s), ("open", Some(1.5), 3.0));
    let _: Breaker = post(&client, "/v1/breakers/initech/trip", json!({})).await.unwrap();
    let _: Breaker = post(&client, "/v1/breakers/initech/reset", json!({})).await.unwrap();
    for wrong in [json!({"for_s": 0}), json!({"for_s": -1}), json!({"for_s": 1e12}), json!({"for": 1})] {
        assert_eq!(refused(&client, "/v1/breakers/initech/trip", wrong).await.reason, "bad_request");
    }
    let _: DrainStatus = post(&client, "/v1/drain", json!({})).await.unwrap();
    let _: DrainStatus = post(&client, "/v1/shutdown", json!({})).await.unwrap();
    let initech = || tenant("initech");
    assert_eq!(
        server.ordered(),
        [
            OperatorEvent::DrainTenant(acme()),
            OperatorEvent::TripBreaker(initech(), Some(2_500)),
            OperatorEvent::TripBreaker(initech(), None),
            OperatorEvent::ResetBreaker(initech()),
            OperatorEvent::Drain,
            OperatorEvent::Shutdown,
        ]
    );
}

#[tokio::test]
async fn the_snapshot_has_every_key_of_openrtc_and_counts_what_runs() {
    let server = Server::start();
    server.enter_host();
    admit(&server).await;
    let raw: Value = server.client().get("/v1/snapshot").await.unwrap();
    for key in [
        "timestamp",
        "uptime_seconds",
        "registered_agents",
        "active_sessions",
        "total_sessions_started",
        "total_session_failures",
        "last_routed_agent",
        "last_error",
        "sessions_by_agent",
        "sessions_by_tenant",
        "deployment_version",
        "draining",
        "resident_set",
    ] {
        assert!(raw.get(key).is_some(), "{key} is missing");
    }
    for key in ["bytes", "metric", "description"] {
        assert!(!raw["resident_set"][key].is_null(), "resident_set.{key} is missing");
    }
    let snapshot: Snapshot = serde_json::from_value(raw).unwrap();
    assert_eq!((snapshot.active_sessions, snapshot.sessions_by_tenant["acme-corp"]), (1, 1));
    assert_eq!((snapshot.hosts.len(), snapshot.tenants.len(), snapshot.breakers.len()), (1, 2, 1));
    assert_eq!((snapshot.tenants[0].memory_bytes, snapshot.tenants[1].breaker.as_str()), (10 << 20, "open"));
    assert_eq!((snapshot.rejections.len(), snapshot.rejections["tenant_cap"]), (RejectReason::ALL.len(), 4));
    assert_eq!(snapshot.deployment_version.as_deref(), Some("v7"));

    let other: Snapshot = server.client().get("/v1/snapshot?tenant=initech").await.unwrap();
    assert_eq!((other.active_sessions, other.hosts.len(), other.tenants.len()), (0, 0, 1));
}

#[tokio::test]
async fn openrtcs_top_reads_one_line() {
    let server = Server::start();
    admit(&server).await;
    let read = async {
        let mut line = String::new();
        let mut stream = tokio::net::UnixStream::connect(&server.top).await.unwrap();
        stream.read_to_string(&mut line).await.unwrap();
        line
    };
    let line = tokio::time::timeout(DEADLINE, read).await.unwrap();
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
    let top: Value = serde_json::from_str(&line).unwrap();
    for key in [
        "name",
        "uptime_s",
        "active_sessions",
        "max_sessions",
        "started",
        "failed",
        "draining",
        "system",
        "cpu_history",
    ] {
        assert!(top["worker"].get(key).is_some(), "worker.{key} is missing");
    }
    for key in ["session_id", "agent_name", "tenant", "duration_s", "mem_mb", "peak_mb", "cpu_pct", "status", "pinned"]
    {
        assert!(!top["sessions"][0][key].is_null(), "sessions[0].{key} is missing");
    }
    assert_eq!((&top["worker"]["max_sessions"], &top["worker"]["started"]), (&json!(50), &json!(9)));
}
