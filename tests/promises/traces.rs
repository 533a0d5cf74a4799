//! What a collector of traces is told of a session.
//!
//! The collector here reads what arrives with OpenTelemetry's own types; it is no collector that anybody runs.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use openrtc_tests::{Setup, collector, until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message;

use crate::config;

/// A collector that keeps what it was sent.
struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let port = collector::start(move |body| {
            let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
            let resources = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
            kept.lock().expect("the spans").extend(resources.flat_map(|it| it.spans));
        });
        Self { port, spans }
    }

    /// The spans whose root has this session, by name, once it is there.
    #[track_caller]
    fn trace(&self, session: &str) -> BTreeMap<String, Span> {
        let root = until("the trace arrives", || {
            let spans = self.spans.lock().expect("the spans");
            spans.iter().find(|span| text(&span.attributes, "openrtc.session") == session).cloned()
        });
        let spans = self.spans.lock().expect("the spans");
        let of_it = spans.iter().filter(|span| span.trace_id == root.trace_id);
        of_it.map(|span| (span.name.clone(), span.clone())).collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|it| it.key == key).and_then(|it| it.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

fn traced(port: u16) -> String {
    config(&format!("[traces]\notlp_endpoint = \"http://127.0.0.1:{port}\"\n[tenants.acme]\n"))
}

#[test]
fn a_session_is_one_trace_from_its_dispatch_to_its_outcome() {
    let collector = Collector::start();
    let running = Setup::new(&traced(collector.port)).start();
    let (answer, _) = running.dispatch("acme", "fail", &["--wait", "--metadata", "{\"note\":\"of-nobody-else\"}"]);
    let session = answer["admitted"]["session"].as_str().expect("admitted").to_owned();
    let spans = collector.trace(&session);
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["admission", "dispatch", "session", "spawn", "wall"]);
    let root = &spans["dispatch"];
    for (key, value) in [
        ("openrtc.tenant", "acme"),
        ("openrtc.agent", "fail"),
        ("openrtc.room", "acme_fail-1"),
        ("openrtc.host", "h0.1"),
        ("openrtc.status", "failed"),
        ("openrtc.reason", "error"),
    ] {
        assert_eq!(text(&root.attributes, key), value, "{key}: {root:?}");
    }
    assert_eq!(root.status.as_ref().map(|status| status.code()), Some(StatusCode::Error));
    assert_eq!(root.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["outcome"]);
    assert!(root.parent_span_id.is_empty());
    for (child, parent) in
        [("admission", "dispatch"), ("spawn", "dispatch"), ("wall", "spawn"), ("session", "dispatch")]
    {
        assert_eq!(spans[child].parent_span_id, spans[parent].span_id, "{child}");
        assert!(spans[child].start_time_unix_nano <= spans[child].end_time_unix_nano, "{child}");
    }
    assert!(spans["wall"].end_time_unix_nano <= spans["spawn"].end_time_unix_nano);
    assert!(spans["spawn"].end_time_unix_nano <= spans["session"].end_time_unix_nano);
    let everything = format!("{spans:?}");
    for hidden in ["of-nobody-else", "it broke"] {
        assert!(!everything.contains(hidden), "{hidden} was told: {everything}");
    }
    // The host is there already: a second session of its tenant spawns none.
    let (answer, _) = running.dispatch("acme", "echo", &["--wait"]);
    let spans = collector.trace(answer["admitted"]["session"].as_str().expect("admitted"));
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["admission", "dispatch", "session"]);
    assert_eq!(text(&spans["dispatch"].attributes, "openrtc.reason"), "completed");
}

#[test]
fn a_collector_that_never_answers_costs_no_session_anything() {
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let running = Setup::new(&traced(silent.local_addr().expect("its address").port())).start();
    for _ in 0..3 {
        assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
    }
    let traces = || {
        let observers = running.snapshot()["observers"].as_array().cloned().unwrap_or_default();
        observers.into_iter().find(|it| it["name"] == "traces").expect("the observer")
    };
    until("what it did not take is counted", || traces()["failed"].as_u64().filter(|failed| *failed > 0));
    assert!(running.log().contains("spans are lost"), "{}", running.log());
}
