//! What each observer costs for each thing told: who tells, and the observer's own thread.
//!
//! Owns: `cargo bench -p openrtc-tests --bench observers`. Never: asserts a time.
//!
//! A session's start and end are told again and again, in bursts that no queue is too small for. *Tell* is what the teller
//! pays, with the counting for `/metrics`; *take* is the time from the first told to the last taken, for each. Files are
//! on the machine's temporary directory. Traces go to who reads them on a thread of its own, and drops them.

#[path = "measure/mod.rs"]
mod measure;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::Series;
use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, SessionInfo, TenantId};
use openrtc_policy::{Blame, Conclusion, Outcome, Reason, SessionPlan, Status};
use openrtc_supervisor::ledger::EndedSession;
use openrtc_supervisor::observer::{EventStream, Fanout, JsonlObserver, MetricsJsonlObserver, Told, TracesObserver};
use openrtc_tests::collector;

const ROUNDS: usize = 40;
/// Of starts and ends; less than an observer's queue.
const BURST: u64 = 500;
const HOST: HostId = HostId { index: 1, generation: 1 };

fn main() {
    if measure::only_tests() {
        return;
    }
    let dir = tempfile::tempdir().expect("directory");
    println!("{:14} {:>30}   {:>30}", "observer", "tell, ns", "take, ns");
    for name in ["none", "events", "jsonl", "metrics_jsonl", "traces"] {
        let fanout = fanout(name, dir.path());
        let (mut tell, mut take) = (Series::default(), Series::default());
        for round in 0..ROUNDS {
            let told: Vec<Told> = (0..BURST).flat_map(|nth| session(round as u64 * BURST + nth)).collect();
            let (each, before) = (told.len() as f64, taken(&fanout));
            let start = Instant::now();
            told.into_iter().for_each(|told| fanout.tell(told));
            tell.push(start.elapsed().as_secs_f64() * 1e9 / each);
            while name != "none" && taken(&fanout) < before + each as u64 {
                std::thread::yield_now();
            }
            take.push(start.elapsed().as_secs_f64() * 1e9 / each);
        }
        println!("{name:14} {tell}   {take}");
    }
}

fn fanout(name: &str, dir: &Path) -> Fanout {
    let fanout = Fanout::default();
    let file = dir.join(name);
    let added = match name {
        "events" => fanout.add(EventStream::new(1).observer()),
        "jsonl" => fanout.add(JsonlObserver::open(file).expect("a file")),
        "metrics_jsonl" => fanout.add(MetricsJsonlObserver::open(file, Duration::from_secs(1), None).expect("a file")),
        "traces" => {
            let endpoint = format!("http://127.0.0.1:{}", collector::start(drop));
            fanout.add(TracesObserver::new(&endpoint, "bench").expect("traces"))
        }
        _ => Ok(()),
    };
    added.expect("an observer");
    fanout
}

fn taken(fanout: &Fanout) -> u64 {
    fanout.tallies().iter().map(|tally| tally.taken + tally.failed).sum()
}

fn session(seq: u64) -> [Told; 2] {
    let session = SessionId { run: 1, seq };
    let (tenant, agent) = (TenantId::parse("acme").expect("a tenant"), AgentName::parse("support").expect("an agent"));
    let info = SessionInfo {
        session,
        tenant: tenant.clone(),
        agent: agent.clone(),
        room_name: "acme_support-1".to_owned(),
        job_id: "j-1".to_owned(),
        metadata: BTreeMap::new(),
        started_at_unix_ms: 4,
        deployment_version: None,
    };
    let plan = SessionPlan {
        session,
        tenant,
        agent,
        runtime: RuntimeName::parse("command").expect("a runtime"),
        room: "acme_support-1".to_owned(),
        job_id: None,
        metadata: BTreeMap::new(),
        job_metadata: String::new(),
        room_metadata: String::new(),
    };
    let outcome = Outcome { status: Status::Success, reason: Reason::Completed, error: None, blame: Blame::Caller };
    let conclusion = Conclusion { plan, host: Some(HOST), outcome, exit: None, duration_ms: 1500, started: true };
    let ended = EndedSession { live: None, conclusion, ended_at_unix_ms: 6, evidence: None };
    [Told::SessionStarted(Arc::new(info), HOST), Told::SessionEnded(Arc::new(ended))]
}
