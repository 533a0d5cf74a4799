//! Calls of a real LiveKit server land in walled Python hosts, and what happens to one is not heard in another.

use std::process::{Command, Stdio};

use openrtc_tests::livekit_server::{self, LivekitServer};
use openrtc_tests::{Running, Setup, User, python, until};
use serde_json::{Value, json};

/// A tenant's agent never falls silent for longer than this while another tenant's host dies.
const GAP_MS_MAX: u64 = 100;

/// A server, a supervisor that is its worker, and a desk for three tenants.
struct Exchange {
    running: Running,
    server: LivekitServer,
}

impl Exchange {
    fn open(user: User) -> Self {
        let server = LivekitServer::start().expect("a LiveKit server");
        let config = r#"
config_version = 1
[supervisor]
max_concurrent_sessions = 20
terminate_grace_s = 3
missing_tenant = "reject"
unknown_tenant = "reject"
[livekit]
agent_names = ["desk"]
[observers.jsonl]
path = "DIR/state/events.jsonl"
[runtimes.desk]
kind = "python"
app = "app/desk.py"
[tenants.acme]
api_keys = { fake_voice = { env = "ACME_KEY" } }
[tenants.globex]
api_keys = { fake_voice = { env = "GLOBEX_KEY" } }
[tenants.initech]
api_keys = { fake_voice = { env = "INITECH_KEY" } }
"#;
        let mut setup = python::lay(Setup::new(config), &["desk.py"]).run_by(user);
        for (variable, value) in [
            ("VIRTUAL_ENV", python::required().dir().display().to_string()),
            ("LIVEKIT_URL", server.url()),
            ("LIVEKIT_API_KEY", livekit_server::KEY.to_owned()),
            ("LIVEKIT_API_SECRET", livekit_server::SECRET.to_owned()),
            ("ACME_KEY", "key-of-acme".to_owned()),
            ("GLOBEX_KEY", "key-of-globex".to_owned()),
            ("INITECH_KEY", "key-of-initech".to_owned()),
        ] {
            setup = setup.env(variable, value);
        }
        let running = setup.start();
        until("the worker is registered", || {
            let (livekit, _) = running.json(&["livekit", "status"]);
            let workers = livekit["workers"].as_array()?;
            (!workers.is_empty() && workers.iter().all(|worker| worker["state"] == "registered")).then_some(())
        });
        Self { running, server }
    }

    /// Callers at once, each with options of its own over these for all; what each heard.
    #[track_caller]
    fn callers(&self, seconds: u64, callers: &[Value]) -> Vec<Value> {
        let output = self.calling(seconds, callers).output().expect("run the callers");
        let said = String::from_utf8_lossy(&output.stderr);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("the callers told nothing ({error}): {said}"));
        told["callers"].as_array().cloned().unwrap_or_default()
    }

    fn calling(&self, seconds: u64, callers: &[Value]) -> Command {
        let mut command = python::required().command(&[]);
        command.arg(python::repository("examples/livekit/caller.py"));
        command.args(["--url", &self.server.url(), "--seconds", &seconds.to_string(), "--callers"]);
        command.arg(Value::from(callers).to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// How the only session of a tenant ended.
    #[track_caller]
    fn ended(&self, tenant: &str) -> Value {
        until("the call's session has ended", || {
            let ended = |line: &Value| line["kind"] == "session_end" && line["tenant"] == tenant;
            self.running.events().into_iter().find(ended).map(|line| line["payload"].clone())
        })
    }

    fn log(&self) -> String {
        format!("{}\n{}", self.running.log(), self.server.log())
    }
}

/// A caller of a tenant, whose dispatch says `told` to the desk.
fn caller(tenant: &str, told: &Value) -> Value {
    let mut metadata = told.clone();
    metadata["tenant"] = json!(tenant);
    json!({ "room": format!("{tenant}_1"), "dispatch": "desk", "metadata": metadata.to_string() })
}

fn number(caller: &Value, key: &str) -> u64 {
    caller[key].as_u64().unwrap_or_else(|| panic!("no {key} in {caller}"))
}

/// A caller heard its tenant's agent until it left, without a gap.
#[track_caller]
fn heard(caller: &Value, seconds: f64, log: &dyn Fn() -> String) {
    assert_eq!(caller["heard"], true, "{caller}\n{}", log());
    assert!(caller["heard_s"].as_f64() > Some(seconds), "{caller}\n{}", log());
    assert!(number(caller, "longest_gap_ms") <= GAP_MS_MAX, "{caller}\n{}", log());
}

fn is_answered(user: User) {
    let exchange = Exchange::open(user);
    let callers = exchange.callers(8, &[caller("acme", &json!({}))]);
    heard(&callers[0], 3.0, &|| exchange.log());
    assert_eq!(callers[0]["agents"].as_array().map(Vec::len), Some(1), "{}", callers[0]);
    let secrets = exchange.running.log() + &Value::from(exchange.running.events()).to_string();
    assert!(!secrets.contains("eyJ"), "a token was written down");
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_call_is_answered_behind_walls_and_heard() {
    is_answered(User::Me);
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_call_is_answered_for_an_ordinary_user_too() {
    is_answered(User::Ordinary);
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_host_that_dies_is_not_heard_by_the_callers_of_its_siblings() {
    let exchange = Exchange::open(User::Me);
    let calls = [
        caller("acme", &json!({})),
        caller("globex", &json!({})),
        caller("initech", &json!({ "do": "die", "after": 3.0 })),
    ];
    let callers = exchange.callers(10, &calls);
    let hostile = exchange.ended("initech");
    assert_eq!((&hostile["status"], &hostile["reason"]), (&json!("failed"), &json!("crashed")), "{hostile}");
    assert!(callers[2]["heard_s"].as_f64() > Some(1.0), "{}\n{}", callers[2], exchange.log());
    for sibling in &callers[..2] {
        heard(sibling, 5.0, &|| exchange.log());
        assert!(number(sibling, "last_audio_ms") > 9_000, "its call ended early: {sibling}\n{}", exchange.log());
    }
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn a_call_ends_with_its_dispatch_its_room_its_entrypoint_or_its_agent() {
    let exchange = Exchange::open(User::Me);
    let mut deleted = caller("acme", &json!({}));
    deleted["delete_dispatch_after"] = json!(3.0);
    let mut closed = caller("globex", &json!({}));
    closed["delete_room_after"] = json!(3.0);
    let callers = exchange.callers(8, &[deleted, closed, caller("initech", &json!({ "do": "raise" }))]);
    // The server takes up to 2 s to say so, and removes an agent that has not left 3 s later.
    let (began, left) = (number(&callers[0], "deleting_ms"), number(&callers[0], "agent_left_ms"));
    assert!(left - began < 4_000, "the agent had to be removed: {}\n{}", callers[0], exchange.log());
    assert_eq!(callers[1]["disconnected"], "ROOM_DELETED", "{}", callers[1]);
    assert_eq!(exchange.ended("acme")["status"], "cancelled", "{}", exchange.log());
    assert_eq!(exchange.ended("globex")["status"], "success", "{}", exchange.log());
    let failed = exchange.ended("initech");
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("the desk fell over")), "{failed}");
    assert!(callers[2]["agent_left_ms"].is_u64(), "the agent of a failed call stayed: {}", callers[2]);
}
