//! A program in another language takes calls with its ecosystem's own SDK, behind the default walls, and is heard.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use openrtc_tests::livekit_server::{self, LivekitServer};
use openrtc_tests::{Running, Setup, User, node, python, turn, until};
use serde_json::{Value, json};

/// The beginning of every token.
const TOKEN: &str = "eyJ";

/// A server, and the example as its worker.
fn running(user: User) -> (Running, LivekitServer) {
    let folder = node::example().expect("the example's packages");
    let server = LivekitServer::start().expect("a LiveKit server");
    let mut setup = Setup::of_file(folder.join("openrtc-supervisor.toml")).run_by(user);
    for (variable, value) in [
        ("LIVEKIT_URL", &*server.url()),
        ("LIVEKIT_API_KEY", livekit_server::KEY),
        ("LIVEKIT_API_SECRET", livekit_server::SECRET),
    ] {
        setup = setup.env(variable, value);
    }
    let running = setup.start();
    until("the worker can be offered calls", || (running.snapshot()["livekit"]["dispatchable"] == true).then_some(()));
    (running, server)
}

fn caller(server: &LivekitServer) -> Command {
    let mut command = python::required().command(&[]);
    command.arg(python::repository("examples/livekit/caller.py"));
    command.args(["--url", &server.url(), "--room", "acme-corp_1", "--seconds", "8", "--dispatch", "tone"]);
    command.args(["--metadata", r#"{"tenant":"acme-corp"}"#]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Arguments, environments and open files' names of all processes below a supervisor that can be read.
fn seen_from_outside(running: &Running) -> String {
    let read =
        |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let files = |pid: u32| ["cmdline", "environ"].map(|file| read(format!("/proc/{pid}/{file}").into())).concat();
    running.descendants().into_iter().map(files).collect()
}

fn is_heard(user: User) {
    let _turn = turn::real_calls();
    let (running, server) = running(user);
    let child = caller(&server).spawn().expect("start the caller");
    let host = until("the agent plays", || {
        let playing = running.log().contains("is in room acme-corp_1");
        playing.then(|| running.hosts_of("acme-corp").first().cloned()).flatten()
    });
    let outside = seen_from_outside(&running) + &running.snapshot().to_string();
    assert!(outside.contains("agent.mjs"), "the program was not looked at: {outside}");
    assert!(!outside.contains(TOKEN), "a token is seen from outside");

    let output = child.wait_with_output().expect("the caller's end");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("the caller told nothing ({error}): {}", String::from_utf8_lossy(&output.stderr))
    });
    let log = || format!("{}\n{}", running.log(), server.log());
    assert_eq!(told["heard"], true, "{told}\n{}", log());
    assert!(told["heard_s"].as_f64() > Some(2.0) && told["energy"].as_f64() > Some(0.01), "{told}\n{}", log());
    let walls = host["walls"].as_array().expect("walls");
    let strength = |name: &str| walls.iter().find(|wall| wall["wall"] == name).map(|wall| wall["strength"].clone());
    for wall in ["landlock", "seccomp", "capabilities"] {
        assert_eq!(strength(wall), Some(json!("kernel")), "{wall}: {walls:?}");
    }

    let list = || running.json(&["session", "list", "--ended"]).0;
    let ended = until("the session has ended", || list()["ended"].as_array()?.first().cloned());
    // It leaves with its caller, or when the server says that the room is empty: the outcome is one.
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("success"), &json!("completed")), "{ended}\n{}", log());
    let session = ended["session_id"].as_str().expect("a session");
    let told = running.json(&["session", "show", session]).0.to_string() + &list().to_string() + &running.log();
    assert!(!told.contains(TOKEN), "a token was written down: {told}");
}

#[test]
#[cfg_attr(
    not(all(python, livekit, node)),
    ignore = "needs Node and npm with its registry, Python 3.11 to 3.13, pip, a package index and livekit-server"
)]
fn an_agent_in_javascript_joins_with_its_own_sdk_behind_the_default_walls_and_is_heard() {
    is_heard(User::Me);
}

#[test]
#[cfg_attr(
    not(all(python, livekit, node)),
    ignore = "needs Node and npm with its registry, Python 3.11 to 3.13, pip, a package index and livekit-server"
)]
fn an_agent_in_javascript_is_heard_for_an_ordinary_user_too() {
    is_heard(User::Ordinary);
}
