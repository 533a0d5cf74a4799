//! Every signal carries the tenant, stamped by the supervisor.

use openrtc_tests::{Setup, until};

use crate::config;

#[test]
fn a_session_without_a_tenant_runs_as_default_everywhere() {
    let running = Setup::new(&config("")).start();
    let (answer, code) = running.json(&["dispatch", "--room", "r", "--agent", "echo", "--wait"]);
    assert_eq!((answer["admitted"]["tenant"].as_str(), code), (Some("default"), 0), "{answer}");
    assert_eq!(answer["ended"]["tenant"], "default");
    until("the log and the observer tell of it", || {
        let told = running.events().iter().any(|line| line["kind"] == "session_start" && line["tenant"] == "default");
        (told && running.log().contains(r#""tenant": "default""#)).then_some(())
    });
}

#[test]
fn a_forged_line_carries_the_supervisors_stamp() {
    let more = r#"
[agents.forger]
command = ["/bin/sh", "-c", "read l; echo '{\"tenant\": \"globex\", \"message\": \"forged\"}'"]
[tenants.acme]
[tenants.globex]
"#;
    let running = Setup::new(&config(more)).start();
    assert_eq!(running.dispatch("acme", "forger", &["--wait"]).1, 0);
    let line = until("the line came", || running.log().lines().find(|line| line.contains("forged")).map(str::to_owned));
    let object: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!(object["tenant"], "acme", "{line}");
}

#[test]
fn the_seeds_grep_finds_every_line_of_a_tenant() {
    let running = Setup::new(&config("[tenants.acme-corp]\n")).start();
    let (answer, _) = running.dispatch("acme-corp", "echo", &["--wait"]);
    let session = answer["admitted"]["session"].as_str().expect("a session");
    let line = until("the agent's line came", || {
        running
            .log()
            .lines()
            .find(|line| line.contains(r#""tenant": "acme-corp""#) && line.contains("hello from acme-corp"))
            .map(str::to_owned)
    });
    let object: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    for key in ["timestamp", "level", "session_id", "agent_name", "tenant", "logger", "message"] {
        assert!(object.get(key).is_some(), "{key} is missing: {line}");
    }
    assert_eq!((object["session_id"].as_str(), object["agent_name"].as_str()), (Some(session), Some("echo")));
}

#[test]
fn the_snapshot_has_every_key_of_openrtc() {
    let running = Setup::new(&config("[tenants.acme]\n")).start();
    running.dispatch("acme", "wait", &[]);
    until("the session runs", || (running.snapshot()["sessions_by_tenant"]["acme"] == 1).then_some(()));
    let snapshot = running.snapshot();
    for key in [
        "timestamp",
        "uptime_seconds",
        "registered_agents",
        "active_sessions",
        "total_sessions_started",
        "total_session_failures",
        "last_routed_agent",
        "last_error",
        "sessions_by_agent",
        "sessions_by_tenant",
        "deployment_version",
        "draining",
        "resident_set",
    ] {
        assert!(snapshot.get(key).is_some(), "{key} is missing");
    }
    for key in ["session_id", "agent_name", "tenant", "duration_s", "mem_mb", "peak_mb", "cpu_pct", "status", "pinned"]
    {
        assert!(snapshot["sessions"][0].get(key).is_some(), "sessions: {key} is missing");
    }
}
