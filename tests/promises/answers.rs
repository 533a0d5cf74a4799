//! An operator's questions are answered by the code that decides, and asking changes nothing.

use openrtc_tests::{Running, Setup};
use serde_json::Value;

use crate::config;

const TENANTS: &str = r#"
[[routing.rule]]
tenant = "globex"
agent = "wait"
[tenants.acme]
max_sessions = 1
[tenants.globex]
allowed_agents = ["wait"]
[tenants.closed]
status = "suspended"
"#;

fn agency() -> Running {
    Setup::new(&config(TENANTS)).start()
}

fn step<'a>(trace: &'a Value, rule: &str) -> &'a Value {
    let steps = trace["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["rule"] == rule).unwrap_or_else(|| panic!("{rule} was not asked: {trace}"))
}

#[test]
fn a_dry_run_gives_the_verdict_of_the_dispatch_that_follows_and_starts_nothing() {
    let running = agency();
    let cases: [(&[&str], &str); 7] = [
        (&["--tenant", "acme", "--agent", "wait"], ""),
        (&["--tenant", "acme", "--agent", "wait"], "tenant_cap"),
        (&["--tenant", "closed"], "tenant_suspended"),
        (&["--tenant", "globex", "--agent", "echo"], "agent_not_allowed"),
        (&["--tenant", "globex"], ""),
        (&["--tenant", "a/b"], "tenant_invalid"),
        (&["--metadata", r#"{"tenant":"globex","agent":"nobody"}"#, "--agent", "nobody"], "unknown_agent"),
    ];
    for (arguments, reason) in cases {
        let before = running.snapshot();
        let (trace, dry) = running.json(&[&["dispatch", "--room", "r", "--dry-run"], arguments].concat());
        let after = running.snapshot();
        for key in ["active_sessions", "rejections", "breakers"] {
            assert_eq!(before[key], after[key], "{arguments:?}: a dry run changed {key}");
        }
        let (answer, real) = running.json(&[&["dispatch", "--room", "r"], arguments].concat());
        assert_eq!(dry, real, "{arguments:?}: {trace} then {answer}");
        assert_eq!(trace["admitted"], reason.is_empty(), "{arguments:?}: {trace}");
        if reason.is_empty() {
            for key in ["tenant", "agent", "routed_by"] {
                assert_eq!(trace["expected"][key], answer["admitted"][key], "{arguments:?}");
            }
        } else {
            assert_eq!((dry, &trace["refusal"]["reason"]), (4, &Value::from(reason)));
            assert_eq!(trace["refusal"]["detail"], answer["detail"], "{arguments:?}");
            let last = trace["steps"].as_array().and_then(|steps| steps.last()).expect("a rule");
            assert_eq!(last["said"], "refused", "{arguments:?}");
        }
    }
}

#[test]
fn an_explained_route_names_the_agent_and_the_rung_with_and_without_a_supervisor() {
    let running = agency();
    let question = ["route", "explain", "--room", "r", "--metadata", r#"{"tenant":"globex"}"#];
    let (trace, code) = running.json(&question);
    assert_eq!(code, 0, "{trace}");
    assert_eq!(trace["expected"]["agent"], "wait");
    assert_eq!(trace["expected"]["routed_by"], "rule");
    assert_eq!(step(&trace, "tenant_job_metadata")["said"], "chosen");
    assert_eq!(step(&trace, "route_rule")["saw"], "wait, by rule 1 of 1");
    assert_eq!(step(&trace, "global_cap")["saw"], "the supervisor has 0 sessions and a cap of 500");
    let file = running.dir().join("openrtc-supervisor.toml");
    let mut offline = running.command(&["--json"]);
    let output = offline.args(question).arg("--offline").arg("--config").arg(file).output().expect("run");
    let alone: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &alone["expected"]), (Some(0), &trace["expected"]));
    let text = running.cli(&["route", "explain", "--room", "r", "--tenant", "closed"]);
    assert_eq!(text.status.code(), Some(4));
    let shown = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(shown.contains("would be refused by rule tenant_status\n  tenant_suspended: "), "{shown}");
}
