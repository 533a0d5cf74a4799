//! What a snapshot and a scrape of `/metrics` cost: 500 hosts and 5 000 sessions, beside a bare serialisation of the
//! snapshot.
//!
//! Owns: `cargo bench -p openrtc-tests --bench snapshot`. Never: asserts a time.
//!
//! The world is the product's own (`supervisor/src/control/`) with a view of policy made by hand, at one size and at twice
//! that size; where twice the size costs twice the time, nothing in it is quadratic. Variants take turns.

#[path = "measure/mod.rs"]
mod measure;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use measure::Series;
use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};
use openrtc_policy::HostPlan;
use openrtc_policy::Policy;
use openrtc_policy::rules::HostScope;
use openrtc_supervisor::config::Config;
use openrtc_supervisor::control::{
    About, BreakerView, HostView, PolicyView, SessionView, TenantView, World, metrics, snapshot,
};
use openrtc_supervisor::host::{HostRecord, Registry};
use openrtc_supervisor::ledger::Ledger;
use openrtc_supervisor::metrics::exposition::Form;
use openrtc_supervisor::observer::Fanout;
use openrtc_supervisor::sources::{Handle, Input};
use openrtc_supervisor::spawn::How;

const ROUNDS: usize = 50;
const SESSIONS_A_HOST: usize = 10;
static HOSTS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    if measure::only_tests() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut rows: Vec<(usize, [Series; 3])> = [250, 500, 1_000].map(|hosts| (hosts, Default::default())).into();
        let worlds: Vec<World> = rows.iter().map(|(hosts, ..)| world(*hosts)).collect();
        let mut bytes = vec![[0; 2]; rows.len()];
        for _ in 0..ROUNDS {
            for (at, (hosts, [made, bare, scraped])) in rows.iter_mut().enumerate() {
                HOSTS.store(*hosts, Relaxed);
                let start = Instant::now();
                let shown = snapshot(&worlds[at], None).await.expect("a snapshot");
                let text = serde_json::to_vec(&shown).expect("JSON");
                made.push(start.elapsed().as_secs_f64() * 1e3);
                let start = Instant::now();
                bytes[at][0] = std::hint::black_box(serde_json::to_vec(&shown).expect("JSON")).len().max(text.len());
                bare.push(start.elapsed().as_secs_f64() * 1e3);
                let start = Instant::now();
                bytes[at][1] = metrics(&worlds[at], Form::OpenMetrics).await.expect("an exposition").len();
                scraped.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        for ((hosts, [made, bare, scraped]), [bytes, text]) in rows.iter().zip(bytes) {
            let sessions = hosts * SESSIONS_A_HOST;
            println!("{hosts:>5} hosts {sessions:>6} sessions {bytes:>9} bytes  snapshot  {made} ms");
            println!("{:45} bare JSON {bare} ms   {:.1} x bare", "", made.median() / bare.median());
            println!("{:23} {text:>9} bytes  scrape    {scraped} ms", "");
        }
    });
}

fn world(hosts: usize) -> World {
    let dir = tempfile::tempdir().expect("directory");
    let config = Config::embedded("[agents.support]\ncommand = [\"/bin/true\"]\n", dir.path()).expect("configuration");
    let (handle, mut queue) = Handle::new();
    tokio::spawn(async move {
        let policy = Policy::new(config.rules.clone(), 1);
        while let Some(input) = queue.recv().await {
            if let Input::Question(question) = input {
                question(&policy);
            }
        }
    });
    let registry = Registry::default();
    for nth in 0..hosts {
        registry.enter(std::sync::Arc::new(HostRecord::new(plan(nth), nth as i32 + 1, How::Cold, 1)));
    }
    let about = About {
        name: "bench".into(),
        deployment_version: None,
        slow_session_threshold_ms: 50,
        kill_wait_ms: 1,
        doctor: openrtc_control_api::DoctorReport::default(),
        preflight: openrtc_supervisor::preflight::Preflight::default(),
    };
    World::new(handle, registry, Ledger::default(), Fanout::default(), about).reading(view)
}

fn tenant(nth: usize) -> TenantId {
    TenantId::parse(&format!("tenant-{nth}")).expect("a tenant")
}

fn plan(nth: usize) -> HostPlan {
    HostPlan {
        host: HostId { index: nth as u32, generation: 1 },
        tenant: tenant(nth),
        runtime: RuntimeName::parse("command").expect("a runtime"),
        scope: HostScope::Tenant,
    }
}

fn view(_: &Policy) -> PolicyView {
    let hosts = HOSTS.load(Relaxed);
    let session = |nth: usize| SessionView {
        session: SessionId { run: 1, seq: nth as u64 },
        tenant: tenant(nth / SESSIONS_A_HOST),
        agent: AgentName::parse("support").expect("an agent"),
        room: format!("room-{nth}"),
        host: Some(plan(nth / SESSIONS_A_HOST).host),
        duration_ms: 1_000,
    };
    let host = |nth: usize| HostView { plan: plan(nth), state: "ready", condemned: None, sessions: Vec::new() };
    let known = |nth: usize| TenantView {
        tenant: tenant(nth),
        configured: true,
        status: "active",
        max_sessions: Some(50),
        unusable: None,
    };
    let breaker = |nth: usize| BreakerView {
        tenant: tenant(nth),
        state: "closed",
        failures: 0,
        samples: 3,
        closes_in_ms: None,
        cooldown_ms: 30_000,
    };
    PolicyView {
        sessions: (0..hosts * SESSIONS_A_HOST).map(session).collect(),
        hosts: (0..hosts).map(host).collect(),
        tenants: (0..hosts).map(known).collect(),
        breakers: (0..hosts).map(breaker).collect(),
        ..PolicyView::default()
    }
}
