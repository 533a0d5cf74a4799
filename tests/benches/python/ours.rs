//! A supervisor with Python hosts, for the benchmarks.
//!
//! Owns: its configuration, and sessions by way of its API. Never: reaches into the product.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openrtc_tests::python::{self, Venv};
use openrtc_tests::{Running, Setup, http, until};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const SCRIPTS: [&str; 7] = [
    "tests/benches/python/app.py",
    "tests/benches/python/peers.py",
    "tests/benches/python/ready.py",
    "tests/benches/python/vad.py",
    "tests/benches/python/voice.py",
    "examples/python/fake_voice.py",
    "examples/agency/call.wav",
];

/// Lays what the scripts need into a folder that every user may read.
pub(crate) fn lay(dir: &Path) -> PathBuf {
    let app = dir.join("app");
    fs::create_dir_all(&app).expect("create the application's folder");
    for from in SCRIPTS.map(python::repository) {
        fs::copy(&from, app.join(from.file_name().expect("a file"))).expect("lay a script");
    }
    app
}

/// One that is warm.
pub(crate) struct Ours {
    pub(crate) running: Running,
    pub(crate) app: PathBuf,
}

/// What one session took, in milliseconds.
pub(crate) struct Took {
    /// Until the agent had made its inference.
    pub(crate) inferred: f64,
    /// Until the end was answered.
    pub(crate) ended: f64,
    /// What the supervisor tells of the host: from its first byte to ready.
    pub(crate) ready: f64,
}

impl Ours {
    /// With this script, for so many tenants `t0`, `t1`, ….
    pub(crate) fn start(venv: &Venv, script: &str, scope: &str, tenants: usize, load_app: &str) -> Self {
        let mut text = format!(
            r#"
config_version = 1
[supervisor]
host_scope = "{scope}"
max_concurrent_sessions = 256
host_idle_timeout_s = 3600
[observers.jsonl]
path = "DIR/state/events.jsonl"
[runtimes.bench]
kind = "python"
app = "DIR/app/{script}"
load_app = "{load_app}"
"#
        );
        for tenant in 0..tenants {
            writeln!(text, "[tenants.t{tenant}]\nmax_sessions = 200").expect("write");
        }
        let setup = Setup::new(&text).env("VIRTUAL_ENV", venv.dir());
        let app = lay(setup.dir());
        let running = setup.start();
        let ours = Self { running, app };
        until("the zygote is warm", || {
            let zygotes = ours.running.snapshot()["zygotes"].as_array().cloned().unwrap_or_default();
            let of =
                |runtime: &str| zygotes.iter().find(|row| row["runtime"] == runtime).map(|row| row["spawn"].clone());
            (of("bench")? == "zygote").then_some(())
        });
        ours
    }

    fn dispatch(&self, tenant: usize, metadata: &Value, wait: bool) -> Value {
        let body = json!({
            "room": format!("t{tenant}_default-1"),
            "tenant": format!("t{tenant}"),
            "metadata": metadata.to_string(),
            "wait": wait,
        });
        let run = self.running.dir().join("run");
        let (status, answer) = http::post(&run, "/v1/dispatch", &body).expect("dispatch");
        assert!((200..300).contains(&status), "refused: {status} {answer}\n{}", self.running.log());
        if wait {
            assert_eq!(answer["ended"]["status"], "success", "{answer}\n{}", self.running.log());
        }
        answer
    }

    /// A session to its end.
    pub(crate) fn run(&self, tenant: usize, metadata: &Value) {
        self.dispatch(tenant, metadata, true);
    }

    /// A session that is timed; for `host_scope = "session"` and `app.py`.
    pub(crate) fn time(&self) -> Took {
        let (monotonic, start) = (monotonic_ns(), Instant::now());
        let answer = self.dispatch(0, &json!({ "vad": true }), true);
        let ended = start.elapsed();
        let session = answer["ended"]["session_id"].as_str().expect("a session");
        let inferred = until("the agent's line is written down", || self.inferred_at(session));
        let host = &answer["ended"]["host"];
        let ready = until("the host is written down", || {
            let events = self.running.events();
            let up = events.iter().find(|event| event["kind"] == "host_up" && event["host"] == *host)?;
            up["payload"]["ready_after_ms"].as_f64()
        });
        Took { inferred: (inferred - monotonic) as f64 / 1e6, ended: ms(ended), ready }
    }

    fn inferred_at(&self, session: &str) -> Option<i64> {
        let events = self.running.events();
        let mut of_session = events.iter().filter(|event| event["session_id"] == session);
        of_session.find_map(|event| event["payload"]["message"].as_str()?.split_once("inferred at ")?.1.parse().ok())
    }

    /// Begins a session that stays; gives its id.
    pub(crate) fn hold(&self, tenant: usize, metadata: &Value) -> String {
        let answer = self.dispatch(tenant, metadata, false);
        answer["admitted"]["session"].as_str().expect("a session").to_owned()
    }

    /// Waits until so many sessions of `app.py` hold their buffers.
    pub(crate) fn held(&self, sessions: usize) {
        let holds = |event: &&Value| event["payload"]["message"].as_str().is_some_and(|text| text.ends_with("holding"));
        until("every session holds its buffer", || {
            (self.running.events().iter().filter(holds).count() >= sessions).then_some(())
        });
    }

    /// Pids of a tenant's hosts.
    pub(crate) fn hosts(&self, tenant: usize) -> Vec<u32> {
        let rows = self.running.hosts_of(&format!("t{tenant}"));
        rows.iter().filter_map(|row| row["pid"].as_u64()).map(|pid| pid as u32).collect()
    }
}

pub(crate) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// As Python's `time.monotonic_ns`.
fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
