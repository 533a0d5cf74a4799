//! What an operator asks of one tenant is answered with its number, its origin and nobody else's business.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use openrtc_tests::{Running, Setup, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::config;

const ACME_KEY: &str = "sk-canary-of-acme-0123456789";
const GLOBEX_KEY: &str = "sk-canary-of-globex-0123456789";
const SHARED_KEY: &str = "sk-canary-of-all-0123456789";

const TENANTS: &str = r#"
[audit]
path = "DIR/state/audit.jsonl"
[agents.tell]
command = ["/bin/sh", "-c", "echo this is $OPENRTC_TENANT; env; echo it broke >&2; exit 3"]
llm = "openai/gpt-of-the-agent"
[wall]
pids_max = 300
[circuit_breaker]
enabled = true
min_samples = 50
[defaults]
llm = "openai/gpt-of-all"
tts = "cartesia/voice-of-all"
[defaults.api_keys]
cartesia = { env = "SHARED_KEY" }
[tenants.acme]
max_sessions = 2
[tenants.acme.tenant_config]
stt = "deepgram/ears-of-acme"
[tenants.acme.api_keys]
openai = { env = "ACME_KEY" }
[tenants.acme.wall]
memory_max_mb = 700
[tenants.acme.circuit_breaker]
cooldown_s = 7
[tenants.globex]
[tenants.globex.api_keys]
openai = { env = "GLOBEX_KEY" }
"#;

fn agency() -> Running {
    let keys = [("ACME_KEY", ACME_KEY), ("GLOBEX_KEY", GLOBEX_KEY), ("SHARED_KEY", SHARED_KEY)];
    let setup =
        Setup::new(&config(TENANTS).replace("terminate_grace_s", "host_scope = \"session\"\nterminate_grace_s"));
    keys.into_iter().fold(setup, |setup, (name, key)| setup.env(name, key)).start()
}

fn mark<'a>(health: &'a Value, measure: &str) -> &'a Value {
    let marks = health["marks"].as_array().expect("marks");
    let found = marks.iter().find(|mark| mark["measure"].as_str().is_some_and(|it| it.starts_with(measure)));
    found.unwrap_or_else(|| panic!("{measure} was not looked at: {health}"))
}

#[test]
fn what_holds_for_a_tenant_is_told_with_the_rung_that_gave_it_and_without_a_key() {
    let running = agency();
    let (effective, code) = running.json(&["tenant", "show", "acme", "--effective"]);
    assert_eq!(code, 0, "{effective}");
    let settings = effective["settings"].as_array().expect("settings");
    for (section, name, value, from) in [
        ("tenant", "max_sessions", "2", "[tenants.acme]"),
        ("tenant", "host_scope", "session", "[supervisor]"),
        ("tenant", "status", "active", "default"),
        ("provider", "tell.stt", "deepgram/ears-of-acme", "[tenants.acme.tenant_config]"),
        ("provider", "tell.llm", "openai/gpt-of-the-agent", "[agents.tell]"),
        ("provider", "tell.tts", "cartesia/voice-of-all", "[defaults]"),
        ("provider", "echo.llm", "openai/gpt-of-all", "[defaults]"),
        ("key", "openai", "***(env:ACME_KEY)", "[tenants.acme.api_keys]"),
        ("key", "cartesia", "***(env:SHARED_KEY)", "[defaults.api_keys]"),
        ("breaker", "cooldown_s", "7", "[tenants.acme.circuit_breaker]"),
        ("breaker", "min_samples", "50", "[circuit_breaker]"),
        ("breaker", "failure_ratio", "0.5", "default"),
        ("wall", "command.memory_max_mb", "700", "[tenants.acme.wall]"),
        ("wall", "command.pids_max", "300", "[wall]"),
        ("wall", "command.core_dump", "off", "default"),
    ] {
        let found = settings.iter().find(|setting| setting["section"] == section && setting["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{section} {name} is missing: {effective}"));
        let shown = found["value"].as_str().map_or_else(|| found["value"].to_string(), str::to_owned);
        assert_eq!((shown.as_str(), found["from"].as_str()), (value, Some(from)), "{section} {name}");
    }
    let text = running.cli(&["tenant", "show", "acme", "--effective"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("***(env:ACME_KEY)") && text.contains("[tenants.acme.wall]"), "{text}");
    for key in [ACME_KEY, GLOBEX_KEY, SHARED_KEY] {
        assert!(!text.contains(key) && !effective.to_string().contains(key));
    }
}

#[test]
fn a_sick_tenant_is_told_from_a_healthy_one_with_number_threshold_and_remedy() {
    let running = agency();
    let health = |tenant: &str| running.json(&["tenant", "health", tenant]);
    let (well, code) = health("acme");
    assert_eq!((code, &well["healthy"]), (0, &Value::Bool(true)), "{well}");

    for _ in 0..2 {
        running.dispatch("acme", "fail", &["--wait"]);
    }
    let (failing, code) = health("acme");
    assert_eq!((code, &failing["ailments"]), (6, &serde_json::json!(["failing"])), "{failing}");
    let failed = mark(&failing, "failed sessions");
    assert_eq!(
        (failed["value"].as_str(), failed["threshold"].as_str()),
        (Some("2 of the last 2 (100 %), the last by error"), Some("5 %, 2 at least"))
    );
    assert!(failed["remedy"].as_str().is_some_and(|remedy| remedy.contains("tenant suspend acme")), "{failed}");

    for _ in 0..2 {
        running.dispatch("acme", "wait", &[]);
    }
    assert_eq!(running.dispatch("acme", "wait", &[]).1, 4);
    let (full, _) = health("acme");
    assert_eq!(full["ailments"], serde_json::json!(["failing", "eating_capacity", "refused"]), "{full}");
    assert_eq!(mark(&full, "its own cap")["value"], "2 of 2 (100 %)");
    assert!(mark(&full, "refused dispatches")["value"].as_str().is_some_and(|it| it.contains("1 by tenant_cap")));

    let (sibling, code) = health("globex");
    assert_eq!((code, &sibling["healthy"]), (0, &Value::Bool(true)), "{sibling}");
    assert_eq!(running.cli(&["tenant", "health", "nobody"]).status.code(), Some(5));
    let text = String::from_utf8_lossy(&running.cli(&["tenant", "health", "acme"]).stdout).into_owned();
    assert!(text.contains("acme is failing, eating capacity, refused"), "{text}");
    assert!(text.contains("    openrtc-supervisor tenant set acme --max-sessions N"), "{text}");
}

#[test]
fn a_host_that_does_not_answer_is_told_as_blocked() {
    let running = agency();
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("a session"));
    let host = running.hosts_of("acme").pop().expect("a host");
    let pid = Pid::from_raw(host["pid"].as_i64().expect("a pid") as i32).expect("a pid");
    kill_process(pid, Signal::STOP).expect("stop the host");
    let blocked = until("its silence is told", || {
        let (health, code) = running.json(&["tenant", "health", "acme"]);
        let blocked = health["ailments"].as_array().is_some_and(|all| all.iter().any(|it| it == "blocking_its_loop"));
        blocked.then_some((health, code))
    });
    assert_eq!(blocked.1, 6);
    let name = host["host"].as_str().expect("its id");
    assert_eq!(mark(&blocked.0, "ping of")["remedy"], format!("host kill {name}"), "{}", blocked.0);
}

#[test]
fn a_canary_shows_under_its_tenant_in_all_four_places_and_leaves_nothing_behind() {
    let running = agency();
    let (seen, code) = running.json(&["tenant", "verify", "acme", "--agent", "wait"]);
    assert_eq!((code, &seen["ok"]), (0, &Value::Bool(true)), "{seen}");
    let places: Vec<_> =
        seen["places"].as_array().expect("places").iter().map(|it| (&it["place"], &it["found"])).collect();
    let expected = ["session", "top", "snapshot", "logs", "observer", "ledger"].map(Value::from);
    let pass = Value::from("pass");
    assert_eq!(places, expected.iter().map(|place| (place, &pass)).collect::<Vec<_>>());
    assert_eq!(seen["ended"]["reason"], "caller_left");
    let snapshot = running.snapshot();
    assert_eq!(snapshot["active_sessions"], 0);
    let breakers = snapshot["breakers"].as_array().expect("breakers");
    let acme = breakers.iter().find(|breaker| breaker["tenant"] == "acme").expect("a breaker");
    assert_eq!((&acme["samples"], &acme["failures"]), (&Value::from(0), &Value::from(0)));
    let text =
        String::from_utf8_lossy(&running.cli(&["tenant", "verify", "acme", "--agent", "wait"]).stdout).into_owned();
    assert_eq!(text.lines().filter(|line| line.starts_with("PASS")).count(), 6, "{text}");
}

#[test]
fn a_canary_that_fails_or_finds_no_place_says_so() {
    let running = agency();
    let (seen, code) = running.json(&["tenant", "verify", "acme", "--agent", "fail"]);
    assert_eq!((code, &seen["ok"]), (6, &Value::Bool(false)), "{seen}");
    assert_eq!((&seen["places"][0]["place"], &seen["places"][0]["found"]), (&"session".into(), &"fail".into()));
    for place in &seen["places"].as_array().expect("places")[3..] {
        assert_eq!(place["found"], "pass", "{seen}");
    }
    for _ in 0..2 {
        running.dispatch("acme", "wait", &[]);
    }
    let full = running.cli(&["tenant", "verify", "acme", "--agent", "wait"]);
    assert_eq!(full.status.code(), Some(4));
    let error = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(error.contains("tenant_cap") && error.contains("the canary needs a place"), "{error}");
}

#[test]
fn a_bundle_holds_one_tenants_trouble_and_no_key_and_no_other_tenant() {
    let running = agency();
    for tenant in ["acme", "globex"] {
        running.dispatch(tenant, "tell", &["--wait"]);
        running.dispatch(tenant, "wait", &[]);
    }
    running.cli(&["breaker", "trip", "--tenant", "acme"]);
    assert_eq!(running.dispatch("acme", "wait", &[]).1, 4);
    let mut number = 0;
    let (text, bundle) = until("the bundle has its lines and records", || {
        number += 1;
        let name = format!("bundle-{number}.json");
        assert_eq!(running.cli(&["tenant", "bundle", "acme", "--out", &name]).status.code(), Some(0));
        let text = fs::read_to_string(running.dir().join(name)).expect("a bundle");
        let bundle: Value = serde_json::from_str(&text).expect("JSON");
        let audited = bundle["audit"].as_array().is_some_and(|records| records.len() >= 2);
        (text.contains("this is acme") && text.contains("it broke") && audited).then_some((text, bundle))
    });
    assert_eq!(bundle["ended"][0]["reason"], "error");
    assert_eq!(bundle["breaker"]["state"], "open");
    assert_eq!(bundle["rejections"]["circuit_open"], 1);
    assert_eq!(bundle["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(bundle["health"]["healthy"], false);
    assert!(text.contains("***(env:ACME_KEY)"), "its own key's place is told");
    assert!(!text.contains("globex"), "another tenant is in it");
    for key in [ACME_KEY, GLOBEX_KEY, SHARED_KEY] {
        assert!(!text.contains(key), "a key is in it");
    }
    let path = running.dir().join("bundle-1.json");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).expect("a bundle");
    assert_eq!(running.cli(&["tenant", "bundle", "acme", "--out", "bundle-1.json"]).status.code(), Some(2));
    assert_eq!(fs::read(&path).expect("a bundle"), before);
    assert_eq!(running.cli(&["tenant", "bundle", "nobody", "--out", "none.json"]).status.code(), Some(5));
    assert!(!running.dir().join("none.json").exists(), "half a bundle was left");
}
