//! Files and keys are read anew while calls go on, and a broken file changes nothing.

use std::fs;

use openrtc_tests::{Running, Setup, until};
use serde_json::Value;

use crate::config;

const AGENCY: &str = r#"
[audit]
path = "DIR/state/audit.jsonl"
[agents.keys]
command = ["/bin/sh", "-c", "while :; do echo key-of-${#OPENAI_API_KEY}-letters; sleep 0.2; done"]
[tenants.acme]
max_sessions = 3
api_keys = { openai = { file = "DIR/acme.key" } }
"#;
const OLD: &str = "canary-old-1234567890";
/// Of another length.
const NEW: &str = "canary-new-1234567890-and-more";

fn start() -> Running {
    Setup::new(&config(AGENCY)).file("acme.key", OLD.as_bytes()).start()
}

fn edit(running: &Running, change: impl Fn(String) -> String) {
    let path = running.dir().join("openrtc-supervisor.toml");
    fs::write(&path, change(fs::read_to_string(&path).expect("configuration"))).expect("write configuration");
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// How often a session has said how long its key is.
fn says(running: &Running, session: &str, key: &str) -> usize {
    let word = format!("key-of-{}-letters", key.len());
    running.events().iter().filter(|it| it["session_id"] == session && it.to_string().contains(&word)).count()
}

#[track_caller]
fn says_more(running: &Running, session: &str, key: &str) {
    let before = says(running, session, key);
    until("the session says more", || (says(running, session, key) > before + 1).then_some(()));
}

#[test]
fn a_reload_changes_what_can_be_changed_names_what_cannot_and_orders_still_win() {
    let running = start();
    let sessions: Vec<String> = (0..2).map(|_| running.admitted("acme", "wait")).collect();
    running.ok(&["tenant", "set", "acme", "--cooldown-s", "9"]);
    edit(&running, |text| {
        let text = text.replace("max_sessions = 3", "max_sessions = 1\ncircuit_breaker = { cooldown_s = 4 }");
        let text =
            text.replace("max_concurrent_sessions = 500", "max_concurrent_sessions = 400\nworker_id = \"renamed\"");
        format!(
            "{text}\n[tenants.initech]\nmax_sessions = 2\n[agents.fresh]\ncommand = [\"/bin/sh\", \"-c\", \"echo fresh\"]\n"
        )
    });
    let answer = running.ok(&["reload"]);
    let changed = texts(&answer["changed"]);
    for key in ["supervisor.max_concurrent_sessions", "tenants.acme.max_sessions", "tenants.initech.max_sessions"] {
        assert!(changed.contains(&key), "{key} is not in {answer}");
    }
    assert!(!changed.contains(&"tenants.acme.circuit_breaker.cooldown_s"), "an order holds over it: {answer}");
    assert_eq!(texts(&answer["needs_restart"]), ["supervisor.worker_id"]);
    assert_eq!(texts(&answer["still_ordered"]), ["tenants.acme.circuit_breaker.cooldown_s"]);
    assert_eq!(texts(&answer["hosts_on_old_keys"]), Vec::<&str>::new());
    assert_eq!(running.dispatch("acme", "wait", &[]).0["reason"], "tenant_cap");
    assert_eq!(running.dispatch("initech", "fresh", &["--wait"]).1, 0);
    assert_ne!(running.snapshot()["worker"]["name"], "renamed");
    for session in &sessions {
        assert_eq!(running.ok(&["session", "show", session])["state"], "live");
    }
    running.ok(&["tenant", "reset", "acme"]);
    let breaker = running.ok(&["breaker", "status"]);
    let acme = breaker.as_array().and_then(|all| all.iter().find(|it| it["tenant"] == "acme"));
    assert_eq!(acme.map(|it| it["cooldown_s"].clone()), Some(Value::from(4.0)), "what the file says now");
    let again = running.ok(&["reload"]);
    assert_eq!(texts(&again["changed"]), Vec::<&str>::new(), "{again}");
}

#[test]
fn what_was_ordered_of_a_tenant_that_left_the_file_is_seen_and_can_be_reset() {
    let running = start();
    running.ok(&["tenant", "set", "acme", "--max-sessions", "2"]);
    edit(&running, |text| text.split("[tenants.acme]").next().unwrap_or_default().to_owned());
    running.ok(&["reload"]);
    let acme = running.ok(&["tenant", "show", "acme"]);
    assert_eq!((acme["configured"].as_bool(), acme["orders"][0]["value"].as_str()), (Some(false), Some("2")), "{acme}");
    let acme = running.ok(&["tenant", "reset", "acme"]);
    assert_eq!(acme["orders"].as_array().map(Vec::len), Some(0), "{acme}");
}

#[test]
fn a_broken_file_changes_nothing_and_every_fault_is_told_at_once() {
    let running = start();
    let session = running.admitted("acme", "wait");
    let before = running.ok(&["tenant", "show", "acme"])["max_sessions"].clone();
    edit(&running, |text| {
        text.replace("max_sessions = 3", "max_sessions = 0\nhost_scoop = \"session\"")
            .replace("_sessions = 500", "_sessions = 400")
    });
    let (problem, code) = running.json(&["reload"]);
    assert_eq!((problem["reason"].as_str(), code), (Some("config_faulty"), 2), "{problem}");
    assert_eq!(problem["faults"].as_array().map(Vec::len), Some(2), "{problem}");
    let said = String::from_utf8_lossy(&running.cli(&["reload"]).stderr).into_owned();
    assert!(said.contains("tenants.acme.max_sessions = 0") && said.contains("host_scoop"), "{said}");
    assert!(running.log().contains("reload refused"), "the log does not tell");
    assert_eq!(running.ok(&["tenant", "show", "acme"])["max_sessions"], before);
    assert_eq!(running.snapshot()["worker"]["max_sessions"], 500);
    assert_eq!(running.ok(&["session", "show", &session])["state"], "live");
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}

#[test]
fn a_hangup_reloads_too_and_the_audit_log_says_so() {
    let running = start();
    let session = running.admitted("acme", "wait");
    edit(&running, |text| text.replace("max_sessions = 3", "max_sessions = 8"));
    running.signal(rustix::process::Signal::HUP);
    until("the cap is the new one", || (running.ok(&["tenant", "show", "acme"])["max_sessions"] == 8).then_some(()));
    assert_eq!(running.ok(&["session", "show", &session])["state"], "live");
    until("it is in the audit log", || {
        let text = fs::read_to_string(running.dir().join("state/audit.jsonl")).unwrap_or_default();
        let mut records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.find(|it| it["event"] == "config.reloaded" && it["actor"] == "signal:SIGHUP")
    });
}

#[test]
fn a_rotated_key_goes_to_new_sessions_and_the_running_one_keeps_its_own() {
    let running = start();
    let old = running.admitted("acme", "keys");
    says_more(&running, &old, OLD);
    let same = running.ok(&["tenant", "rotate-key", "acme"]);
    assert_eq!((same["keys"][0]["changed"].as_bool(), texts(&same["recycled"]).len()), (Some(false), 0), "{same}");

    fs::write(running.dir().join("acme.key"), NEW).expect("new key");
    let rotation = running.ok(&["tenant", "rotate-key", "acme"]);
    assert_eq!(rotation["keys"][0]["changed"], true, "{rotation}");
    assert_eq!(texts(&rotation["recycled"]).len(), 1, "{rotation}");
    let new = running.admitted("acme", "keys");
    says_more(&running, &new, NEW);
    says_more(&running, &old, OLD);
    assert_eq!((says(&running, &old, NEW), says(&running, &new, OLD)), (0, 0));
    for output in [
        running.log(),
        rotation.to_string(),
        fs::read_to_string(running.dir().join("state/audit.jsonl")).expect("audit"),
    ] {
        assert!(!output.contains(OLD) && !output.contains(NEW), "a key is in:\n{output}");
    }
}

#[test]
fn a_reload_says_which_hosts_run_on_old_keys_and_a_key_that_is_gone_stays_in_use() {
    let running = start();
    running.admitted("acme", "keys");
    let host = running.hosts_of("acme")[0]["host"].as_str().expect("a host").to_owned();
    fs::write(running.dir().join("acme.key"), NEW).expect("new key");
    let answer = running.ok(&["reload"]);
    assert_eq!(texts(&answer["secrets_changed"]), ["tenants.acme.api_keys.openai"]);
    assert_eq!(texts(&answer["hosts_on_old_keys"]), [host.as_str()]);
    assert_eq!(running.ok(&["host", "show", &host])["old_keys"], true);
    fs::remove_file(running.dir().join("acme.key")).expect("lose it");
    let answer = running.ok(&["reload"]);
    assert_eq!(texts(&answer["secrets_kept"]).len(), 1, "{answer}");
    let (problem, code) = running.json(&["tenant", "rotate-key", "acme"]);
    assert_eq!((problem["reason"].as_str(), code), (Some("key_unreadable"), 1), "{problem}");
    running.ok(&["host", "recycle", &host]);
    let new = running.admitted("acme", "keys");
    says_more(&running, &new, NEW);
}
