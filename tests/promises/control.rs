//! The control socket answers its operator and nobody else, and bad input gets a clear answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use openrtc_tests::{Setup, http};
use serde_json::json;

use crate::config;

#[test]
fn its_socket_directory_and_token_are_closed_to_others() {
    let running = Setup::new(&config("")).start();
    let mode = |name: &str| fs::metadata(running.dir().join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("run"), mode("run/control.sock"), mode("run/control.token")), (0o700, 0o600, 0o600));
}

#[test]
fn a_request_without_the_token_is_refused() {
    let running = Setup::new(&config("")).start();
    let token = running.dir().join("run/control.token");
    let right = fs::read(&token).expect("token");
    fs::write(&token, "0".repeat(64)).expect("forge");
    let (status, _) = http::post(&running.dir().join("run"), "/v1/drain", &json!({})).expect("an answer");
    assert_eq!(status, 401);
    fs::write(&token, right).expect("restore");
    assert_eq!(running.snapshot()["draining"], false);
}

#[test]
fn a_second_supervisor_on_the_same_directory_is_refused() {
    let running = Setup::new(&config("")).start();
    let output = running
        .command(&[])
        .args(["run", "--config", "openrtc-supervisor.toml"])
        .env("RUNTIME_DIRECTORY", running.dir().join("run"))
        .env("STATE_DIRECTORY", running.dir().join("state"))
        .output()
        .expect("run");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(&running.pid().to_string()), "does not name who is there: {error}");
    assert!(running.cli(&["snapshot"]).status.success(), "the first one was disturbed");
}

#[test]
fn a_runtime_directory_that_is_a_link_is_refused() {
    let setup = Setup::new(&config(""));
    let elsewhere = setup.dir().join("elsewhere");
    fs::create_dir(&elsewhere).expect("create");
    std::os::unix::fs::symlink(&elsewhere, setup.dir().join("linked")).expect("link");
    let linked = setup.dir().join("linked");
    let config = crate::config("").replace("[supervisor]", &format!("[supervisor]\nruntime_dir = {linked:?}"));
    let setup = setup.file("linked.toml", config.replace("DIR", "/tmp").as_bytes());
    let output = std::process::Command::new(openrtc_tests::binary())
        .args(["run", "--config"])
        .arg(setup.dir().join("linked.toml"))
        .env("STATE_DIRECTORY", setup.dir())
        .output()
        .expect("run");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("link"), "{error}");
}

#[test]
fn nobody_there_is_exit_three_and_names_the_paths_tried() {
    let output = std::process::Command::new(openrtc_tests::binary())
        .args(["snapshot", "--control-socket", "/nonexistent/control.sock"])
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/control.sock"));
}

#[test]
fn every_fault_of_a_configuration_is_told_at_once() {
    let setup = Setup::new(
        "[supervisor]\nmax_concurent_sessions = 3\nhost_scope = \"galaxy\"\n[agents.a]\ncommand = [\"/bin/true\"]\n[agents.b]\ncommand = [\"/no/such\"]\n",
    );
    let mut running = setup.launch();
    assert_eq!(running.child.wait().expect("wait").code(), Some(2));
    let log = running.log();
    for part in
        ["max_concurent_sessions", "max_concurrent_sessions", "host_scope", "galaxy", "agents.b.command", "/no/such"]
    {
        assert!(log.contains(part), "{part} is not in:\n{log}");
    }
}
