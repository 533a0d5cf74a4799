//! The example agency runs as it stands in the repository, each of its agents, as an operator would run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openrtc_tests::{Running, Setup};
use serde_json::Value;

fn agency() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/agency").canonicalize().expect("examples/agency")
}

fn running() -> Running {
    Setup::of_file(agency().join("openrtc-supervisor.toml")).start()
}

/// Whether the interpreter is where the agents look for it; says so if not.
fn has(interpreter: &str) -> bool {
    let mut asked = Command::new("/usr/bin/env");
    asked.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").args([interpreter, "--version"]);
    let found = asked.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIP: no {interpreter} in /usr/local/bin, /usr/bin or /bin");
    }
    found
}

/// A call that is waited for; gives its end.
#[track_caller]
fn call(running: &Running, tenant: &str, agent: &str, metadata: &str) -> Value {
    let input = agency().join("call.wav");
    let options = ["--metadata", metadata, "--input", input.to_str().expect("a path in UTF-8"), "--wait"];
    let (answer, code) = running.dispatch(tenant, agent, &options);
    assert_eq!((answer["ended"]["status"].as_str(), code), (Some("success"), 0), "{answer}\n{}", running.log());
    answer["ended"].clone()
}

#[test]
fn the_python_agent_takes_a_call_and_ends_when_it_is_asked() {
    if !has("python3") {
        return;
    }
    let running = running();
    let ended = call(&running, "acme-corp", "support", r#"{"tenant":"acme-corp","pace":"0"}"#);
    assert_eq!((&ended["usage"]["turns"], &ended["usage"]["stt_ms"]), (&3.into(), &6_000.into()), "{ended}");

    let input = agency().join("call.wav");
    let slow = ["--metadata", r#"{"pace":"0.01"}"#, "--input", input.to_str().expect("a path in UTF-8")];
    let (answer, _) = running.dispatch("globex", "support", &slow);
    let session = answer["admitted"]["session"].as_str().expect("a session").to_owned();
    assert_eq!(running.json(&["session", "end", &session]).1, 0);
    let ended = running.ended(&session);
    assert_eq!((ended["status"].as_str(), ended["reason"].as_str()), (Some("cancelled"), Some("operator_kill")));
}

#[test]
fn the_javascript_agent_takes_a_call_and_says_what_it_lacks() {
    if !has("node") {
        return;
    }
    let running = running();
    let ended = call(&running, "globex", "energy", "{}");
    assert_eq!(ended["usage"]["stt_ms"], 6_000, "{ended}");
    let (answer, code) = running.dispatch("globex", "energy", &["--wait"]);
    assert_eq!(code, 1, "{answer}");
    assert!(answer["ended"]["error"].as_str().is_some_and(|error| error.contains("--input call.wav")), "{answer}");
}

#[test]
fn the_shell_agent_greets_each_session_in_a_host_of_its_own_and_only_those_who_may_have_it() {
    let running = running();
    let hosts = [(), ()].map(|()| call(&running, "initech", "hello", "{}")["host"].clone());
    assert_ne!(hosts[0], hosts[1], "initech's scope is the session");
    assert_eq!(call(&running, "acme-corp", "hello", "{}")["usage"]["turns"], 1);
    let (refused, code) = running.dispatch("acme-corp", "energy", &["--wait"]);
    assert_eq!((refused["reason"].as_str(), code), (Some("agent_not_allowed"), 4), "{refused}");
    let (refused, code) = running.dispatch("stranger", "hello", &["--wait"]);
    assert_eq!((refused["reason"].as_str(), code), (Some("tenant_unknown"), 4), "{refused}");
}
