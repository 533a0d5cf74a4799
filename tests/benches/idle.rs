//! Cost of hosts that do nothing, and how soon a death is told: 500 tenants' hosts under the real binary.
//!
//! Owns: `cargo bench -p openrtc-tests --bench idle` (as root for every wall; `OPENRTC_BENCH_HOSTS=n` for another number).
//! Never: asserts a time.
//!
//! Brings one host up for each tenant by a session that ends at once, lets them rest, and reads the supervisor's CPU from
//! its threads' `schedstat` and its memory from `smaps_rollup`. Then hosts with a session are killed from outside, one at
//! a time: from the signal to the answer of the dispatch that waits for the session's end, beside a bare child that is
//! killed and seen on its pidfd, in turns.

#[path = "measure/mod.rs"]
mod measure;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use measure::{Series, baseline, cpu_s};
use openrtc_tests::{Running, Setup, http, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const HOSTS: usize = 500;
const REST: Duration = Duration::from_secs(15);
const DEATHS: usize = 100;

fn main() {
    if measure::only_tests() {
        return;
    }
    let hosts = std::env::var("OPENRTC_BENCH_HOSTS").ok().and_then(|text| text.parse().ok()).unwrap_or(HOSTS);
    let running = Setup::new(&config(hosts)).start();
    let empty = Memory::of(running.pid());
    println!("no host        supervisor {empty}; CPU {:.2} % of a core", cpu_pct(running.pid(), REST));
    let pids = bring_up(&running, hosts);
    settle(running.pid());
    let full = Memory::of(running.pid());
    println!("{hosts} idle hosts   supervisor {full}; CPU {:.2} % of a core", cpu_pct(running.pid(), REST));
    let per_host = (full.private_kb - empty.private_kb) / hosts as f64;
    println!("               supervisor's own per host: {per_host:.1} kB private");
    tell_hosts(&pids);
    deaths(&running, hosts);
}

fn config(hosts: usize) -> String {
    let mut text = format!(
        r#"
config_version = 1
[supervisor]
max_concurrent_sessions = {hosts}
max_hosts = {}
host_idle_timeout_s = 3600
[agents.echo]
command = ["/bin/true"]
[agents.wait]
command = ["/bin/sh", "-c", "read line; read end"]
"#,
        hosts + 8
    );
    for tenant in 0..hosts {
        writeln!(text, "[tenants.t{tenant}]").expect("write");
    }
    text
}

fn dispatch(dir: &Path, tenant: usize, agent: &str, wait: bool) -> Value {
    let body = json!({ "room": format!("r{tenant}"), "tenant": format!("t{tenant}"), "agent": agent, "wait": wait });
    let (status, answer) = http::post(&dir.join("run"), "/v1/dispatch", &body).expect("dispatch");
    assert!((200..300).contains(&status), "dispatch was refused: {status} {answer}");
    answer
}

/// One session for each tenant, and the time until the last host is up; gives the hosts' pids.
fn bring_up(running: &Running, hosts: usize) -> Vec<u32> {
    let start = Instant::now();
    let before = cpu_s(running.pid());
    for tenant in 0..hosts {
        dispatch(running.dir(), tenant, "echo", false);
    }
    let asked = start.elapsed();
    let rows = until("every host is up", || {
        let rows = running.snapshot()["hosts"].as_array().cloned().unwrap_or_default();
        let up = rows.iter().filter(|row| row["ready_after_ms"].is_u64()).count();
        (up == hosts).then_some(rows)
    });
    let took = start.elapsed();
    let mut ready = Series::default();
    rows.iter().filter_map(|row| row["ready_after_ms"].as_f64()).for_each(|ms| ready.push(ms));
    println!(
        "bring-up       {hosts} sessions asked for in {:.2} s, hosts up after {:.2} s: {:.0} hosts/s, {:.2} ms of the \
         supervisor's CPU each; fork to ready {:.0} ms median, {:.0} ms p99",
        asked.as_secs_f64(),
        took.as_secs_f64(),
        hosts as f64 / took.as_secs_f64(),
        (cpu_s(running.pid()) - before) * 1000.0 / hosts as f64,
        ready.median(),
        ready.p99()
    );
    rows.iter().filter_map(|row| row["pid"].as_u64()).map(|pid| pid as u32).collect()
}

/// Until the sessions that brought the hosts up have ended and their ends are told.
fn settle(pid: u32) {
    until("the bring-up has died away", || (cpu_pct(pid, Duration::from_secs(1)) < 50.0).then_some(()));
    measure::pause(Duration::from_secs(6));
}

fn tell_hosts(pids: &[u32]) {
    let (mut pss, mut private) = (Series::default(), Series::default());
    for memory in pids.iter().map(|pid| Memory::of(*pid)) {
        pss.push(memory.pss_kb);
        private.push(memory.private_kb);
    }
    println!("each host      private dirty {private} kB; PSS {pss} kB");
}

/// From SIGKILL to the end of the session, told by the API, beside a pidfd.
fn deaths(running: &Running, hosts: usize) {
    let (mut told, mut bare) = (Series::default(), Series::default());
    for tenant in 0..DEATHS.min(hosts) {
        bare.push(baseline::death_seen_on_pidfd().as_secs_f64() * 1e3);
        told.push(death(running, tenant).as_secs_f64() * 1e3);
    }
    println!("death          bare child, seen on its pidfd: {bare} ms");
    println!("death          host, its session's end told:  {told} ms   {:.1} x bare", told.median() / bare.median());
}

fn death(running: &Running, tenant: usize) -> Duration {
    let dir = running.dir().to_owned();
    let waiter = std::thread::spawn(move || {
        let answer = dispatch(&dir, tenant, "wait", true);
        (Instant::now(), answer)
    });
    let pid = until("the session runs", || {
        let rows = running.hosts_of(&format!("t{tenant}"));
        let row = rows.iter().find(|row| row["processes"].as_u64() > Some(0) && has_child(row))?;
        row["pid"].as_i64()
    });
    let host = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let killed = Instant::now();
    kill_process(host, Signal::KILL).expect("kill the host");
    let (seen, answer) = waiter.join().expect("the dispatch is answered");
    assert_ne!(answer["ended"]["status"], "success", "{answer}");
    seen - killed
}

fn has_child(row: &Value) -> bool {
    let Some(pid) = row["pid"].as_u64() else { return false };
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| !fs::read_to_string(task.path().join("children")).unwrap_or_default().is_empty())
}

/// CPU over a span, in percent of one core.
fn cpu_pct(pid: u32, span: Duration) -> f64 {
    let (start, before) = (Instant::now(), cpu_s(pid));
    measure::pause(span);
    (cpu_s(pid) - before) * 100.0 / start.elapsed().as_secs_f64()
}

/// What a process holds, in kB.
struct Memory {
    pss_kb: f64,
    private_kb: f64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
        };
        Self { pss_kb: of("Pss:"), private_kb: of("Private_Dirty:") }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PSS {:.0} kB, private dirty {:.0} kB", self.pss_kb, self.private_kb)
    }
}
