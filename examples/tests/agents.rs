//! The example agency's agents keep the contract of a command agent: session on standard input, events on descriptor
//! 3, recording on descriptor 4, exit 0.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrtc_supervisor::demo::agent::{Emitter, segment};
use serde_json::{Value, json};

fn agency() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agency")
}

/// Whether the interpreter is on this machine; says so if not.
fn has(interpreter: &str) -> bool {
    let found = Command::new(interpreter).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIP: no {interpreter} on this machine");
    }
    found
}

/// Runs an agent as a host does, leaving its standard input open, and returns its events.
fn events(agent: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    let mut child = Command::new("/bin/sh")
        .args(["-c", r#"exec "$0" 3>"$1" 4<"$2""#])
        .arg(agency().join("agents").join(agent))
        .arg(&events)
        .arg(agency().join("call.wav"))
        .env("OPENRTC_TENANT", "acme-corp")
        .env("OPENRTC_SESSION_ID", "s-1-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let session = json!({"session_id": "s-1-1", "tenant": "acme-corp", "metadata": {"pace": "0"}, "input": true});
    writeln!(stdin, "{session}").unwrap();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    let text = std::fs::read_to_string(events).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

#[test]
fn the_python_agent_hears_the_turns_that_the_built_in_one_hears() {
    if !has("python3") {
        return;
    }
    let call = std::fs::read(agency().join("call.wav")).unwrap();
    let turns = segment::serve(&call[..], 0.0, &mut Emitter::new(Vec::new())).unwrap();
    assert_eq!(turns.len(), 3);
    let events = events("segment.py");
    let heard: Vec<(u64, u64)> = of(&events, "turn")
        .iter()
        .map(|turn| (turn["start_ms"].as_u64().unwrap(), turn["end_ms"].as_u64().unwrap()))
        .collect();
    assert_eq!(heard, turns.iter().map(|turn| (turn.start_ms, turn.end_ms)).collect::<Vec<_>>());
    assert_eq!(of(&events, "latency").len(), 300);
    assert_eq!(of(&events, "usage").last().unwrap()["stt_ms"], 6_000);
}

#[test]
fn the_javascript_agent_tells_the_energy_of_each_second() {
    if !has("node") {
        return;
    }
    let events = events("energy.mjs");
    let energy = of(&events, "custom");
    assert_eq!(energy.len(), 6);
    assert!(energy.iter().all(|event| event["name"] == "energy" && event["data"]["db"].as_f64().unwrap() > -60.0));
    assert_eq!(of(&events, "usage")[0]["stt_ms"], 6_000);
}

#[test]
fn the_shell_agent_says_one_turn() {
    let events = events("hello.sh");
    assert_eq!(events, [json!({"type": "turn", "speaker": "agent", "text": "hello", "start_ms": 0, "end_ms": 0})]);
}
