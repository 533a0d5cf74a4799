//! The workers that take turns: ours in its scopes, and the peers as their own command lines start them.
//!
//! Owns: starting each, what its tree costs, and what it says of offers. Never: reaches into any of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use openrtc_tests::livekit_server::{KEY, LivekitServer, SECRET};
use openrtc_tests::processes::tree;
use openrtc_tests::python::{self, Venv};
use openrtc_tests::{Running, Setup, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::callers::Heard;
use super::measure::pause;
use super::memory;

/// Every call is of one of these.
pub(crate) const TENANTS: usize = 4;
const SCRIPTS: [&str; 5] = [
    "tests/benches/livekit/offers.py",
    "tests/benches/livekit/talker.py",
    "tests/benches/livekit/pool.py",
    "tests/benches/livekit/plain.py",
    "examples/python/fake_voice.py",
];
/// A tree is at rest when it uses less than this share of a core.
const REST_SHARE: f64 = 0.15;
const REST_LOOK: Duration = Duration::from_millis(500);
const REST_PATIENCE: Duration = Duration::from_secs(20);

/// What `/proc` counts CPU in, on every Linux.
const TICK_MS: f64 = 10.0;

/// A wall that lets a host use every core.
const UNHELD: &str = "[wall]\ncpu_max_pct = \"off\"\n";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A supervisor with this scope and wall that keeps idle hosts for so many seconds.
    Ours { scope: &'static str, idle_s: u32, wall: &'static str },
    /// A script, and the mode of OpenRTC that it reads.
    Peer { script: &'static str, mode: &'static str },
}

/// A way, its name in the tables, and the agent name that selects it.
pub(crate) const WAYS: [(&str, &str, Way); 7] = [
    ("ours, tenant's host up", "up", Way::Ours { scope: "tenant", idle_s: 3600, wall: "" }),
    ("the same without a CPU quota", "unheld", Way::Ours { scope: "tenant", idle_s: 3600, wall: UNHELD }),
    ("ours, a tenant's first call", "first", Way::Ours { scope: "tenant", idle_s: 1, wall: "" }),
    ("ours, host per session", "session", Way::Ours { scope: "session", idle_s: 1, wall: "" }),
    ("livekit-agents, its process pool", "plain", Way::Peer { script: "plain.py", mode: "" }),
    ("OpenRTC, coroutine mode", "coroutine", Way::Peer { script: "pool.py", mode: "coroutine" }),
    ("OpenRTC, process mode", "process", Way::Peer { script: "pool.py", mode: "process" }),
];

enum Program {
    Ours(Running),
    Peer { child: Child, log: PathBuf, _dir: TempDir },
}

/// One that is registered.
pub(crate) struct Worker {
    pub(crate) name: &'static str,
    pub(crate) agent: &'static str,
    pub(crate) way: Way,
    program: Program,
}

/// What a worker says of one offer.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// When it came.
    pub(crate) at_unix_ms: f64,
    /// Why it was refused.
    pub(crate) refused: Option<String>,
    /// Why the job failed.
    pub(crate) failed: Option<String>,
}

impl Worker {
    /// Starts it and waits until the server knows it.
    pub(crate) fn start(venv: &Venv, server: &LivekitServer, which: usize) -> Self {
        let (name, agent, way) = WAYS[which];
        let program = match way {
            Way::Ours { scope, idle_s, wall } => ours(venv, server, agent, (scope, idle_s, wall)),
            Way::Peer { script, mode } => peer(venv, server, agent, script, mode),
        };
        let worker = Self { name, agent, way, program };
        until(&format!("{name} is registered"), || worker.registered().then_some(()));
        worker.rest();
        worker
    }

    fn registered(&self) -> bool {
        match &self.program {
            Program::Ours(running) => {
                let status = running.json(&["livekit", "status"]).0;
                let snapshot = running.snapshot();
                let warm = snapshot["zygotes"]
                    .as_array()
                    .is_some_and(|rows| rows.iter().any(|row| row["runtime"] == "bench" && row["spawn"] == "zygote"));
                warm && status["dispatchable"] == true
            }
            Program::Peer { log, .. } => read(log).contains("registered worker"),
        }
    }

    fn pid(&self) -> u32 {
        match &self.program {
            Program::Ours(running) => running.pid(),
            Program::Peer { child, .. } => child.id(),
        }
    }

    /// Milliseconds of CPU that its tree has used, whoever of it is gone already.
    pub(crate) fn cpu_ms(&self) -> f64 {
        tree(self.pid()).into_iter().map(cpu_ticks).sum::<f64>() * TICK_MS
    }

    /// Kilobytes of its tree, shared pages counted once.
    pub(crate) fn pss_kb(&self) -> f64 {
        memory::together(&tree(self.pid()))
    }

    /// Processes of its tree.
    pub(crate) fn processes(&self) -> usize {
        tree(self.pid()).len()
    }

    /// Waits until calls are cleared away and nothing of it works; not for ever, for it may not be ours.
    pub(crate) fn rest(&self) {
        if let Program::Ours(running) = &self.program {
            let keeps = matches!(self.way, Way::Ours { idle_s, .. } if idle_s > 60);
            until(&format!("{} has cleared away its calls", self.name), || {
                let hosts = running.snapshot()["hosts"].as_array().map_or(0, Vec::len);
                let status = running.json(&["livekit", "status"]).0;
                let live = status["workers"].as_array().into_iter().flatten().filter_map(|row| row["live"].as_u64());
                (live.sum::<u64>() == 0 && (keeps || hosts == 0)).then_some(())
            });
        }
        let start = Instant::now();
        while start.elapsed() < REST_PATIENCE && self.says_it_is_full() {
            pause(REST_LOOK);
        }
        while start.elapsed() < REST_PATIENCE {
            let (looked, before) = (Instant::now(), self.cpu_ms());
            pause(REST_LOOK);
            if (self.cpu_ms() - before) / looked.elapsed().as_secs_f64() < REST_SHARE * 1e3 {
                return;
            }
        }
    }

    /// Whether the last that a peer said of its load is that it takes no call.
    fn says_it_is_full(&self) -> bool {
        let Program::Peer { log, .. } = &self.program else { return false };
        let log = read(log);
        let last = log.lines().rfind(|line| line.contains("capacity, marking as"));
        last.is_some_and(|line| line.contains("as unavailable"))
    }

    /// What it says of the offers of these rooms.
    pub(crate) fn offers(&self, calls: &[Heard]) -> BTreeMap<String, Offer> {
        match &self.program {
            Program::Ours(running) => calls.iter().filter_map(|call| our_offer(running, &call.room)).collect(),
            Program::Peer { log, .. } => their_offers(&read(log), calls),
        }
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        match &self.program {
            Program::Ours(running) => running.log(),
            Program::Peer { log, .. } => read(log),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Program::Peer { child, .. } = &mut self.program {
            let below = tree(child.id());
            let _ = child.kill();
            let _ = child.wait();
            // A forkserver and its processes may outlive the worker.
            for pid in below.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn ours(venv: &Venv, server: &LivekitServer, agent: &str, (scope, idle_s, wall): (&str, u32, &str)) -> Program {
    let tenants: String = (0..TENANTS).map(|tenant| format!("[tenants.t{tenant}]\n")).collect();
    let setup = Setup::new(&format!(
        r#"
config_version = 1
[supervisor]
host_scope = "{scope}"
max_concurrent_sessions = 50
host_idle_timeout_s = {idle_s}
{wall}[livekit]
agent_names = ["{agent}"]
[observers.jsonl]
path = "DIR/state/events.jsonl"
[runtimes.bench]
kind = "python"
app = "DIR/app/pool.py"
{tenants}"#
    ));
    lay(&setup.dir().join("app"));
    let setup = setup.env("VIRTUAL_ENV", venv.dir());
    let setup = credentials(server).into_iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    Program::Ours(setup.start())
}

fn peer(venv: &Venv, server: &LivekitServer, agent: &str, script: &str, mode: &str) -> Program {
    let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("directory");
    lay(dir.path());
    let log = dir.path().join("worker.log");
    let output = File::create(&log).expect("create the log");
    let mut command = venv.command(&[]);
    command.arg(dir.path().join(script)).arg("start").current_dir(dir.path()).env("HOME", dir.path());
    command.envs(credentials(server)).env("BENCH_AGENT_NAME", agent).env("BENCH_ISOLATION", mode);
    if std::env::var_os("OPENRTC_BENCH_IDLE_PEERS").is_some() {
        command.env("BENCH_IDLE_PEERS", "1");
    }
    // As few threads as ours are given.
    for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, "1");
    }
    command.env_remove("PYTHONDONTWRITEBYTECODE");
    command.stdout(output.try_clone().expect("the log")).stderr(output).stdin(Stdio::null());
    Program::Peer { child: command.spawn().expect("start a peer"), log, _dir: dir }
}

fn credentials(server: &LivekitServer) -> [(&'static str, String); 3] {
    [("LIVEKIT_URL", server.url()), ("LIVEKIT_API_KEY", KEY.to_owned()), ("LIVEKIT_API_SECRET", SECRET.to_owned())]
}

fn lay(app: &Path) {
    fs::create_dir_all(app).expect("create the application's folder");
    for from in SCRIPTS.map(python::repository) {
        fs::copy(&from, app.join(from.file_name().expect("a file"))).expect("lay a script");
    }
}

fn our_offer(running: &Running, room: &str) -> Option<(String, Offer)> {
    let check = running.json(&["livekit", "check", "--room", room]).0;
    let offer = &check["last_offer"];
    let text = |key: &str| offer[key].as_str().map(ToOwned::to_owned);
    let refused = (offer["accepted"] == false).then(|| text("reason").unwrap_or_default());
    Some((room.to_owned(), Offer { at_unix_ms: offer["at_unix_ms"].as_f64()?, refused, failed: text("error") }))
}

/// Lines of JSON, each with a message and the room that it is about.
fn their_offers(log: &str, calls: &[Heard]) -> BTreeMap<String, Offer> {
    let mut offers = BTreeMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(call) = calls.iter().find(|call| line["room"] == call.room.as_str()) else { continue };
        let message = line["message"].as_str().unwrap_or_default();
        let at = line["timestamp"].as_str().and_then(unix_ms);
        if let (Some(at_unix_ms), true) = (at, message == "offered") {
            let refused = Some("its load with the calls on their way reaches its threshold".to_owned());
            offers.insert(call.room.clone(), Offer { at_unix_ms, refused, failed: None });
        } else if let (Some(offer), true) = (offers.get_mut(&call.room), message == "received job request") {
            offer.refused = None;
        } else if let (Some(offer), "ERROR") = (offers.get_mut(&call.room), line["level"].as_str().unwrap_or_default())
        {
            offer.failed = Some(message.to_owned());
        }
    }
    offers
}

/// `2026-11-23T03:40:12.123456+00:00`, of the same day as now.
fn unix_ms(text: &str) -> Option<f64> {
    let time = text.split_once('T')?.1.split(['+', 'Z']).next()?;
    let parts: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().ok()?.as_secs();
    Some((now - now % 86_400) as f64 * 1e3 + (hours * 3600.0 + minutes * 60.0 + seconds) * 1e3)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Of a process and of its children that were waited for.
fn cpu_ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // Fields 14 to 17 of the line, whose third is the first here.
    after_name.split(' ').skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum()
}
