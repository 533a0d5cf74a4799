//! What operating a supervisor costs: a tenant's lateness with and without those who watch, and what `top` takes.
//!
//! Owns: `cargo bench -p openrtc-tests --bench operating` (as root for every wall; `OPENRTC_BENCH_ROUNDS=n` for another
//! number). Never: asserts a time.
//!
//! One tenant plays a recording in real time, call after call; how late each of its 20 ms frames is dealt with is told by the
//! agent itself. In turns nobody looks, and a Prometheus' scrape once a second, a reader of `/v1/events` and `top` at 2 Hz do.

#[path = "measure/mod.rs"]
mod measure;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use measure::Series;
use openrtc_tests::supervisor::spawn;
use openrtc_tests::terminal::Terminal;
use openrtc_tests::{Running, Setup, binary, http, python};
use serde_json::json;

const ROUNDS: usize = 20;
const AGENT: &str = "__demo-agent";

fn main() {
    if measure::only_tests() {
        return;
    }
    let rounds = std::env::var("OPENRTC_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let port = http::free_port();
    let config = format!(
        "config_version = 1\n[supervisor]\nhealth_listen = {port}\n[metrics]\nwithout_token = true\n\
         [observers.jsonl]\npath = \"DIR/state/events.jsonl\"\n\
         [agents.support]\ncommand = [\"{}\", \"{AGENT}\", \"segment\"]\n[tenants.acme]\n",
        binary().display()
    );
    let running = Setup::new(&config).start();
    let (mut late, mut cpu): ([Series; 2], [Series; 2]) = Default::default();
    let mut top = Series::default();
    for round in 0..=rounds {
        let mut turns = [false, true];
        fastrand::shuffle(&mut turns);
        for watched in turns {
            let watchers = watched.then(|| Watchers::start(&running, port));
            let (start, before) = (Instant::now(), measure::cpu_s(running.pid()));
            let top_before = watchers.as_ref().map(|watchers| measure::cpu_s(watchers.top.id()));
            let frames = call(&running);
            let took = start.elapsed().as_secs_f64();
            // The first of each warms up.
            if round > 0 {
                late[usize::from(watched)].extend(frames);
                cpu[usize::from(watched)].push((measure::cpu_s(running.pid()) - before) * 100.0 / took);
                if let (Some(watchers), Some(before)) = (&watchers, top_before) {
                    top.push((measure::cpu_s(watchers.top.id()) - before) * 100.0 / took);
                }
            }
        }
    }
    for (name, at) in [("nobody looks", 0), ("scrape, events, top", 1)] {
        println!("{name:20} frame's lateness {} µs; supervisor {} % of a core", late[at], cpu[at]);
    }
    println!("p99: {:.2} x   top at 2 Hz: {top} % of a core", late[1].p99() / late[0].p99());
}

/// One call; how late its frames were, in microseconds.
fn call(running: &Running) -> Vec<f64> {
    let input = python::repository("examples/agency/call.wav");
    let body = json!({ "room": "r", "tenant": "acme", "agent": "support", "input": input, "wait": true });
    let (status, answer) = http::post(&running.dir().join("run"), "/v1/dispatch", &body).expect("dispatch");
    let ended = &answer["ended"];
    assert!(status == 200 && ended["status"] == "success", "{status} {answer}\n{}", running.log());
    let wanted = ended["usage"]["events"].as_u64().unwrap_or(0);
    let own = |events: Vec<serde_json::Value>| -> Vec<f64> {
        let own = events.into_iter().filter(|row| row["session_id"] == ended["session_id"]);
        let late = own.filter(|row| row["payload"]["type"] == "latency" && row["payload"]["stage"] == "frame");
        late.filter_map(|row| row["payload"]["micros"].as_f64()).collect()
    };
    openrtc_tests::until("the observer has written the frames", || {
        let frames = own(running.events());
        (frames.len() as u64 >= wanted.min(200)).then_some(frames)
    })
}

/// All who watch at once, until it is dropped.
struct Watchers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    events: UnixStream,
    top: Child,
    _terminal: Terminal,
}

impl Watchers {
    fn start(running: &Running, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let dir = running.dir().join("run");
        let token = fs::read_to_string(dir.join("control.token")).expect("the token");
        let mut events = UnixStream::connect(dir.join("control.sock")).expect("connect");
        let token = token.trim();
        write!(events, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
            .expect("ask");
        let mut reading = events.try_clone().expect("the socket again");
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            while matches!(reading.read(&mut bytes), Ok(1..)) {}
        });
        let asked = Arc::clone(&stop);
        let scraper = std::thread::spawn(move || {
            while !asked.load(Ordering::Relaxed) {
                let (status, _) = http::get(port, "/metrics", "").expect("scrape");
                assert_eq!(status, 200);
                measure::pause(Duration::from_secs(1));
            }
        });
        let terminal = Terminal::open();
        let mut command = running.command(&["top", "--refresh-rate", "2"]);
        let end = || Stdio::from(terminal.end());
        let top = spawn(command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end()));
        let mut screen: File = terminal.screen();
        let drained = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while matches!(screen.read(&mut bytes), Ok(1..)) {}
        });
        // It ends when the terminal does.
        drop(drained);
        Self { stop, threads: vec![reader, scraper], events, top, _terminal: terminal }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.events.shutdown(std::net::Shutdown::Both);
        let _ = self.top.kill();
        let _ = self.top.wait();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
