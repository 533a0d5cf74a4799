//! The whole exposition: what `docs/metrics.md` lists of it, and what nobody can make it do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use openrtc_control_api::DoctorReport;
use openrtc_ipc::{RuntimeName, SessionId, TenantId};
use openrtc_livekit::ApiKey;
use openrtc_policy::Policy;

use super::*;
use crate::config::Config;
use crate::control::view::{BreakerView, HostView, SessionView, TenantView};
use crate::control::{About, PolicyView};
use crate::dispatch::livekit::{Calls, Livekit};
use crate::host::{HostRecord, Registry};
use crate::ledger::Ledger;
use crate::observer::{Fanout, LogObserver, Told, samples};
use crate::sources::{Handle, Input};
use crate::spawn::How;

const CONFIG: &str = "[agents.support]\ncommand = [\"/bin/true\"]\n[tenants.acme-corp]\n\
    [livekit]\nurl = \"ws://127.0.0.1:9\"\napi_key = { env = \"K\" }\napi_secret = { env = \"S\" }\n";

/// A world with one of everything.
fn world(read: fn(&Policy) -> PolicyView) -> World {
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(Config::embedded(CONFIG, dir.path()).unwrap());
    let (handle, mut queue) = Handle::new();
    let rules = config.rules.clone();
    tokio::spawn(async move {
        let policy = Policy::new(rules, 1);
        while let Some(input) = queue.recv().await {
            if let Input::Question(question) = input {
                question(&policy);
            }
        }
    });
    let (registry, fanout) = (Registry::default(), Fanout::default());
    fanout.add(LogObserver).unwrap();
    fanout.metrics().admit([&samples::tenant()]);
    let record = HostRecord::new(samples::plan(), 1, How::Cold, 1);
    for told in samples::every() {
        if let Told::HostUp { walls, .. } = &told {
            record.set_walls(walls.clone());
        }
        fanout.tell(told);
    }
    record.set_memory_bytes_max(Some(1 << 20));
    registry.enter(Arc::new(record));
    let about = About {
        name: "test".into(),
        deployment_version: Some("blue".into()),
        slow_session_threshold_ms: 50,
        kill_wait_ms: 1,
        doctor: DoctorReport::default(),
        preflight: crate::preflight::Preflight::default(),
    };
    let (settings, key) = (config.livekit.clone().unwrap(), ApiKey::new("devkey", "secret"));
    let livekit =
        Livekit::start(Arc::new(move || Arc::clone(&config)), settings, key, handle.clone(), Calls::default()).unwrap();
    World::new(handle, registry, Ledger::default(), fanout, about).with_livekit(Some(livekit)).reading(read)
}

fn tenant(tenant: TenantId, configured: bool) -> TenantView {
    TenantView { tenant, configured, status: "active", max_sessions: Some(5), unusable: None }
}

fn breaker(tenant: TenantId, state: &'static str) -> BreakerView {
    BreakerView { tenant, state, failures: 0, samples: 0, closes_in_ms: None, cooldown_ms: 1 }
}

fn session(tenant: TenantId, seq: u64) -> SessionView {
    let session = SessionId { run: 1, seq };
    SessionView { session, tenant, agent: samples::agent(), room: "r".into(), host: None, duration_ms: 1 }
}

fn one_of_each(_: &Policy) -> PolicyView {
    let acme = samples::tenant();
    PolicyView {
        max_concurrent_sessions: Some(100),
        sessions: vec![session(acme.clone(), 1)],
        hosts: vec![HostView { plan: samples::plan(), state: "ready", condemned: None, sessions: Vec::new() }],
        tenants: vec![tenant(acme.clone(), true)],
        breakers: vec![breaker(acme, "open")],
        ..PolicyView::default()
    }
}

/// What a scrape tells of its families: type, help and the names of labels.
#[derive(Default)]
struct Described {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn described(text: &str) -> BTreeMap<String, Described> {
    let mut families = BTreeMap::<String, Described>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, labels)) = line.split_once('{') {
            let family = families.iter_mut().rev().find(|(family, _)| name.starts_with(family.as_str()));
            let Some((_, family)) = family else { continue };
            let labels = labels.rsplit_once('}').unwrap_or_default().0;
            let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            family.labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    families
}

#[tokio::test]
async fn the_page_lists_every_family_and_no_other() {
    let world = world(one_of_each);
    let mut text = metrics(&world, Form::Prometheus).await.unwrap();
    let row = ZygoteRow { runtime: RuntimeName::parse("command").unwrap(), state: ZygoteState::Warm, idle_hosts: 1 };
    let mut rest = Families::with_prefix(crate::metrics::PREFIX);
    rest.register_collector(Box::new(Table(zygotes(&[row]).into())));
    text += &Form::Prometheus.write(&[rest]);
    let mut table = "| family | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, family) in described(&text) {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {} | {} | {} |", family.kind, labels.join(", "), family.help).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(&path).expect("docs/metrics.md");
    let (begin, end) = ("<!-- families -->\n", "<!-- end -->");
    let (before, after) = page.split_once(begin).expect("the mark");
    let after = after.split_once(end).expect("the other mark").1;
    let written = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, written).expect("write docs/metrics.md");
    } else {
        assert!(page == written, "docs/metrics.md differs from the code: UPDATE_DOCS=1 writes it anew\n{table}");
    }
}

#[tokio::test]
async fn a_breaker_and_the_reason_why_no_call_comes_have_a_series_each() {
    let text = metrics(&world(one_of_each), Form::OpenMetrics).await.unwrap();
    for line in [
        "openrtc_breaker_state{tenant=\"acme-corp\",state=\"open\"} 1.0",
        "openrtc_breaker_state{tenant=\"acme-corp\",state=\"closed\"} 0.0",
        "openrtc_sessions{tenant=\"acme-corp\"} 1.0",
        "openrtc_hosts{state=\"ready\",spawn=\"cold\"} 1.0",
        "openrtc_host_walls{wall=\"memory\",state=\"absent\"} 1.0",
        "openrtc_livekit_dispatchable{agent_name=\"\",job_type=\"room\",why=\"not_registered\"} 0.0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// As many as policy remembers of those that nobody configured.
fn crowd(_: &Policy) -> PolicyView {
    let invented: Vec<_> = (0..1_000).map(|nth| TenantId::parse(&format!("invented-{nth}")).unwrap()).collect();
    PolicyView {
        sessions: invented.iter().zip(0..).map(|(tenant, seq)| session(tenant.clone(), seq)).collect(),
        tenants: invented.iter().map(|one| tenant(one.clone(), false)).collect(),
        breakers: invented.iter().map(|one| breaker(one.clone(), "closed")).collect(),
        ..PolicyView::default()
    }
}

#[tokio::test]
async fn a_thousand_invented_tenants_add_no_series_but_other() {
    let text = metrics(&world(crowd), Form::OpenMetrics).await.unwrap();
    assert!(text.contains("openrtc_sessions{tenant=\"other\"} 1000.0"), "{text}");
    assert!(text.contains("openrtc_breaker_state{tenant=\"other\",state=\"closed\"} 1000.0"), "{text}");
    assert!(!text.contains("invented"), "{text}");
}
