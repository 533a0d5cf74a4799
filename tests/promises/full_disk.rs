//! A disk that takes nothing more: lines and rows are lost and counted, sessions are not.

use std::fs::File;
use std::process::Command;

use openrtc_tests::supervisor::spawn;
use openrtc_tests::{Setup, binary, until};
use serde_json::Value;

/// A command of the command line, as JSON.
fn json(dir: &std::path::Path, arguments: &[&str]) -> Option<Value> {
    let mut command = Command::new(binary());
    command.arg("--control-socket").arg(dir.join("run/control.sock")).arg("--json").args(arguments);
    serde_json::from_slice(&command.output().expect("run").stdout).ok()
}

#[test]
fn under_log_events_and_metrics_it_costs_lines_that_are_counted_and_no_session() {
    let setup = Setup::new("");
    let dir = setup.dir();
    let text = "[agents.echo]\ncommand = [\"/bin/sh\", \"-c\", \"echo hello\"]\n[observers.jsonl]\npath = \"/dev/full\"\n\
                [metrics]\njsonl = \"/dev/full\"\njsonl_interval_s = 0.25\n[supervisor]\nruntime_dir = \"run\"\nstate_dir = \"state\"\n";
    std::fs::write(dir.join("a.toml"), text).expect("write");
    let full = || File::options().write(true).open("/dev/full").expect("open");
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(dir.join("a.toml")).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let mut supervisor = spawn(command.current_dir(dir).stdout(full()).stderr(full()));
    until("it answers", || json(dir, &["snapshot"]));
    for nth in 0..20 {
        let room = format!("room-{nth}");
        let ended = json(dir, &["dispatch", "--room", &room, "--agent", "echo", "--wait"]).expect("an answer");
        assert_eq!(ended["ended"]["status"], "success", "{ended}");
    }
    let lost = until("what was lost is counted", || {
        let snapshot = json(dir, &["snapshot"])?;
        let observers = snapshot["observers"].as_array()?.clone();
        let of =
            |name: &str| observers.iter().find(|it| it["name"].as_str().is_some_and(|it| it.contains(name))).cloned();
        let jsonl = of("jsonl")?;
        (jsonl["failed"].as_u64()? + jsonl["dropped"].as_u64()? > 0).then_some(jsonl)
    });
    assert!(lost["name"].is_string(), "{lost}");
    json(dir, &["shutdown"]);
    assert!(supervisor.wait().expect("wait").success());
}
