//! What a Prometheus reads, and the dashboard that is made of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openrtc_tests::prometheus::Prometheus;
use openrtc_tests::{Running, Setup, http, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::config;

const TOKEN: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
const TENANTS: &str =
    "[circuit_breaker]\nenabled = true\ncooldown_s = 600.0\n[tenants.acme]\n[tenants.initech]\nmax_sessions = 8\n";
const NEEDS: &str = "a Prometheus: set PROMETHEUS_BIN to one, or have apt-get and Debian's packages";

/// Where the supervisor of a test is scraped.
struct Ports {
    control: u16,
    health: u16,
}

impl Ports {
    fn free() -> Self {
        Self { control: http::free_port(), health: http::free_port() }
    }

    fn start(&self, more: &str) -> Running {
        let keys = format!(
            "[supervisor]\ncontrol_listen = \"127.0.0.1:{}\"\ncontrol_token = {{ env = \"CONTROL_TOKEN\" }}\nhealth_listen = {}",
            self.control, self.health
        );
        let config = config(&format!("{TENANTS}{more}")).replace("[supervisor]", &keys);
        Setup::new(&config).env("CONTROL_TOKEN", TOKEN).env("K", "devkey").env("S", "secret").start()
    }

    /// The exposition, with the token.
    #[track_caller]
    fn scrape(&self) -> String {
        let (status, body) = http::get(self.control, "/metrics", &bearer()).expect("an answer");
        assert_eq!(status, 200, "{body}");
        body
    }
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// Every series of counters and histograms, with its value.
fn counts(text: &str) -> BTreeMap<String, f64> {
    let counts = |name: &str| ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    series
        .filter(|(series, _)| counts(series.split('{').next().unwrap_or_default()))
        .map(|(series, value)| (series.to_owned(), value.parse().expect("a number")))
        .collect()
}

#[track_caller]
fn has(text: &str, series: &str, value: f64) {
    let found = counts(text).get(series).copied();
    assert_eq!(found, Some(value), "{series}\n{text}");
}

#[test]
fn metrics_need_the_token_and_the_port_of_probes_tells_them_only_when_asked_to() {
    let (closed, open) = (Ports::free(), Ports::free());
    let (_closed, _open) = (closed.start(""), open.start("[metrics]\nwithout_token = true\n"));
    for ports in [&closed, &open] {
        assert_eq!(http::get(ports.control, "/metrics", "").expect("an answer").0, 401);
        assert!(ports.scrape().contains("\nopenrtc_build_info{"));
    }
    assert_eq!(http::get(closed.health, "/metrics", &bearer()).expect("an answer").0, 404);
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let (status, body) = http::get(open.health, "/metrics", accept).expect("an answer");
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
    for text in [body, open.scrape()] {
        assert!(!text.contains(TOKEN) && !text.contains("CONTROL_TOKEN"));
    }
}

#[test]
fn every_end_is_counted_and_no_counter_ever_falls() {
    let ports = Ports::free();
    let running = ports.start("");
    let mut last = BTreeMap::new();
    let mut never_less = |text: &str| {
        let now = counts(text);
        for (series, before) in &last {
            let after = now.get(series).unwrap_or_else(|| panic!("{series} is gone"));
            assert!(after >= before, "{series} fell from {before} to {after}");
        }
        last = now;
    };
    running.dispatch("acme", "echo", &["--wait"]);
    never_less(&ports.scrape());
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("admitted"));
    never_less(&ports.scrape());
    let host = running.hosts_of("acme")[0]["host"].as_str().expect("a host").to_owned();
    assert!(running.cli(&["host", "kill", &host]).status.success(), "{}", running.log());
    until("the host's end is counted", || {
        let text = ports.scrape();
        never_less(&text);
        text.contains("openrtc_hosts_ended_total{tenant=\"acme\"").then_some(())
    });
    for _ in 0..5 {
        running.dispatch("initech", "fail", &["--wait"]);
        never_less(&ports.scrape());
    }
    running.dispatch("initech", "echo", &[]);
    running.dispatch("invented", "echo", &["--wait"]);
    let text = ports.scrape();
    never_less(&text);
    has(&text, "openrtc_sessions_ended_total{tenant=\"acme\",status=\"success\",reason=\"completed\"}", 1.0);
    has(&text, "openrtc_sessions_ended_total{tenant=\"initech\",status=\"failed\",reason=\"error\"}", 5.0);
    has(&text, "openrtc_sessions_started_total{tenant=\"other\"}", 1.0);
    has(&text, "openrtc_dispatches_rejected_total{tenant=\"initech\",reason=\"circuit_open\"}", 1.0);
    has(&text, "openrtc_breaker_changes_total{tenant=\"initech\",to=\"open\"}", 1.0);
    assert!(!text.contains("invented"), "{text}");
    let cpu = counts(&text).get("openrtc_host_cpu_seconds_total{tenant=\"acme\"}").copied();
    assert!(cpu.is_some_and(|seconds| seconds > 0.0), "a killed host's CPU is forgotten: {cpu:?}");
}

#[test]
fn a_scrape_waits_for_no_host() {
    let ports = Ports::free();
    let running = ports.start("");
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("admitted"));
    let host = running.hosts_of("acme")[0]["pid"].as_i64().expect("a pid");
    let pid = Pid::from_raw(host as i32).expect("a pid");
    kill_process(pid, Signal::STOP).expect("stop the host");
    let state = || std::fs::read_to_string(format!("/proc/{host}/stat")).unwrap_or_default();
    until("the host stands still", || state().contains(") T ").then_some(()));
    assert!(ports.scrape().contains("openrtc_sessions{tenant=\"acme\"} 1"));
    assert!(state().contains(") T "), "the host went on, or is gone: {}", state());
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/grafana").join(name)
}

/// The example's scrape configuration, for this supervisor, once a second.
fn scraping(ports: &Ports, dir: &Path) -> String {
    let token = dir.join("scraper.token");
    std::fs::write(&token, TOKEN).expect("the scraper's token");
    let mut text = std::fs::read_to_string(example("prometheus.yml")).expect("the example");
    for (from, to) in [
        ("/etc/openrtc-supervisor/control.token\n    static", format!("{}\n    static", token.display())),
        ("[\"127.0.0.1:8082\"]", format!("[\"127.0.0.1:{}\"]", ports.control)),
        ("scrape_interval: 15s", "scrape_interval: 1s".to_owned()),
    ] {
        assert!(text.contains(from), "the example has no {from}");
        text = text.replace(from, &to);
    }
    text
}

/// Every query of the dashboard, as Grafana would ask it with everything chosen, and where it stands.
fn queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(example("dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let query = query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$tenant", ".*");
            assert!(!query.contains('$'), "{query}");
            queries.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    queries
}

#[test]
#[cfg_attr(not(prometheus), ignore = "needs a Prometheus: PROMETHEUS_BIN, or apt-get and dpkg to take Debian's")]
fn every_query_of_the_dashboard_finds_something_in_a_prometheus_that_scrapes_us() {
    let ports = Ports::free();
    // A LiveKit server that is not there is told of, too.
    let livekit = "[livekit]\nurl = \"ws://127.0.0.1:9\"\napi_key = { env = \"K\" }\napi_secret = { env = \"S\" }\n";
    let running = ports.start(livekit);
    let prometheus = Prometheus::start(&scraping(&ports, running.dir()), running.dir()).expect(NEEDS);
    until("it scrapes us", || {
        let targets = prometheus.targets();
        assert_ne!(targets[0]["health"], "down", "{targets}");
        (targets[0]["health"] == "up").then_some(())
    });
    // One of everything.
    for _ in 0..5 {
        running.dispatch("initech", "fail", &["--wait"]);
    }
    running.dispatch("initech", "echo", &[]);
    running.dispatch("acme", "echo", &["--wait"]);
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("admitted"));
    let host = running.hosts_of("initech")[0]["host"].as_str().expect("a host").to_owned();
    assert!(running.cli(&["host", "kill", &host]).status.success(), "{}", running.log());
    let queries = queries();
    assert!(queries.len() > 30, "the dashboard has lost its panels");
    for (panel, query) in queries {
        until(&format!("{panel}: {query}"), || (!prometheus.query(&query).is_empty()).then_some(()));
    }
    let refused = prometheus.query("openrtc_dispatches_rejected_total{reason=\"circuit_open\",tenant=\"initech\"}");
    assert_eq!(refused[0]["value"][1], "1", "{refused:?}\n{}", prometheus.log());
}
