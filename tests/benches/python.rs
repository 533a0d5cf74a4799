//! Python hosts against livekit-agents' processes and OpenRTC's coroutines: ready, memory, density, and a fork's price.
//!
//! Owns: `cargo bench -p openrtc-tests --bench python` (as root: the memory of hosts is read). Parts can be named:
//! `-- ready memory density forks`; `OPENRTC_BENCH_ROUNDS=n` for another number. Never: asserts a time.
//!
//! The product is the release binary with the release extension, driven by its API as a user's; the peers come from the
//! package index and are driven by `python/peers.py`. What is compared takes turns. Densities are measured with nothing
//! else of this benchmark running: a page that two trees share would count for half.

#[path = "measure/mod.rs"]
mod measure;
#[path = "python/memory.rs"]
mod memory;
#[path = "python/ours.rs"]
mod ours;
#[path = "python/peers.rs"]
mod peers;

use std::time::Duration;

use measure::Series;
use openrtc_tests::python::{self, Venv};
use ours::Ours;
use peers::Peers;
use serde_json::{Value, json};

const ROUNDS: usize = 20;
const WARM_UP: usize = 2;
/// Until a host has answered pings and told what it measured.
const REST: Duration = Duration::from_secs(6);
const BUFFER_BYTES: u64 = 5_000_000;
const DENSITY_ROUNDS: usize = 3;

fn main() {
    if measure::only_tests() {
        return;
    }
    let venv = match python::venv() {
        Ok(venv) => venv,
        Err(missing) => return println!("skipped: {missing}"),
    };
    let rounds = std::env::var("OPENRTC_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("ready") {
        ready(venv, rounds);
    }
    if wanted("memory") {
        private_memory(venv, rounds.min(12));
    }
    if wanted("density") {
        densities(venv, rounds.min(DENSITY_ROUNDS));
    }
    if wanted("forks") {
        forks(venv, rounds);
    }
}

/// From asking for a host to one inference in it.
fn ready(venv: &Venv, rounds: usize) {
    let host = Ours::start(venv, "app.py", "session", 1, "host");
    let zygote = Ours::start(venv, "app.py", "session", 1, "zygote");
    let prewarm = Ours::start(venv, "ready.py", "session", 1, "host");
    let mut peers = Peers::start(venv, &host.app);
    let mut rows: [Series; 10] = Default::default();
    for round in 0..WARM_UP + rounds {
        let mut turns = [0, 1, 2, 3, 4];
        fastrand::shuffle(&mut turns);
        for turn in turns {
            let took = match turn {
                0 | 1 => {
                    let took = [&host, &zygote][turn].time();
                    vec![took.inferred, took.ended, took.ready]
                }
                2 => {
                    let took = prewarm.time();
                    vec![took.inferred, took.ready]
                }
                3 => vec![peers.number("forkserver", "ms")],
                _ => vec![peers.number("spawn", "ms")],
            };
            let first = [0, 3, 6, 8, 9][turn];
            if round >= WARM_UP {
                rows[first..].iter_mut().zip(took).for_each(|(series, ms)| series.push(ms));
            }
        }
    }
    let [forkserver, spawn] = [rows[8].median(), rows[9].median()];
    println!("\nhost ready and one Silero inference; milliseconds");
    let names = [
        "ours: dispatch to inference done",
        "ours: dispatch to session's end answered",
        "ours: first byte to ready (whole ms)",
        "ours, load_app = \"zygote\": to inference done",
        "ours, load_app = \"zygote\": to end answered",
        "ours, load_app = \"zygote\": first byte to ready",
        "ours: dispatch to inference in prewarm done",
        "ours: the same, first byte to ready (whole ms)",
        "livekit-agents, forkserver and preload",
        "livekit-agents, spawn",
    ];
    for (name, series) in names.iter().zip(&rows) {
        let times = |peer: f64| peer / series.median();
        println!("{name:<48} {series}   forkserver {:>6.1} x, spawn {:>6.1} x", times(forkserver), times(spawn));
    }
}

/// What a host alone holds.
fn private_memory(venv: &Venv, rounds: usize) {
    let quick = Ours::start(venv, "app.py", "tenant", rounds, "host");
    let voice = Ours::start(venv, "voice.py", "tenant", rounds, "host");
    let mut peers = Peers::start(venv, &quick.app);
    let [mut idle, mut inferred, mut live] = [Series::default(), Series::default(), Series::default()];
    let [mut initialized, mut peer_live] = [Series::default(), Series::default()];
    for tenant in 0..rounds {
        quick.run(tenant, &json!({}));
        let call = voice.hold(tenant, &json!({}));
        measure::pause(REST);
        idle.extend(quick.hosts(tenant).into_iter().map(memory::private));
        live.extend(voice.hosts(tenant).into_iter().map(memory::private));
        voice.running.cli(&["session", "end", &call]);
        quick.run(tenant, &json!({ "vad": true }));
        measure::pause(REST);
        inferred.extend(quick.hosts(tenant).into_iter().map(memory::private));
        initialized.push(peers.number("forkserver", "private_kb"));
        peer_live.push(peers.number("voice", "private_kb"));
    }
    println!("\nprivate memory of a host (Private_Dirty); kB");
    println!("ours, no session                          {idle}");
    println!("ours, after Silero inferred               {inferred}");
    println!("livekit-agents forkserver, initialized    {initialized}");
    println!("ours, live AgentSession                   {live}   {:.2} x", live.median() / peer_live.median());
    println!("livekit-agents forkserver, the same       {peer_live}");
}

/// One way to hold many sessions.
enum Way {
    /// A supervisor with this scope and so many tenants.
    Ours(&'static str, usize),
    /// A mode of `peers.py`.
    Peer(&'static str),
}

const WAYS: [(&str, Way); 5] = [
    ("OpenRTC coroutine mode", Way::Peer("coroutine")),
    ("OpenRTC coroutine mode, warmed up as our zygote", Way::Peer("warm")),
    ("ours, a process for each session", Way::Ours("session", 1)),
    ("ours, 4 tenants' hosts", Way::Ours("tenant", 4)),
    ("livekit-agents process mode (spawn)", Way::Peer("process")),
];

/// Memory of many sessions with a buffer each.
fn densities(venv: &Venv, rounds: usize) {
    for sessions in [16, 100] {
        let mut totals: [Series; WAYS.len()] = Default::default();
        let mut supervisor = Series::default();
        for _ in 0..rounds {
            let mut turns: Vec<usize> = (0..WAYS.len()).collect();
            fastrand::shuffle(&mut turns);
            for turn in turns {
                match &WAYS[turn].1 {
                    Way::Peer("process") if sessions > 16 => {}
                    Way::Peer(mode) => totals[turn].push(peer_holds(venv, mode, sessions)),
                    Way::Ours(scope, tenants) => {
                        let (hosts, own) = ours_holds(venv, scope, *tenants, sessions);
                        totals[turn].push(hosts);
                        supervisor.push(own);
                    }
                }
            }
        }
        let [coroutine, warm] = [totals[0].median(), totals[1].median()];
        println!("\n{sessions} sessions with {BUFFER_BYTES} bytes each: memory of the whole tree (PSS); kB");
        for ((name, _), total) in WAYS.iter().zip(&totals).filter(|(_, total)| total.median() > 0.0) {
            let times = total.median();
            println!("{name:<50} {total}   {:>6.2} x, warmed up {:>6.2} x", times / coroutine, times / warm);
        }
        println!("the supervisor's own process, not in these         {supervisor}");
    }
}

fn peer_holds(venv: &Venv, mode: &str, sessions: usize) -> f64 {
    let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("directory");
    let mut peers = Peers::start(venv, &ours::lay(dir.path()));
    peers.number(&format!("{mode} {sessions} {BUFFER_BYTES}"), "pss_kb")
}

/// Hosts and zygotes together, and the supervisor.
fn ours_holds(venv: &Venv, scope: &str, tenants: usize, sessions: usize) -> (f64, f64) {
    let ours = Ours::start(venv, "app.py", scope, tenants, "host");
    for session in 0..sessions {
        ours.hold(session % tenants, &json!({ "hold": true, "buffer_bytes": BUFFER_BYTES }));
    }
    ours.held(sessions);
    measure::pause(Duration::from_secs(1));
    (memory::together(&ours.running.descendants()), memory::of(ours.running.pid(), "Pss"))
}

/// Forks of images of two sizes, collapsed into huge pages and not.
fn forks(venv: &Venv, rounds: usize) {
    let mut command = venv.command(&[]);
    command.arg(python::repository("tests/benches/python/forks.py")).arg(rounds.to_string());
    let output = command.output().expect("run forks.py");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("\na fork of a zygote; milliseconds from the request");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let one: Value = serde_json::from_str(line).expect("JSON");
        let mb = |name: &str| one[name].as_f64().unwrap_or(0.0) / 1024.0;
        let [rss, anonymous, huge] = ["rss_kb", "anonymous_kb", "huge_kb"].map(mb);
        println!("image of {rss:.0} MB, {anonymous:.0} of them anonymous, {huge:.0} in huge pages");
        for (name, key) in [("a process", "forked_ms"), ("first byte", "byte_ms"), ("gone", "gone_ms")] {
            let mut series = Series::default();
            series.extend(one[key].as_array().into_iter().flatten().filter_map(Value::as_f64));
            println!("  {name:<12} {series}");
        }
    }
}
