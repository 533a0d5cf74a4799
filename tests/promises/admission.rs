//! Each dispatch is answered once, for the first reason that fails, and a refused one makes no process.

use openrtc_tests::{Setup, http};
use serde_json::json;

use crate::config;

#[test]
fn every_refusal_names_its_stable_reason_and_starts_nothing() {
    let setup = Setup::new(
        &config(
            r#"
[rooms]
namespace_mode = "tenant_prefix"
[tenants.acme]
allowed_agents = ["echo"]
[tenants.closed]
status = "suspended"
[tenants.keyless]
api_keys = { openai = { file = "DIR/no-such-key" } }
"#,
        )
        .replace(
            "config_version = 1\n[supervisor]",
            "config_version = 1\n[supervisor]\nunknown_tenant = \"reject\"\nmissing_tenant = \"reject\"",
        ),
    );
    let running = setup.start();
    let cases: &[(&[&str], &str)] = &[
        (&["--room", "acme_1", "--tenant", "a/b"], "tenant_invalid"),
        (&["--room", "acme_1", "--metadata", r#"{"tenant": 7}"#], "tenant_invalid"),
        (&["--room", "acme_1", "--metadata", r#"{"tenant": true}"#], "tenant_invalid"),
        (&["--room", "nobody", "--metadata", r#"{"tenant": null}"#], "tenant_missing"),
        (&["--room", "globex_1", "--tenant", "globex"], "tenant_unknown"),
        (&["--room", "closed_1", "--tenant", "closed"], "tenant_suspended"),
        (&["--room", "keyless_1", "--tenant", "keyless"], "config_error"),
        (&["--room", "closed_1", "--tenant", "acme"], "room_namespace"),
        (&["--room", "acme_1", "--tenant", "acme", "--agent", "nobody"], "unknown_agent"),
        (&["--room", "acme_1", "--tenant", "acme", "--agent", "wait"], "agent_not_allowed"),
    ];
    for (arguments, reason) in cases {
        let (problem, code) = running.json(&[&["dispatch"], *arguments].concat());
        assert_eq!((problem["reason"].as_str(), code), (Some(*reason), 4), "{arguments:?}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    let snapshot = running.snapshot();
    assert_eq!(snapshot["hosts"], json!([]), "a refused dispatch made a host");
    assert_eq!(snapshot["total_sessions_started"], 0);
    assert_eq!(snapshot["rejections"]["tenant_invalid"], 3);
}

#[test]
fn a_padded_tenant_is_the_same_tenant() {
    let running = Setup::new(&config("[tenants.acme]\nmax_sessions = 1\n")).start();
    let (answer, code) =
        running.json(&["dispatch", "--room", "r1", "--agent", "wait", "--metadata", r#"{"tenant": " acme "}"#]);
    assert_eq!((answer["admitted"]["tenant"].as_str(), code), (Some("acme"), 0), "{answer}");
    let (problem, _) =
        running.json(&["dispatch", "--room", "r2", "--agent", "wait", "--metadata", r#"{"tenant": "acme  "}"#]);
    assert_eq!(problem["reason"], "tenant_cap", "white space went round the cap: {problem}");
}

#[test]
fn oversized_metadata_is_refused_by_name() {
    let running = Setup::new(&config("")).start();
    let metadata = format!(r#"{{"note": "{}"}}"#, "x".repeat(70_000));
    let output = running.cli(&["dispatch", "--room", "r", "--agent", "echo", "--metadata", &metadata]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("--metadata") && error.contains("65536"), "{error}");
    let body = json!({"room": "r", "agent": "echo", "metadata": metadata});
    let (status, problem) = http::post(&running.dir().join("run"), "/v1/dispatch", &body).expect("an answer");
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("metadata")), "{problem}");
}

#[test]
fn job_metadata_wins_over_room_metadata_and_routes() {
    let running = Setup::new(&config("")).start();
    let arguments = [
        "dispatch",
        "--room",
        "r",
        "--wait",
        "--metadata",
        r#"{"tenant": "b", "agent": "echo"}"#,
        "--room-metadata",
        r#"{"tenant": "a", "agent": "fail"}"#,
    ];
    let (answer, code) = running.json(&arguments);
    assert_eq!(
        (answer["admitted"]["tenant"].as_str(), answer["admitted"]["agent"].as_str()),
        (Some("b"), Some("echo"))
    );
    assert_eq!((answer["ended"]["status"].as_str(), code), (Some("success"), 0), "{answer}");
}
