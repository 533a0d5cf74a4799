//! Any program in any language is an agent: a JSON line in, JSON lines out, a recording on descriptor 4.

use openrtc_tests::Setup;
use serde_json::json;

use crate::{ATTACK, attacker, config};

#[test]
fn it_is_given_its_session_its_recording_and_nothing_else() {
    let script = r#"#!/bin/sh
read session
size=$(wc -c <&4)
printf '{"type":"custom","name":"session","data":%s}\n' "$session" >&3
printf '{"type":"custom","name":"bytes","data":%s}\n' "$size" >&3
printf '{"type":"turn","speaker":"user","text":"hello","start_ms":0,"end_ms":120}\n' >&3
printf '{"type":"usage","stt_ms":120}\n' >&3
printf 'this is no event\n' >&3
"#;
    let running = Setup::new(&config("[agents.reader]\ncommand = [\"DIR/reader.sh\"]\n[tenants.acme]\n"))
        .script("reader.sh", script)
        .file("call.wav", &[7; 1234])
        .start();
    let (answer, code) =
        running.dispatch("acme", "reader", &["--input", "call.wav", "--metadata", r#"{"plan":"gold"}"#, "--wait"]);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["ended"]["usage"]["turns"], 1, "{answer}");
    assert_eq!(answer["ended"]["usage"]["stt_ms"], 120);
    let session = answer["admitted"]["session"].as_str().expect("a session");
    assert_eq!(running.told(session, "bytes", |told| !told.is_empty()), [json!(1234)]);
    let told = running.told(session, "session", |told| !told.is_empty());
    assert_eq!((told[0]["tenant"].as_str(), told[0]["agent"].as_str()), (Some("acme"), Some("reader")), "{told:?}");
    assert_eq!(
        (told[0]["metadata"]["plan"].as_str(), told[0]["metadata"]["tenant"].as_str()),
        (Some("gold"), Some("acme"))
    );
}

#[test]
fn its_descriptors_are_exactly_those_of_the_contract() {
    let more = format!("{}[tenants.acme]\n", attacker("fds", &["fds"]));
    let running = Setup::new(&config(&more)).program("attack", ATTACK).file("call.wav", b"x").start();
    let (answer, _) = running.dispatch("acme", "fds", &["--input", "call.wav", "--wait"]);
    let session = answer["admitted"]["session"].as_str().expect("a session");
    assert_eq!(running.told(session, "fds", |told| !told.is_empty()), [json!([0, 1, 2, 3, 4])]);
}

#[test]
fn an_exit_code_is_a_failure_with_the_last_line_of_its_error_output() {
    let running = Setup::new(&config("[tenants.acme]\n")).start();
    let (answer, code) = running.dispatch("acme", "fail", &["--wait"]);
    assert_eq!((answer["ended"]["status"].as_str(), code), (Some("failed"), 1), "{answer}");
    let error = answer["ended"]["error"].as_str().unwrap_or_default();
    assert!(error.contains('3') && error.contains("it broke"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_refused_with_the_configuration() {
    let setup = Setup::new(&config("[agents.ghost]\ncommand = [\"DIR/ghost\"]\n"));
    let mut running = setup.launch();
    let status = running.child.wait().expect("wait");
    assert_eq!(status.code(), Some(2), "{}", running.log());
    let log = running.log();
    assert!(log.contains("agents.ghost.command") && log.contains("ghost"), "{log}");
}
