//! Events as they happen, probes, and the door on TCP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use openrtc_tests::{Running, Setup, until};
use serde_json::Value;

use crate::config;
use crate::control_clients::events;

const TOKEN: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/// Reads events until one satisfies; gives all of them.
fn watch(
    running: &Running,
    query: &str,
    after: &str,
    enough: impl Fn(&str, &Value) -> bool,
) -> Vec<(String, String, Value)> {
    let token = std::fs::read_to_string(running.dir().join("run/control.token")).expect("token");
    let mut stream = UnixStream::connect(running.dir().join("run/control.sock")).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("patience");
    let after = if after.is_empty() { String::new() } else { format!("Last-Event-ID: {after}\r\n") };
    write!(
        stream,
        "GET /v1/events{query} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {}\r\n{after}\r\n",
        token.trim()
    )
    .expect("ask");
    let mut text = String::new();
    let mut part = [0; 8192];
    loop {
        let told = events(text.split_once("\r\n\r\n").map_or("", |(_, body)| body));
        if told.iter().any(|(_, kind, data)| enough(kind, data)) {
            return told;
        }
        let read = stream.read(&mut part).expect("events in time");
        assert!(read > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..read]));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn get(port: u16, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("patience");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n").expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_reader_resumes_after_the_last_event_it_had_and_a_gap_is_an_event() {
    let running = Setup::new(&config("[tenants.acme]\n[tenants.initech]\n")).start();
    assert_eq!(running.dispatch("acme", "fail", &["--wait"]).1, 1);
    running.dispatch("initech", "echo", &["--wait"]);
    // From another start of the supervisor: what is kept of this one, after a gap.
    let ended = |kind: &str, data: &Value| kind == "session_end" && data["tenant"] == "initech";
    let all = watch(&running, "", "00000000-1", ended);
    assert_eq!((all[0].1.as_str(), all[1].1.as_str()), ("open", "gap"));
    assert_eq!(all[1].2["payload"]["reason"], "restarted");
    let of_acme: Vec<&str> =
        all.iter().filter(|(_, _, data)| data["tenant"] == "acme").map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(of_acme, ["host_up", "session_start", "session_end"]);
    assert!(all.iter().all(|(_, _, data)| data["payload"].get("metadata").is_none()), "metadata was told");

    // One tenant's, after its host: its session and nothing else, and nothing is told twice.
    let up = &all.iter().find(|(_, kind, _)| kind == "host_up").expect("acme's host").0;
    let rest = watch(&running, "?tenant=acme", up, |kind, _| kind == "session_end");
    let kinds: Vec<&str> = rest.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["open", "session_start", "session_end"]);
}

#[test]
fn without_their_token_tcp_tells_probes_and_nothing_else() {
    let (control, health) = (free_port(), free_port());
    let keys = format!(
        "[supervisor]\ncontrol_listen = \"127.0.0.1:{control}\"\ncontrol_token = {{ env = \"CONTROL_TOKEN\" }}\nhealth_listen = {health}"
    );
    let config = config("").replace("[supervisor]", &keys);
    let running = Setup::new(&config).env("CONTROL_TOKEN", TOKEN).start();
    for more in ["", "Authorization: Bearer 00000000000000000000000000000000\r\n"] {
        let refused = get(control, "/v1/snapshot", more);
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
        assert!(refused.ends_with("\"detail\":\"unauthorized\"}"), "{refused}");
    }
    // The token of the socket opens the socket only.
    let local = std::fs::read_to_string(running.dir().join("run/control.token")).expect("token");
    let refused = get(control, "/v1/snapshot", &format!("Authorization: Bearer {}\r\n", local.trim()));
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(get(control, "/v1/snapshot", &right).starts_with("HTTP/1.1 200"));
    for port in [control, health] {
        assert!(get(port, "/healthz", "").ends_with("ok\n"));
        assert!(get(port, "/readyz", "").ends_with("{\"ready\":true,\"reasons\":[]}"));
        assert!(get(port, "/worker", "").contains("\"worker_type\":\"JT_ROOM\""));
    }
    assert!(get(health, "/v1/snapshot", &right).starts_with("HTTP/1.1 404"), "the port of probes tells more");
    assert!(!running.log().contains(TOKEN));
}

#[test]
fn a_drain_is_not_ready_and_says_so() {
    let health = free_port();
    let running = Setup::new(&config("")).env("OPENRTC_PORT", health.to_string()).start();
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("admitted"));
    running.cli(&["drain"]);
    let answer =
        until("it is not ready", || Some(get(health, "/readyz", "")).filter(|it| it.starts_with("HTTP/1.1 503")));
    assert!(answer.contains("\"reason\":\"draining\""), "{answer}");
    assert!(get(health, "/healthz", "").starts_with("HTTP/1.1 200"), "it lives");
}
