//! Calls of a real LiveKit server: ours in its scopes, livekit-agents' process pool, and OpenRTC in both of its modes.
//!
//! Owns: `cargo bench -p openrtc-tests --bench livekit` (as root: the memory of hosts is read). Parts can be named:
//! `-- one five ten memory`; `OPENRTC_BENCH_ROUNDS=n` for another number; `OPENRTC_BENCH_WAYS=up,coroutine` for some of
//! the workers; `OPENRTC_BENCH_VERBOSE=1` tells each call as it was. Never: asserts a time.
//!
//! All workers are registered with one quiet server, each under a name of its own, and take turns; callers, server and
//! workers share the machine. Memory is measured with one worker at a time: a page that two trees share would count for
//! half.

#[path = "livekit/callers.rs"]
mod callers;
#[path = "measure/mod.rs"]
mod measure;
#[expect(dead_code, reason = "only whole trees are measured here")]
#[path = "python/memory.rs"]
mod memory;
#[path = "livekit/tables.rs"]
mod tables;
#[path = "livekit/workers.rs"]
mod workers;

use callers::Callers;
use openrtc_tests::livekit_server::LivekitServer;
use openrtc_tests::python::{self, Venv};
use tables::Row;
use workers::{TENANTS, WAYS, Worker};

const MEMORY_ROUNDS: usize = 3;
/// Parts, how many calls at once, and how many rounds.
const PARTS: [(&str, usize, usize); 3] = [("one", 1, 20), ("five", 5, 5), ("ten", 10, 3)];

fn main() {
    if measure::only_tests() {
        return;
    }
    let venv = match python::venv() {
        Ok(venv) => venv,
        Err(missing) => return println!("skipped: {missing}"),
    };
    let server = match LivekitServer::start() {
        Ok(server) => server,
        Err(missing) => return println!("skipped: {missing}"),
    };
    let rounds = std::env::var("OPENRTC_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    let only = std::env::var("OPENRTC_BENCH_WAYS").unwrap_or_default();
    let ways: Vec<usize> =
        (0..WAYS.len()).filter(|way| only.is_empty() || only.split(',').any(|name| name == WAYS[*way].1)).collect();
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let parts: Vec<_> = PARTS.into_iter().filter(|(part, ..)| wanted(part)).collect();
    if !parts.is_empty() {
        bursts(venv, &server, &ways, &parts, rounds);
    }
    if wanted("memory") {
        tables::memory(&ways, |row, way| trees(venv, &server, row, way), rounds.unwrap_or(MEMORY_ROUNDS));
    }
}

/// So many calls at once, workers in turns.
fn bursts(venv: &Venv, server: &LivekitServer, ways: &[usize], parts: &[(&str, usize, usize)], rounds: Option<usize>) {
    let workers: Vec<Worker> = ways.iter().map(|way| Worker::start(venv, server, *way)).collect();
    let mut callers = Callers::start(venv, server);
    for worker in &workers {
        // Every tenant once.
        turn(worker, server, &mut callers, TENANTS, &mut Row::default());
    }
    for (_, calls, usual) in parts {
        let rounds = rounds.unwrap_or(*usual);
        let mut rows: Vec<Row> = workers.iter().map(|_| Row::default()).collect();
        for _ in 0..rounds {
            let mut turns: Vec<usize> = (0..workers.len()).collect();
            fastrand::shuffle(&mut turns);
            for which in turns {
                turn(&workers[which], server, &mut callers, *calls, &mut rows[which]);
            }
        }
        tables::calls(*calls, rounds, workers.iter().map(|worker| worker.name).zip(&rows));
    }
}

/// One worker's turn, from rest to rest.
fn turn(worker: &Worker, server: &LivekitServer, callers: &mut Callers, calls: usize, row: &mut Row) {
    let (cpu_ms, said) = (worker.cpu_ms(), server.log().len());
    let heard = callers.call(worker.agent, calls);
    callers.hang_up();
    worker.rest();
    row.cpu_ms.push((worker.cpu_ms() - cpu_ms) / calls as f64);
    row.account(&heard, &worker.offers(&heard), &server.log()[said..]);
    if verbose() {
        eprintln!("{}: {heard:?}", worker.name);
        if heard.iter().any(|call| !call.heard) {
            eprintln!("{}", worker.log());
        }
    }
}

/// One worker alone: its tree when idle, and with ten calls.
fn trees(venv: &Venv, server: &LivekitServer, row: &mut tables::Tree, way: usize) {
    let worker = Worker::start(venv, server, way);
    let mut callers = Callers::start(venv, server);
    row.idle_kb.push(worker.pss_kb());
    turn(&worker, server, &mut callers, TENANTS, &mut Row::default());
    row.used_kb.push(worker.pss_kb());
    let heard = callers.call(worker.agent, 10);
    row.live_kb.push(worker.pss_kb());
    row.processes = worker.processes();
    row.live = heard.iter().filter(|call| call.heard).count();
    callers.hang_up();
    if verbose() {
        eprintln!("{}: {row:?}", worker.name);
    }
}

fn verbose() -> bool {
    std::env::var_os("OPENRTC_BENCH_VERBOSE").is_some()
}
