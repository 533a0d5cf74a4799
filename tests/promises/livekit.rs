//! A real LiveKit server's dispatches become walled sessions of the right tenant, and it is told how each ended.

use std::sync::Arc;

use openrtc_livekit::{ApiKey, Participant, Service, Trust, proto};
use openrtc_tests::livekit_server::{KEY, LivekitServer, SECRET};
use openrtc_tests::{Running, Setup, until};
use rustix::process::Signal;
use serde_json::Value;

use crate::config;

const NEEDS: &str = "a server that starts";

/// A server, a supervisor that is registered with it, and the server's own API.
struct Scene {
    // Before the server, which would else be missed.
    running: Running,
    service: Service,
    runtime: tokio::runtime::Runtime,
    server: LivekitServer,
}

const AGENTS: &str = r#"
[agents.teller]
command = ["/bin/sh", "-c", '''
read session
printf '{"type":"custom","name":"session","data":%s}\n' "$session" >&3
printf '{"type":"custom","name":"env","data":"%s"}\n' "$(env | tr '\n' ' ' | tr -d '"\\\\')" >&3
''']
[tenants.acme]
[tenants.initech]
[tenants.globex]
status = "suspended"
"#;

impl Scene {
    fn new(more: &str) -> Self {
        Self::of(&config(&format!("{AGENTS}{more}")))
    }

    fn of(config: &str) -> Self {
        let server = LivekitServer::start_logging("info").expect(NEEDS);
        let running = worker(&server, config);
        let key = Arc::new(ApiKey::new(KEY, SECRET));
        let service = Service::new(server.url().parse().expect("a URL"), key, &Trust::System).expect("a client");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let scene = Self { running, service, runtime: runtime.expect("a runtime"), server };
        is_dispatchable(&scene.running);
        scene
    }

    fn livekit(&self) -> Value {
        self.running.snapshot()["livekit"].clone()
    }

    fn request(room: &str, metadata: &str) -> proto::CreateAgentDispatchRequest {
        proto::CreateAgentDispatchRequest {
            agent_name: "clerk".into(),
            room: room.into(),
            metadata: metadata.into(),
            ..Default::default()
        }
    }

    /// Dispatches `clerk` to a room; gives the dispatch's id.
    fn dispatch(&self, room: &str, metadata: &str) -> String {
        let made = self.runtime.block_on(self.service.create_dispatch(Self::request(room, metadata)));
        made.expect("a dispatch").id
    }

    /// What the server wrote of the first job that ended: it lists those that run only.
    #[track_caller]
    fn job_ended(&self) -> String {
        until("the server knows of the job's end", || {
            let log = self.server.log();
            log.lines().find(|line| line.contains("job ended")).map(str::to_owned)
        })
    }

    /// The session that a room's call runs as, or ran as, once there is one.
    #[track_caller]
    fn session(&self, room: &str) -> String {
        until("the call is a session", || {
            let (list, _) = self.running.json(&["session", "list", "--ended"]);
            let all = ["sessions", "ended"].into_iter().filter_map(|key| list[key].as_array());
            let found = all.flatten().find(|session| session["room"] == room)?;
            Some(found["session_id"].as_str()?.to_owned())
        })
    }

    #[track_caller]
    fn runs(&self, sessions: u64) {
        until("the sessions run", || {
            (self.running.snapshot()["total_sessions_started"].as_u64() >= Some(sessions)).then_some(())
        });
    }
}

/// A supervisor that is a worker of this server.
fn worker(server: &LivekitServer, config: &str) -> Running {
    let setup = Setup::new(config).env("LIVEKIT_URL", server.url());
    setup.env("LIVEKIT_API_KEY", KEY).env("LIVEKIT_API_SECRET", SECRET).start()
}

#[track_caller]
fn is_dispatchable(running: &Running) {
    until("the worker can be offered calls", || (running.snapshot()["livekit"]["dispatchable"] == true).then_some(()));
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- server's log\n{}", self.server.log());
        }
    }
}

const CLERK: &str = "[livekit]\nagent_names = [\"clerk\"]\n";

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_dispatch_runs_as_its_tenant_and_its_end_is_reported() {
    let scene = Scene::new(CLERK);
    scene.dispatch("room-1", r#"{"tenant":"acme","agent":"teller","plan":"gold"}"#);
    let ended = scene.job_ended();
    assert!(ended.contains("JS_SUCCESS"), "{ended}");
    let session = scene.session("room-1");
    let entry = scene.running.ended(&session);
    assert_eq!((entry["tenant"].as_str(), entry["agent_name"].as_str()), (Some("acme"), Some("teller")), "{entry}");
    // What it was told: its room and how to join it, but the token is hidden in all that it says.
    let told = &scene.running.told(&session, "session", |told| !told.is_empty())[0];
    let livekit = &told["livekit"];
    assert_eq!((livekit["room"].as_str(), livekit["token"].as_str()), (Some("room-1"), Some("***(token)")), "{told}");
    assert_eq!(livekit["url"].as_str(), Some(scene.server.url().as_str()));
    let identity = format!("agent-{}", told["job_id"].as_str().expect("a job"));
    assert_eq!((livekit["identity"].as_str(), told["metadata"]["plan"].as_str()), (Some(&*identity), Some("gold")));
    let env = scene.running.told(&session, "env", |told| !told.is_empty())[0].to_string();
    assert!(env.contains("OPENRTC_TENANT=acme") && !env.contains("LIVEKIT"), "{env}");
    let log = scene.running.log();
    assert!(log.contains("livekit: registered") && log.contains("dispatchable: yes") && !log.contains("eyJ"), "{log}");
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn twenty_dispatches_at_once_at_a_cap_of_ten_are_ten_calls_and_ten_refusals() {
    let text = config(&format!("[tenants.acme]\n{CLERK}"));
    let scene = Scene::of(&text.replace("max_concurrent_sessions = 500", "max_concurrent_sessions = 10"));
    scene.runtime.block_on(async {
        let ask = async |number: u32| {
            let request = Scene::request(&format!("burst-{number}"), r#"{"tenant":"acme","agent":"wait"}"#);
            scene.service.create_dispatch(request).await.expect("a dispatch")
        };
        let asked = (0..20).map(|number| Box::pin(ask(number)));
        join_all(asked.collect()).await;
    });
    // Refused by us, or by the server itself, which had heard by then that we are full.
    let refused = || scene.server.log().lines().filter(|line| line.contains("failed to send job request")).count();
    until("ten are refused", || (refused() >= 10).then_some(()));
    scene.runs(10);
    let livekit = scene.livekit();
    let by_us = livekit["refused"]["global_cap"].as_u64().unwrap_or_default();
    assert_eq!((livekit["accepted"].as_u64(), livekit["offers"].as_u64()), (Some(10), Some(10 + by_us)), "{livekit}");
    assert_eq!(refused(), 10);
    let livekit = scene.livekit();
    assert_eq!((livekit["dispatchable"].as_bool(), livekit["workers"][0]["load"].as_f64()), (Some(false), Some(1.0)));
    assert_eq!(livekit["assignments_expired"], 0, "{livekit}");
}

/// All of them at once, on one task.
async fn join_all<F: Future + Unpin>(mut all: Vec<F>) {
    std::future::poll_fn(|context| {
        all.retain_mut(|one| std::pin::Pin::new(one).poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_server_that_dies_is_found_again_and_calls_live_on() {
    let mut scene = Scene::new(CLERK);
    scene.dispatch("room-1", r#"{"tenant":"acme","agent":"wait"}"#);
    scene.runs(1);
    let before = scene.livekit()["workers"][0]["worker_id"].clone();
    scene.server.kill();
    until("the loss is noticed", || (scene.livekit()["dispatchable"] == false).then_some(()));
    scene.server.restart();
    until("it is registered again", || {
        let worker = scene.livekit()["workers"][0].clone();
        (worker["link"] == "registered" && worker["worker_id"] != before).then_some(())
    });
    assert_eq!(scene.running.snapshot()["active_sessions"], 1);
    until("calls come again", || (scene.livekit()["dispatchable"] == true).then_some(()));
    scene.dispatch("room-2", r#"{"tenant":"acme","agent":"echo"}"#);
    let ended = scene.job_ended();
    assert!(ended.contains("JS_SUCCESS"), "{ended}");
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_drain_takes_no_more_calls_and_lets_those_that_run_end() {
    let mut scene =
        Scene::new(&format!("[agents.short]\ncommand = [\"/bin/sh\", \"-c\", \"read l; sleep 3\"]\n{CLERK}"));
    scene.dispatch("room-1", r#"{"tenant":"acme","agent":"short"}"#);
    scene.runs(1);
    scene.running.signal(Signal::TERM);
    until("it is full for the server", || {
        let livekit = scene.livekit();
        (livekit["workers"][0]["link"] == "registered" && livekit["dispatchable"] == false).then_some(())
    });
    scene.dispatch("room-2", r#"{"tenant":"acme","agent":"echo"}"#);
    let ended = scene.job_ended();
    assert!(ended.contains("JS_SUCCESS"), "{ended}");
    assert!(scene.running.child.wait().expect("wait").success(), "{}", scene.running.log());
    let begun = scene.running.events().into_iter().filter(|line| line["kind"] == "session_end").count();
    assert_eq!(begun, 1, "{}", scene.running.log());
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_host_that_dies_fails_its_job_with_what_is_known_of_its_death() {
    let scene = Scene::new(CLERK);
    scene.dispatch("room-1", r#"{"tenant":"acme","agent":"wait"}"#);
    scene.runs(1);
    let host = scene.running.hosts_of("acme")[0].clone();
    let pid = host["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("kill the host");
    let ended = scene.job_ended();
    assert!(ended.contains("JS_FAILED") && (ended.contains("signal 9") || ended.contains("SIGKILL")), "{ended}");
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_dispatch_that_is_taken_back_ends_its_session() {
    let scene = Scene::new(CLERK);
    let dispatch = scene.dispatch("room-1", r#"{"tenant":"acme","agent":"wait"}"#);
    scene.runs(1);
    let session = scene.session("room-1");
    scene.runtime.block_on(scene.service.delete_dispatch("room-1", &dispatch)).expect("deleted");
    let entry = scene.running.ended(&session);
    assert_eq!(
        (entry["status"].as_str(), entry["reason"].as_str()),
        (Some("cancelled"), Some("caller_left")),
        "{entry}"
    );
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_room_that_is_closed_ends_its_session_and_no_other() {
    let scene = Scene::new(CLERK);
    for room in ["room-1", "room-2"] {
        scene.dispatch(room, r#"{"tenant":"acme","agent":"wait"}"#);
    }
    scene.runs(2);
    let session = scene.session("room-1");
    scene.runtime.block_on(scene.service.delete_room("room-1")).expect("deleted");
    let entry = scene.running.ended(&session);
    assert_eq!((entry["status"].as_str(), entry["reason"].as_str()), (Some("success"), Some("completed")), "{entry}");
    assert_eq!(scene.running.snapshot()["active_sessions"], 1);
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn what_we_leave_to_others_another_worker_gets_and_what_nobody_may_have_nobody_gets() {
    // Two workers of one name: the first does not serve acme now, and nobody may serve globex by its rules; the second has
    // no objection to either. Which of them is asked first is the server's choice.
    let scene = Scene::new(CLERK);
    let other = worker(&scene.server, &config(&format!("[tenants.acme]\n[tenants.globex]\n{CLERK}")));
    is_dispatchable(&other);
    let (_, code) = scene.running.json(&["breaker", "trip", "--tenant", "acme", "--for", "600"]);
    assert_eq!(code, 0);
    let refused = |reason: &str| scene.livekit()["refused"][reason].as_u64().unwrap_or_default();
    let accepted = || other.snapshot()["livekit"]["accepted"].as_u64().unwrap_or_default();

    let mut asked = 0;
    while refused("circuit_open") < 2 {
        asked += 1;
        assert!(asked < 60, "the first worker is never asked");
        scene.dispatch(&format!("left-{asked}"), r#"{"tenant":"acme","agent":"echo"}"#);
        until("the other worker has it", || (accepted() == asked).then_some(()));
    }
    let mut got = asked;
    let mut asked = 0;
    while refused("tenant_suspended") < 2 {
        asked += 1;
        assert!(asked < 60, "the first worker is never asked");
        scene.dispatch(&format!("final-{asked}"), r#"{"tenant":"globex","agent":"echo"}"#);
        until("one of them has answered", || (accepted() - got + refused("tenant_suspended") == asked).then_some(()));
    }
    // Whatever the server would have asked the other, it has asked before this.
    scene.dispatch("last", r#"{"tenant":"acme","agent":"echo"}"#);
    got += asked - refused("tenant_suspended") + 1;
    until("the other worker has the last", || (accepted() == got).then_some(()));
    assert_eq!(other.snapshot()["livekit"]["offers"].as_u64(), Some(got));
}

/// Somebody in a room, as far as the server's signalling knows: no media. Gone when it is dropped.
fn caller(server: &LivekitServer, room: &str) -> std::net::TcpStream {
    use std::io::{Read as _, Write as _};
    let token = ApiKey::new(KEY, SECRET).participant_token(&Participant::new("caller", room)).expect("a token");
    let address = server.url().replace("ws://", "");
    let mut stream = std::net::TcpStream::connect(&address).expect("connect");
    let request = format!(
        "GET /rtc?access_token={}&protocol=15&auto_subscribe=1 HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        token.expose()
    );
    stream.write_all(request.as_bytes()).expect("ask");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

impl Scene {
    /// Kills the host of a tenant's call.
    #[track_caller]
    fn kill_host(&self, tenant: &str) {
        let pid = until("it has a host", || {
            let hosts = self.running.hosts_of(tenant);
            let serves = |host: &&Value| host["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty());
            let pid = hosts.iter().find(serves)?["pid"].as_i64()?;
            rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
        });
        rustix::process::kill_process(pid, Signal::KILL).expect("kill the host");
    }

    #[track_caller]
    fn says(&self, text: &str) {
        until(&format!("it says {text:?}"), || self.running.log().contains(text).then_some(()));
    }
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_call_whose_host_died_gets_another_agent_as_often_as_was_said() {
    let scene = Scene::new(&format!("{CLERK}redispatch_after_host_death = 2\n"));
    let caller = caller(&scene.server, "room-1");
    scene.dispatch("room-1", r#"{"tenant":"acme","agent":"wait","plan":"gold"}"#);
    for deaths in 0..2 {
        scene.runs(deaths + 1);
        scene.kill_host("acme");
        until("another agent is asked for", || (scene.livekit()["redispatched"] == deaths + 1).then_some(()));
    }
    scene.runs(3);
    let live = scene.running.json(&["session", "list"]).0["sessions"][0].clone();
    assert_eq!((live["room"].as_str(), live["tenant"].as_str()), (Some("room-1"), Some("acme")), "{live}");
    scene.kill_host("acme");
    scene.says("redispatch_after_host_death = 2 is used up");
    drop(caller);
    assert_eq!((scene.livekit()["redispatched"].as_u64(), scene.livekit()["offers"].as_u64()), (Some(2), Some(3)));
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn no_other_agent_is_asked_for_behind_an_open_breaker_or_where_nobody_waits() {
    let scene = Scene::new(&format!("{CLERK}redispatch_after_host_death = 2\n"));
    scene.dispatch("room-1", r#"{"tenant":"initech","agent":"wait"}"#);
    scene.runs(1);
    scene.kill_host("initech");
    scene.says("nobody is in its room");
    let _caller = caller(&scene.server, "room-2");
    scene.dispatch("room-2", r#"{"tenant":"acme","agent":"wait"}"#);
    scene.runs(2);
    let (_, code) = scene.running.json(&["breaker", "trip", "--tenant", "acme", "--for", "600"]);
    assert_eq!(code, 0);
    scene.kill_host("acme");
    scene.says("the circuit breaker of acme is open");
    assert_eq!(scene.livekit()["redispatched"], 0);
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn the_server_may_stand_on_the_command_line_and_its_secret_only_by_name() {
    let server = LivekitServer::start().expect(NEEDS);
    let url = server.url();
    let key = ["--livekit-url", &url, "--livekit-api-key", "env:MY_KEY", "--livekit-api-secret"];
    let flags = |secret: &'static str| [&key[..], &[secret]].concat();
    let setup = Setup::new(&config(CLERK)).env("MY_KEY", KEY).env("MY_SECRET", SECRET);
    let running = setup.flags(&flags("env:MY_SECRET")).start();
    is_dispatchable(&running);
    assert_eq!(running.snapshot()["livekit"]["url"].as_str(), Some(&*url));
    let output = running.command(&[&["run"], &flags("a-secret-of-mine")[..]].concat()).output().expect("run it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("env:NAME, file:PATH or credential:NAME") && !said.contains("a-secret-of-mine"), "{said}");
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn operators_can_try_it_ask_why_and_mint_tokens_in_the_tenants_rooms() {
    let scene = Scene::new(&format!("{CLERK}[rooms]\nnamespace_mode = \"tenant_prefix\"\n"));
    let running = &scene.running;
    let (offer, code) = running.json(&["livekit", "simulate", "--room", "acme_echo-1"]);
    assert_eq!((offer["tenant"].as_str(), offer["agent"].as_str(), code), (Some("acme"), Some("echo"), 0), "{offer}");
    let (offer, code) = running.json(&["livekit", "simulate", "--room", "globex_echo-1"]);
    assert_eq!((offer["reason"].as_str(), code), (Some("tenant_suspended"), 4), "{offer}");

    let (check, code) = running.json(&["livekit", "check", "--room", "acme_echo-2"]);
    assert!(check["findings"].to_string().contains("no dispatch") || check["server_errors"][0].is_string(), "{check}");
    assert_eq!(code, 6);
    scene.dispatch("acme_echo-2", "");
    until("the call has ended", || {
        (running.json(&["livekit", "check", "--room", "acme_echo-2"]).0["last_offer"]["state"] == "ended").then_some(())
    });
    let (check, code) = running.json(&["livekit", "check", "--room", "acme_echo-2"]);
    assert_eq!(
        (check["ok"].as_bool(), check["last_offer"]["state"].as_str(), code),
        (Some(true), Some("ended"), 0),
        "{check}"
    );

    let mint = ["token", "mint", "--tenant", "acme", "--identity", "caller", "--agent", "echo", "--room"];
    let (token, code) = running.json(&[&mint[..], &["acme_echo-3"]].concat());
    assert!(code == 0 && token["token"].as_str().is_some_and(|token| token.starts_with("eyJ")), "{token}");
    let (refusal, code) = running.json(&[&mint[..], &["globex_echo-3"]].concat());
    assert_eq!((refusal["reason"].as_str(), code), (Some("room_namespace"), 4), "{refusal}");
    assert!(refusal["detail"].as_str().is_some_and(|said| said == "Room must be prefixed with acme_"), "{refusal}");
    assert!(!running.log().contains("eyJ"), "{}", running.log());
}

#[test]
#[cfg_attr(not(livekit), ignore = "needs a livekit-server, or Go to install one")]
fn a_tenant_named_only_by_the_room_is_told_and_not_believed() {
    let scene = Scene::new("");
    let room = proto::CreateRoomRequest {
        name: "room-1".into(),
        metadata: r#"{"tenant":"acme","agent":"echo"}"#.into(),
        ..Default::default()
    };
    scene.runtime.block_on(scene.service.create_room(room)).expect("a room");
    let entry = scene.running.ended(&scene.session("room-1"));
    assert_eq!(entry["tenant"].as_str(), Some("default"), "{entry}");
    assert_eq!(scene.livekit()["tenants_ignored"], 1);
    let log = scene.running.log();
    assert!(log.contains("a tenant named only in the room's metadata is ignored"), "{log}");
}
