//! Calls of a real LiveKit server land in walled Python hosts, and what happens to one is not heard in another.

use std::process::{Child, Stdio};
use std::sync::Arc;

use openrtc_livekit::{ApiKey, Service, Trust, proto};
use openrtc_tests::livekit_server::{KEY, LivekitServer};
use openrtc_tests::network::Network;
use openrtc_tests::{Running, Setup, User, python, turn, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::python_parity::{found_in, holders};
use crate::python_walls::stands_behind_walls;

/// A tenant's agent never falls silent for longer than this because another tenant's host dies.
const GAP_MS_MAX: u64 = 100;
/// What is heard so long after a death may be its doing.
const DOING_OF_A_DEATH_MS: u64 = 2_500;
/// So often is it measured whether a death is heard: on a busy machine an agent may fall silent for want of a core.
const MEASUREMENTS_MAX: usize = 4;
/// The server's API secret: long enough to be found in memory where it is.
const SECRET: &str = "canary-livekit-95c1e0b7a2d34f68-07be18d7f9c2a354-server-canary";

/// The runtime whose agent speaks for long.
const DESK: [(&str, &str); 1] = [("desk", "desk.py")];

/// A server, a supervisor that is its worker, and a desk for three tenants.
struct Exchange {
    running: Running,
    server: LivekitServer,
}

/// A caller, or several, on the line.
struct OnTheLine(Child);

impl Exchange {
    fn open(user: User, livekit: &str, runtimes: &[(&str, &str)]) -> Self {
        Self::open_at(user, livekit, runtimes, LivekitServer::url)
    }

    /// One whose server is reached at another address than its own.
    fn open_at(
        user: User,
        livekit: &str,
        runtimes: &[(&str, &str)],
        address: impl FnOnce(&LivekitServer) -> String,
    ) -> Self {
        let server = LivekitServer::start_with("info", SECRET).expect("a LiveKit server");
        let mut config = format!(
            r#"
config_version = 1
[supervisor]
max_concurrent_sessions = 20
terminate_grace_s = 3
missing_tenant = "reject"
unknown_tenant = "reject"
[livekit]
agent_names = ["agency"]
{livekit}
[observers.jsonl]
path = "DIR/state/events.jsonl"
[tenants.acme]
api_keys = {{ fake_voice = {{ env = "ACME_KEY" }} }}
[tenants.globex]
api_keys = {{ fake_voice = {{ env = "GLOBEX_KEY" }} }}
[tenants.initech]
api_keys = {{ fake_voice = {{ env = "INITECH_KEY" }} }}
"#
        );
        for (name, script) in runtimes {
            let file = script.rsplit('/').next().expect("a file");
            config += &format!("[runtimes.{name}]\nkind = \"python\"\napp = \"app/{file}\"\n");
        }
        let scripts: Vec<&str> = runtimes.iter().map(|(_, script)| *script).collect();
        let mut setup = python::lay(Setup::new(&config), &scripts).run_by(user);
        for (variable, value) in [
            ("VIRTUAL_ENV", python::required().dir().display().to_string()),
            ("LIVEKIT_URL", address(&server)),
            ("LIVEKIT_API_KEY", KEY.to_owned()),
            ("LIVEKIT_API_SECRET", server.secret().to_owned()),
            ("ACME_KEY", "key-of-acme".to_owned()),
            ("GLOBEX_KEY", "key-of-globex".to_owned()),
            ("INITECH_KEY", "key-of-initech".to_owned()),
        ] {
            setup = setup.env(variable, value);
        }
        let running = setup.start();
        let exchange = Self { running, server };
        until("calls can come", || exchange.dispatchable().then_some(()));
        exchange
    }

    fn desk(user: User, livekit: &str) -> Self {
        Self::open(user, livekit, &DESK)
    }

    fn dispatchable(&self) -> bool {
        self.running.snapshot()["livekit"]["dispatchable"] == true
    }

    /// Callers at once, each with options of its own over these for all; what each heard.
    #[track_caller]
    fn callers(&self, seconds: u64, callers: &[Value]) -> Vec<Value> {
        self.call(seconds, callers).hang_up()
    }

    fn call(&self, seconds: u64, callers: &[Value]) -> OnTheLine {
        let mut command = python::required().command(&[]);
        command.env("LIVEKIT_API_KEY", KEY).env("LIVEKIT_API_SECRET", self.server.secret());
        command.arg(python::repository("examples/livekit/caller.py"));
        command.args(["--url", &self.server.url(), "--seconds", &seconds.to_string(), "--callers"]);
        command.arg(Value::from(callers).to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        OnTheLine(command.spawn().expect("run the callers"))
    }

    /// How the session in a room ended: the row of it.
    #[track_caller]
    fn ended(&self, room: &str) -> Value {
        until(&format!("the session in {room} has ended"), || {
            let events = self.running.events();
            let ended = |line: &&Value| line["kind"] == "session_end" && line["payload"]["room_name"] == room;
            events.iter().find(ended).cloned()
        })
    }

    /// Waits until the agent of so many sessions speaks.
    #[track_caller]
    fn speak(&self, sessions: usize) {
        until("the agents speak", || {
            let speaks = |line: &&Value| {
                line["kind"] == "session_event"
                    && line["payload"]["type"] == "state"
                    && line["payload"]["state"] == "speaking"
            };
            (self.running.events().iter().filter(speaks).count() >= sessions).then_some(())
        });
    }

    /// What the server was told of the end of a room's job.
    #[track_caller]
    fn job_ended(&self, room: &str) -> String {
        let job = self.ended(room)["payload"]["job_id"].as_str().expect("a job").to_owned();
        until(&format!("the server knows how the job in {room} ended"), || {
            let log = self.server.log();
            log.lines().find(|line| line.contains("job ended") && line.contains(&job)).map(str::to_owned)
        })
    }

    /// Asks the server, as one who has its key.
    fn asks<T>(&self, ask: impl AsyncFnOnce(&Service) -> T) -> T {
        let key = Arc::new(ApiKey::new(KEY, self.server.secret()));
        let service = Service::new(self.server.url().parse().expect("a URL"), key, &Trust::System).expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(ask(&service))
    }

    fn log(&self) -> String {
        format!("{}\n{}", self.running.log(), self.server.log())
    }
}

impl OnTheLine {
    /// What each heard, once they have left.
    #[track_caller]
    fn hang_up(self) -> Vec<Value> {
        let output = self.0.wait_with_output().expect("wait for the callers");
        let said = String::from_utf8_lossy(&output.stderr);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("the callers told nothing ({error}): {said}"));
        told["callers"].as_array().cloned().unwrap_or_default()
    }
}

/// A caller of a tenant, whose dispatch says `told` to the agent.
fn caller(tenant: &str, told: &Value) -> Value {
    in_room(&format!("{tenant}_1"), tenant, told)
}

fn in_room(room: &str, tenant: &str, told: &Value) -> Value {
    let mut metadata = told.clone();
    metadata["tenant"] = json!(tenant);
    json!({ "room": room, "dispatch": "agency", "metadata": metadata.to_string() })
}

fn with(mut caller: Value, option: &str, value: impl Into<Value>) -> Value {
    caller[option] = value.into();
    caller
}

fn number(caller: &Value, key: &str) -> u64 {
    caller[key].as_u64().unwrap_or_else(|| panic!("no {key} in {caller}"))
}

/// A caller heard its tenant's agent for so many seconds.
#[track_caller]
fn heard(caller: &Value, seconds: f64, log: &dyn Fn() -> String) {
    assert_eq!(caller["heard"], true, "{caller}\n{}", log());
    assert!(caller["heard_s"].as_f64() > Some(seconds), "{caller}\n{}", log());
    // The tones of the fake voice have a power of 0.03.
    assert!(caller["energy"].as_f64() > Some(seconds * 0.01), "{caller}");
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn the_unmodified_agency_and_a_plain_script_converse_with_their_callers_behind_walls() {
    let _turn = turn::real_calls();
    let runtimes = [("pool", "../../examples/python/main.py"), ("plain", "../../examples/python/plain.py")];
    let exchange = Exchange::open(User::Me, "", &runtimes);
    let wav = python::repository("examples/agency/call.wav").display().to_string();
    let line = exchange.call(
        40,
        &[("acme", "support"), ("globex", "reception")].map(|(tenant, agent)| {
            let caller = with(caller(tenant, &json!({ "agent": agent })), "wav", wav.clone());
            with(caller, "until_said", "utterance 3")
        }),
    );
    exchange.speak(2);
    for tenant in ["acme", "globex"] {
        let uid = stands_behind_walls(&exchange.running.hosts_of(tenant)[0]);
        assert!(cfg!(not(all(root, open_python))) || uid >= 200_000, "the host of {tenant} has uid {uid}");
    }
    if cfg!(root) {
        let own = found_in(exchange.running.pid(), &[SECRET]).expect("the supervisor runs");
        assert_eq!(own, [SECRET], "the search finds it where it is");
        for (pid, (tenant, found)) in holders(&exchange.running, &[SECRET]) {
            assert!(found.is_empty(), "process {pid}, a host of {tenant:?}, holds the API secret");
        }
    }
    let callers = line.hang_up();
    for (caller, greeting) in callers.iter().zip(["support", "reception"]) {
        heard(caller, 2.0, &|| exchange.log());
        let said = caller["said"].to_string();
        assert!(said.contains(greeting) && said.contains("I heard utterance 1."), "{caller}\n{}", exchange.log());
    }
    let told = exchange.log() + &Value::from(exchange.running.events()).to_string();
    assert!(!told.contains("eyJ") && !told.contains(SECRET), "a token or the secret was written down");
}

/// More than find room in the limits of any other host, where no name is resolved (0030).
const CALLS_AT_ONCE: usize = 16;

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn many_calls_of_one_tenant_connect_at_once_in_one_host() {
    let _turn = turn::real_calls();
    let exchange = Exchange::desk(User::Me, "");
    let dispatches = (1..=CALLS_AT_ONCE).map(|number| proto::CreateAgentDispatchRequest {
        agent_name: "agency".into(),
        room: format!("acme_{number}"),
        metadata: json!({ "tenant": "acme" }).to_string(),
        ..Default::default()
    });
    exchange.asks(async |service| {
        for dispatch in dispatches {
            service.create_dispatch(dispatch).await.expect("a dispatch");
        }
    });
    until("all agents are connected", || {
        let events = exchange.running.events();
        assert!(events.iter().all(|line| line["kind"] != "session_end"), "{}", exchange.log());
        (events.iter().filter(|line| line["kind"] == "session_start").count() == CALLS_AT_ONCE).then_some(())
    });
    assert_eq!(exchange.running.hosts_of("acme").len(), 1, "{}", exchange.log());
}

/// Whether the server, told of a job's end, was told this status and these words.
#[track_caller]
fn was_told(exchange: &Exchange, room: &str, status: &str, words: &str) {
    let ended = exchange.job_ended(room);
    assert!(ended.contains(status) && ended.contains(words), "{ended}\n{}", exchange.log());
}

/// As an ordinary user, with `host_grants`, until a drain.
#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn an_ordinary_users_calls_are_heard_may_ask_what_is_granted_and_outlast_a_drain() {
    let _turn = turn::real_calls();
    let mut exchange = Exchange::desk(User::Ordinary, "host_grants = [\"room_admin\"]");
    let asks_elsewhere = caller("globex", &json!({ "do": "ask", "room": "acme_1" }));
    let line = exchange.call(
        12,
        &[
            caller("acme", &json!({ "do": "ask" })),
            with(asks_elsewhere, "until_left", true),
            caller("initech", &json!({})),
        ],
    );
    let refused = exchange.ended("globex_1")["payload"].clone();
    assert_eq!(refused["status"], "failed", "{refused}");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("host_grants")), "{refused}");
    exchange.speak(2);
    exchange.running.signal(Signal::TERM);
    until("no call can come", || (!exchange.dispatchable()).then_some(()));
    let late = exchange.callers(3, &[in_room("acme_2", "acme", &json!({}))]);
    assert_eq!(late[0]["agents"], Value::Null, "a draining supervisor took a call: {}", late[0]);
    let callers = line.hang_up();
    for caller in [&callers[0], &callers[2]] {
        heard(caller, 2.0, &|| exchange.log());
        assert!(number(caller, "last_audio_ms") > 11_000, "its call ended early: {caller}\n{}", exchange.log());
    }
    assert_eq!(callers[0]["metadata"], "the desk was here", "{}", callers[0]);
    assert!(exchange.running.child.wait().expect("wait").success(), "{}", exchange.running.log());
    for room in ["acme_1", "initech_1"] {
        // The server closes the room 20 s after its caller left, and has a word of its own for the agent in it.
        assert_eq!(exchange.ended(room)["payload"]["status"], "success", "{}", exchange.log());
    }
}

/// The longest gap that a caller heard between these times.
fn longest_gap_ms(caller: &Value, from_unix_ms: u64, to_unix_ms: u64) -> u64 {
    let began = number(caller, "began_unix_ms");
    let gaps = caller["gaps"].as_array().into_iter().flatten();
    let then = gaps.filter(|gap| {
        let (at, ms) = (began + number(gap, "at_ms"), number(gap, "ms"));
        at + ms >= from_unix_ms && at <= to_unix_ms
    });
    then.map(|gap| number(gap, "ms")).max().unwrap_or(0)
}

/// One death, and the longest gap that its siblings' callers heard by then, and then.
fn a_death(exchange: &Exchange, number_of: usize) -> Vec<(u64, u64)> {
    let room = |tenant: &str| format!("{tenant}_{number_of}");
    let call = |tenant: &str, told: Value| in_room(&room(tenant), tenant, &told);
    let hostile = call("initech", json!({ "do": "die", "after": 3.0 }));
    let callers = exchange.callers(9, &[call("acme", json!({})), call("globex", json!({})), hostile]);
    let ended = exchange.ended(&room("initech"));
    let (status, reason) = (&ended["payload"]["status"], &ended["payload"]["reason"]);
    assert_eq!((status, reason), (&json!("failed"), &json!("host_signal")), "{ended}");
    was_told(exchange, &room("initech"), "JS_FAILED", "SIGKILL");
    heard(&callers[2], 0.1, &|| exchange.log());
    let died = number(&ended, "at_unix_ms");
    let cut_off = number(&callers[2], "began_unix_ms") + number(&callers[2], "last_audio_ms");
    assert!(cut_off < died + 1_000, "the dead agent is still heard: {}", callers[2]);
    let siblings = &callers[..2];
    for sibling in siblings {
        heard(sibling, 2.0, &|| exchange.log());
        let last = number(sibling, "began_unix_ms") + number(sibling, "last_audio_ms");
        assert!(last > died + 1_000, "its call ended with the dead host: {sibling}\n{}", exchange.log());
    }
    let gaps = siblings.iter().map(|sibling| {
        (longest_gap_ms(sibling, 0, died - 200), longest_gap_ms(sibling, died - 100, died + DOING_OF_A_DEATH_MS))
    });
    gaps.collect()
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_host_that_dies_fails_its_job_and_is_not_heard_by_the_callers_of_its_siblings() {
    let _turn = turn::real_calls();
    let exchange = Exchange::desk(User::Me, "");
    let mut measured = Vec::new();
    for number in 1..=MEASUREMENTS_MAX {
        let gaps = a_death(&exchange, number);
        if gaps.iter().all(|(_, after)| *after <= GAP_MS_MAX) {
            return;
        }
        measured.push(gaps);
    }
    panic!(
        "longest gaps (before the death, after it) of its siblings, of each death: {measured:?}\n{}",
        exchange.log()
    );
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_call_ends_with_its_dispatch_its_room_its_agent_or_its_server_and_is_told_so() {
    let _turn = turn::real_calls();
    let mut exchange = Exchange::desk(User::Me, "");
    let calls = [
        with(in_room("deleted", "acme", &json!({})), "delete_dispatch_after", 2.0),
        with(in_room("closed", "globex", &json!({})), "delete_room_after", 2.0),
        in_room("raised", "initech", &json!({ "do": "raise" })),
        in_room("hung_up", "initech", &json!({ "do": "hang_up" })),
        in_room("ungranted", "acme", &json!({ "do": "ask" })),
    ];
    // The caller of the closed room waits to be told so.
    let leaves = |call: Value| if call["room"] == "closed" { call } else { with(call, "until_left", true) };
    let callers = exchange.callers(30, &calls.map(leaves));
    assert_eq!(callers[1]["disconnected"], "ROOM_DELETED", "{}", callers[1]);
    for (caller, status, words) in [
        (&callers[0], "cancelled", ""),
        (&callers[1], "success", ""),
        (&callers[2], "failed", "the desk fell over"),
        (&callers[3], "success", ""),
        (&callers[4], "failed", "host_grants"),
    ] {
        let room = caller["room"].as_str().expect("a room");
        let ended = exchange.ended(room)["payload"].clone();
        assert_eq!(ended["status"], status, "{room}: {ended}\n{}", exchange.log());
        assert!(ended["error"].as_str().unwrap_or_default().contains(words), "{room}: {ended}");
        if room != "closed" {
            assert!(caller["agent_left_ms"].is_u64(), "the agent stayed: {caller}");
            let told = if status == "failed" { "JS_FAILED" } else { "JS_SUCCESS" };
            was_told(&exchange, room, told, words);
        }
    }

    let line = exchange.call(16, &[in_room("cut_off", "globex", &json!({ "do": "hang_up", "after": 12.0 }))]);
    // A server that goes while the agent is still joining is another matter: the SDK may then publish nothing.
    until("the agent of the call speaks", || {
        let events = exchange.running.events();
        let started = |line: &&Value| line["kind"] == "session_start" && line["payload"]["room_name"] == "cut_off";
        let session = &events.iter().find(started)?["session_id"];
        let speaks = |line: &Value| {
            line["kind"] == "session_event" && line["session_id"] == *session && line["payload"]["state"] == "speaking"
        };
        events.iter().any(speaks).then_some(())
    });
    exchange.server.kill();
    until("the loss is noticed", || (!exchange.dispatchable()).then_some(()));
    exchange.server.restart();
    until("calls can come again", || exchange.dispatchable().then_some(()));
    let caller = &line.hang_up()[0];
    let ended = exchange.ended("cut_off");
    assert_eq!(ended["payload"]["status"], "success", "{ended}");
    heard(caller, 2.0, &|| exchange.log());
    assert!(number(caller, "last_audio_ms") > 8_000, "the agent did not come back: {caller}\n{}", exchange.log());
    let again = exchange.callers(5, &[in_room("again", "acme", &json!({}))]);
    heard(&again[0], 1.0, &|| exchange.log());
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_call_whose_room_is_deleted_while_its_connection_is_lost_ends() {
    let _turn = turn::real_calls();
    let mut network = None;
    let exchange = Exchange::open_at(User::Me, "", &DESK, |server| network.insert(Network::to(&server.url())).url());
    let network = network.expect("a network");
    let line = exchange.call(60, &[with(caller("acme", &json!({})), "until_left", true)]);
    exchange.speak(1);
    network.lose_answers();
    exchange.asks(async |service| service.delete_room("acme_1").await.expect("deleted"));
    // The agent joins again, as after any loss: that makes the room anew, for five minutes of nobody.
    network.cut();
    let ended = exchange.ended("acme_1");
    assert_eq!(ended["payload"]["status"], "success", "{ended}\n{}", exchange.log());
    line.hang_up();
}
