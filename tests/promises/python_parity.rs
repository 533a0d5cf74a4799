//! What OpenRTC loses in its own process mode holds here, for the real `openrtc` package: one test a guarantee.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use openrtc_tests::{Lent, Running, Setup, Shared, http, python, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::python_faults::is_forked;

const SCRIPT: &str = "app/parity.py";
/// Long, so that a scan of memory may leap.
const ACME_KEY: &str = "canary-acme-5f1d0c6a9b7e4832-9d2c41e07ab35f68-acme-canary";
const GLOBEX_KEY: &str = "canary-globex-c80b6e13f2a94d57-17f3e9a2b46c0d85-globex-canary";
const LIVEKIT_SECRET: &str = "canary-livekit-e41a7c90d3b8f265-60be18d7f9c2a354-livekit-canary";

/// The pool of `tests/python/parity.py`, with these tenants.
fn pool(supervisor: &str, more: &str) -> Setup {
    let config = format!(
        r#"
config_version = 1
[supervisor]
terminate_grace_s = 1
initialize_timeout_s = 60
restart_backoff_s = [0.05]
{supervisor}
[observers.jsonl]
path = "DIR/state/events.jsonl"
[runtimes.pool]
kind = "python"
app = "DIR/{SCRIPT}"
{more}
"#
    );
    python::lay(Setup::new(&config), &["parity.py"]).env("VIRTUAL_ENV", python::required().dir())
}

/// The supervisor of the tests that do not end it, each with tenants of its own.
fn agency() -> Lent {
    static AGENCY: Shared = Shared::new(|| {
        let more = r#"
[metrics]
jsonl = "DIR/state/metrics.jsonl"
jsonl_interval_s = 0.25
[circuit_breaker]
enabled = true
cooldown_s = 2.0
[tenants.failing]
[tenants.steady]
[tenants.called-a]
[tenants.called-b]
[tenants.counted-a]
[tenants.counted-b]
[tenants.topped]
[tenants.streamed]
[tenants.capped]
max_sessions = 3
[tenants.acme]
api_keys = { openai = { file = "DIR/acme.key" } }
[tenants.globex]
api_keys = { openai = { file = "DIR/globex.key" } }
"#;
        pool("max_concurrent_sessions = 60\nopenrtc_top_socket = \"top.sock\"", more)
            .file("acme.key", ACME_KEY.as_bytes())
            .file("globex.key", GLOBEX_KEY.as_bytes())
            .env("LIVEKIT_URL", "wss://livekit.example")
            .env("LIVEKIT_API_KEY", "devkey")
            .env("LIVEKIT_API_SECRET", LIVEKIT_SECRET)
            .start()
    });
    AGENCY.get()
}

/// Places a session that is not waited for; gives its id.
#[track_caller]
fn place(running: &Running, tenant: &str, agent: &str) -> String {
    let (answer, code) = running.dispatch(tenant, agent, &[]);
    assert_eq!(code, 0, "{answer}");
    answer["admitted"]["session"].as_str().expect("a session").to_owned()
}

/// Runs a session to its end; gives that.
#[track_caller]
fn run(running: &Running, tenant: &str, agent: &str) -> Value {
    let (answer, _) = running.dispatch(tenant, agent, &["--wait"]);
    assert!(answer["ended"].is_object(), "{answer}");
    answer["ended"].clone()
}

#[track_caller]
fn succeeds(running: &Running, tenant: &str, agent: &str) -> Value {
    let ended = run(running, tenant, agent);
    assert_eq!((&ended["status"], &ended["error"]), (&json!("success"), &Value::Null), "{ended}");
    ended
}

/// The one host of a tenant: its name and its process.
#[track_caller]
fn host(running: &Running, tenant: &str) -> (String, u32) {
    let hosts = running.hosts_of(tenant);
    assert_eq!(hosts.len(), 1, "hosts of {tenant}: {hosts:?}");
    assert!(is_forked(&hosts[0]), "{hosts:?}");
    let pid = hosts[0]["pid"].as_u64().expect("a pid") as u32;
    (hosts[0]["host"].as_str().expect("a name").to_owned(), pid)
}

/// What the agents of a tenant logged, once there is a line with these words.
#[track_caller]
fn logged(running: &Running, tenant: &str, words: &str) -> Vec<String> {
    until(&format!("{tenant} has logged {words:?}"), || {
        let events = running.events();
        let lines = events.iter().filter(|event| event["tenant"] == tenant && event["payload"]["message"].is_string());
        let lines: Vec<String> = lines
            .map(|event| event["payload"]["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| message.contains(words))
            .collect();
        (!lines.is_empty()).then_some(lines)
    })
}

/// "Tenant circuit breaker": process mode raises `ValueError` in the constructor.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_breaker_opens_for_the_tenant_whose_sessions_crash_alone_and_lets_it_recover() {
    let running = agency();
    for _ in 0..5 {
        let ended = run(&running, "failing", "crashes");
        assert_eq!((&ended["status"], &ended["reason"]), (&json!("failed"), &json!("error")), "{ended}");
        let error = ended["error"].as_str().unwrap_or_default();
        assert!(error.contains("LookupError") && error.contains("no such customer: 4711"), "{error}");
    }
    let (refused, code) = running.dispatch("failing", "fine", &["--wait"]);
    assert_eq!((&refused["reason"], code), (&json!("circuit_open"), 4), "{refused}");
    succeeds(&running, "steady", "fine");
    until("the breaker lets the tenant through again", || {
        (running.dispatch("failing", "fine", &["--wait"]).1 == 0).then_some(())
    });
}

/// "`tenant_config` with plugin objects": process mode cannot pickle them, and would give every job every tenant's keys.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_tenant_config_of_provider_objects_is_refused_and_the_same_tenants_work_in_the_configuration() {
    let config = format!(
        "config_version = 1\n[runtimes.pool]\nkind = \"python\"\napp = \"DIR/app/all_keys.py\"\n\
         python = {:?}\n",
        python::required().python()
    );
    let mut refused = python::lay(Setup::new(&config), &["all_keys.py"]).launch();
    let status = refused.child.wait().expect("wait");
    let log = refused.log();
    assert!(!status.success(), "{log}");
    for said in ["all_keys.py", "tenant_config['acme-corp']", "openrtc-supervisor config import all_keys.py"] {
        assert!(log.contains(said), "{said} is not in:\n{log}");
    }
    assert!(!log.contains("canary-"), "a key is shown:\n{log}");

    let mut import = refused.command(&["config", "import", "app/all_keys.py"]);
    let imported = import.env("VIRTUAL_ENV", python::required().dir()).output().expect("run config import");
    let (text, said) = (String::from_utf8_lossy(&imported.stdout), String::from_utf8_lossy(&imported.stderr));
    assert!(imported.status.success(), "{said}");
    for tenant in ["[tenants.acme-corp]", "[tenants.globex]"] {
        assert!(text.contains(tenant), "{tenant} is not in:\n{text}");
    }
    assert!(!text.contains("canary-") && !said.contains("canary-"), "a key was written down:\n{text}\n{said}");

    let running = agency();
    for tenant in ["acme", "globex"] {
        succeeds(&running, tenant, "fine");
    }
}

/// "`tenant_config` callable": process mode raises `PicklingError`.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_callable_tenant_config_is_honoured_in_each_tenants_host_for_that_tenant_alone() {
    let running = agency();
    for tenant in ["called-a", "called-b"] {
        succeeds(&running, tenant, "models");
        let model = logged(&running, tenant, "speaks with");
        assert!(model[0].ends_with(&format!("speaks with model-of-{tenant}")), "{model:?}");
        for line in logged(&running, tenant, "asked for the providers of") {
            assert!(line.ends_with(&format!("['{tenant}']")), "another tenant's providers were made here: {line}");
        }
    }
    succeeds(&running, "steady", "models");
    let model = logged(&running, "steady", "speaks with");
    assert!(model[0].ends_with("speaks with echo-1"), "it falls back where the callable gives none: {model:?}");
}

/// Where a text is in bytes, if it is; the longer it is, the fewer bytes are looked at.
fn is_in(bytes: &[u8], text: &[u8]) -> bool {
    let last = text.len() - 1;
    let mut leap = [text.len(); 256];
    for (at, byte) in text[..last].iter().enumerate() {
        leap[usize::from(*byte)] = last - at;
    }
    let mut at = 0;
    while at + last < bytes.len() {
        if &bytes[at..=at + last] == text {
            return true;
        }
        at += leap[usize::from(bytes[at + last])];
    }
    false
}

/// Which of the texts are in a process's memory, its environment or its arguments; `None` if it has ended.
pub(crate) fn found_in(pid: u32, texts: &[&'static str]) -> Option<Vec<&'static str>> {
    const CHUNK: usize = 4 << 20;
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let maps = fs::read_to_string(proc.join("maps")).ok().filter(|maps| !maps.is_empty())?;
    let memory = File::open(proc.join("mem")).ok()?;
    let mut found: Vec<&'static str> = Vec::new();
    let mut look = |bytes: &[u8]| {
        for text in texts {
            if !found.contains(text) && is_in(bytes, text.as_bytes()) {
                found.push(text);
            }
        }
    };
    for file in ["environ", "cmdline"] {
        look(&fs::read(proc.join(file)).ok()?);
    }
    let mut bytes = vec![0; CHUNK];
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // What nobody wrote to is the file's.
        if !fields[1].starts_with('r') || (!fields[1].starts_with("rw") && fields[4] != "0") {
            continue;
        }
        let (from, to) = fields[0].split_once('-').expect("an area");
        let bound = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (mut from, to) = (bound(from), bound(to));
        while from < to {
            let wanted = usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK);
            let Ok(read) = memory.read_at(&mut bytes[..wanted], from) else { break };
            look(&bytes[..read]);
            // A text may lie across two chunks.
            let overlap = if from + (read as u64) < to { 128 } else { 0 };
            match read.checked_sub(overlap) {
                Some(ahead) if ahead > 0 => from += ahead as u64,
                _ => break,
            }
        }
    }
    Some(found)
}

/// Each process of the supervisor with the tenant whose host it is, if it is one, and the texts that it holds.
pub(crate) fn holders(running: &Running, texts: &[&'static str]) -> BTreeMap<u32, (Option<String>, Vec<&'static str>)> {
    let hosts = running.snapshot()["hosts"].as_array().cloned().unwrap_or_default();
    let tenant = |pid: u32| hosts.iter().find(|host| host["pid"] == pid).and_then(|host| host["tenant"].as_str());
    let tell = |pid| Some((pid, (tenant(pid).map(str::to_owned), found_in(pid, texts)?)));
    running.descendants().into_iter().filter_map(tell).collect()
}

/// "One tenant's key only in that tenant's session": process mode pickles all tenants' keys into every job.
#[test]
#[cfg_attr(not(all(root, python)), ignore = "needs root to read memory, Python 3.11 to 3.13, pip and a package index")]
fn a_tenants_key_is_in_its_own_host_and_in_no_other_process_log_or_snapshot() {
    let running = agency();
    for tenant in ["acme", "globex", "steady"] {
        succeeds(&running, tenant, "fine");
        running.live(&place(&running, tenant, "waits"));
    }
    running.idle_host();
    let holders = holders(&running, &[ACME_KEY, GLOBEX_KEY]);
    for (owner, key) in [("acme", ACME_KEY), ("globex", GLOBEX_KEY)] {
        let of = holders.values().filter(|(_, found)| found.contains(&key)).map(|(tenant, _)| tenant.as_deref());
        assert_eq!(of.collect::<Vec<_>>(), [Some(owner)], "who holds {owner}'s key");
    }
    let (_, host) = host(&running, "steady");
    assert!(holders.contains_key(&host), "a host without a key was looked at");
    let zygote = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("openrtc_host\0zygote")
    };
    let of_nobody = holders.iter().filter(|(pid, (tenant, _))| tenant.is_none() && zygote(**pid)).count();
    assert_eq!(of_nobody, 2, "the zygote was looked at, and the host that was forked ahead");
    let outputs = [
        running.log(),
        fs::read_to_string(running.dir().join("state/events.jsonl")).expect("events"),
        running.snapshot().to_string(),
        running.json(&["tenant", "show", "acme"]).0.to_string(),
        String::from_utf8_lossy(&running.cli(&["config", "show"]).stdout).into_owned(),
    ];
    for output in outputs {
        assert!(!output.contains(ACME_KEY) && !output.contains(GLOBEX_KEY), "a key is in:\n{output}");
    }
}

/// "LiveKit API secret": process mode exports it to the environment that every job inherits.
#[test]
#[cfg_attr(not(all(root, python)), ignore = "needs root to read memory, Python 3.11 to 3.13, pip and a package index")]
fn the_livekit_secret_of_the_supervisors_environment_is_in_no_host() {
    let running = agency();
    succeeds(&running, "steady", "fine");
    host(&running, "steady");
    let own = found_in(running.pid(), &[LIVEKIT_SECRET]).expect("the supervisor runs");
    assert_eq!(own, [LIVEKIT_SECRET], "the search finds it where it is");
    let holders = holders(&running, &[LIVEKIT_SECRET]);
    assert!(holders.values().any(|(tenant, _)| tenant.as_deref() == Some("steady")), "a host was looked at");
    assert!(holders.len() >= 2, "the zygote was looked at");
    for (pid, (tenant, found)) in holders {
        assert!(found.is_empty(), "process {pid}, a host of {tenant:?}, holds the secret");
    }
}

/// "`max_concurrent_sessions`, `consecutive_failure_limit`": process mode ignores both.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_cap_of_all_sessions_is_hard_and_a_crash_loop_restarts_nothing_but_its_own_host() {
    // The script says `consecutive_failure_limit=1`: OpenRTC itself would end the worker, and all calls with it.
    let mut running =
        pool("max_concurrent_sessions = 2", "[tenants.steady]\n[tenants.looping]\n[tenants.third]\n").start();
    let sibling = place(&running, "steady", "waits");
    running.live(&sibling);
    let before = host(&running, "steady");
    let mut died = Vec::new();
    while died.len() < 4 {
        let (answer, code) = running.dispatch("looping", "dies", &["--wait"]);
        if code == 4 {
            assert_eq!(answer["reason"], "host_unavailable", "{answer}");
            continue;
        }
        let ended = &answer["ended"];
        assert_eq!((&ended["reason"], &ended["reason_detail"]["code"]), (&json!("host_exit"), &json!(4)), "{answer}");
        died.push(ended["host"].as_str().expect("a host").to_owned());
    }
    died.sort();
    died.dedup();
    assert_eq!(died.len(), 4, "each death is one host's: {died:?}");
    assert!(running.child.try_wait().expect("look at the supervisor").is_none(), "the supervisor ended");
    assert_eq!(host(&running, "steady"), before, "the sibling's host is another");
    assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live");

    let second = until("the tenant may start again", || {
        let (answer, code) = running.dispatch("looping", "waits", &[]);
        (code == 0).then(|| answer["admitted"]["session"].as_str().expect("a session").to_owned())
    });
    let (refused, code) = running.dispatch("third", "fine", &["--wait"]);
    assert_eq!((&refused["reason"], code), (&json!("global_cap"), 4), "{refused}");
    assert!(running.cli(&["session", "end", &second]).status.success());
    running.ended(&second);
    succeeds(&running, "third", "fine");
}

/// A running session outlives the request to drain, and new ones are refused; then the supervisor ends in good order.
fn drains(request: impl FnOnce(&Running)) {
    let mut running = pool("", "[tenants.acme]\n[tenants.globex]\n").start();
    let session = place(&running, "acme", "finishes");
    running.live(&session);
    request(&running);
    until("it drains", || (running.snapshot()["draining"] == true).then_some(()));
    for tenant in ["acme", "globex"] {
        let (refused, code) = running.dispatch(tenant, "fine", &[]);
        assert_eq!((&refused["reason"], code), (&json!("draining"), 4), "{refused}");
    }
    assert_eq!(running.json(&["session", "show", &session]).0["state"], "live");
    fs::write(running.dir().join("app/finish"), "").expect("let the session finish");
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
    let ends: Vec<Value> = running.events().into_iter().filter(|event| event["kind"] == "session_end").collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(
        (&ends[0]["session_id"], &ends[0]["payload"]["status"]),
        (&json!(session), &json!("success")),
        "{ends:?}"
    );
}

/// "`begin_drain()` / `.draining`": a silent no-op in process mode.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_drain_lets_running_sessions_finish_and_refuses_new_ones() {
    drains(|running| assert!(running.cli(&["drain"]).status.success()));
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn sigterm_lets_running_sessions_finish_and_refuses_new_ones() {
    drains(|running| running.signal(Signal::TERM));
}

/// "`runtime_snapshot().sessions_by_tenant`": the worker's counters stay 0 in process mode.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_snapshot_counts_the_live_sessions_of_each_tenant() {
    let running = agency();
    let counts = |snapshot: &Value| {
        let of = |tenant: &str| snapshot["sessions_by_tenant"][tenant].as_u64().unwrap_or(0);
        [of("counted-a"), of("counted-b")]
    };
    assert_eq!(counts(&running.snapshot()), [0, 0]);
    let sessions: Vec<String> =
        ["counted-a", "counted-b", "counted-b"].map(|tenant| place(&running, tenant, "waits")).to_vec();
    for session in &sessions {
        running.live(session);
    }
    let snapshot = running.snapshot();
    assert_eq!(counts(&snapshot), [1, 2], "{snapshot}");
    assert!(snapshot["sessions_by_agent"]["waits"].as_u64() >= Some(3), "{snapshot}");
    assert!(running.cli(&["session", "end", &sessions[1]]).status.success());
    running.ended(&sessions[1]);
    assert_eq!(counts(&running.snapshot()), [1, 1]);
}

/// "Failure counts in `top`": `failed` is always 0 in process mode.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn openrtc_top_shows_what_started_and_failed_and_each_tenants_rows() {
    let running = agency();
    let session = place(&running, "topped", "waits");
    running.live(&session);
    succeeds(&running, "topped", "fine");
    let before = running.snapshot();
    assert_eq!(run(&running, "topped", "crashes")["status"], "failed");
    let socket = running.dir().join("run/top.sock");
    let mut line = String::new();
    UnixStream::connect(&socket).expect("top.sock").read_to_string(&mut line).expect("a line");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    for (key, ours) in [("started", "total_sessions_started"), ("failed", "total_session_failures")] {
        // Other tests' sessions come and go meanwhile.
        let (before, told, after) = (&before[ours], &told["worker"][key], &running.snapshot()[ours]);
        assert!(before.as_u64() < told.as_u64() && told.as_u64() <= after.as_u64(), "{key}: {before} {told} {after}");
    }

    let mut top = Command::new(python::required().dir().join("bin/openrtc"));
    top.env_clear().env("PATH", "/usr/bin:/bin").env("COLUMNS", "200").env("TERM", "dumb").env("NO_COLOR", "1");
    let shown = top.args(["top", "--once", "--socket"]).arg(&socket).output().expect("run openrtc top");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    let row = text.lines().find(|line| line.contains(&session)).unwrap_or_else(|| panic!("no row:\n{text}"));
    assert!(row.contains("topped") && row.contains("waits"), "{row}");
    let failed = text.split("FAILED").nth(1).and_then(|rest| rest.split_whitespace().next());
    let failed: u64 = failed.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no count:\n{text}"));
    assert!(Some(failed) > before["total_session_failures"].as_u64(), "{text}");
}

/// What OpenRTC's own reader makes of the metrics stream.
const READ_STREAM: &str = r#"
import json, sys
from openrtc.observability.jsonl_sink import parse_metrics_jsonl_line
lines = [line for line in open(sys.argv[1]) if line.endswith("\n")]
print(json.dumps([parse_metrics_jsonl_line(line) for line in lines]))
"#;

/// The stream beside `top`: a crash in the entrypoint is a session that started, failed and finished, as in OpenRTC.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn openrtcs_own_reader_reads_the_metrics_stream() {
    let running = agency();
    succeeds(&running, "streamed", "fine");
    assert_eq!(run(&running, "streamed", "crashes")["status"], "failed");
    let stream = running.dir().join("state/metrics.jsonl");
    let told = |agent: &str| -> Vec<Value> {
        let mut read = python::required().command(&["-c", READ_STREAM]);
        let output = read.arg(&stream).output().expect("run the interpreter");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let records: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(records.iter().all(Value::is_object), "a line that OpenRTC does not read: {records:?}");
        let events =
            records.into_iter().filter(|record| record["kind"] == "event").map(|record| record["payload"].clone());
        events.filter(|event| event["tenant"] == "streamed" && event["agent"] == agent).collect()
    };
    let names = |events: &[Value]| {
        events.iter().map(|event| event["event"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let crash = until("the stream tells of the crash's end", || {
        let events = told("crashes");
        names(&events).iter().any(|name| name == "session_finished").then_some(events)
    });
    assert_eq!(names(&crash), ["session_started", "session_failed", "session_finished"]);
    assert!(crash[1]["error"].as_str().is_some_and(|error| error.contains("no such customer: 4711")), "{crash:?}");
    assert_eq!(names(&told("fine")), ["session_started", "session_finished"]);
}

/// "Hot reload": process mode raises `ValueError`.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn changed_code_is_picked_up_by_the_next_host_without_a_restart() {
    let mut running = pool("", "[tenants.acme]\n[tenants.globex]\n").start();
    let sibling = place(&running, "globex", "waits");
    running.live(&sibling);
    succeeds(&running, "acme", "fine");
    logged(&running, "acme", "this is edition one");
    let script = running.dir().join(SCRIPT);
    let text = fs::read_to_string(&script).expect("the script").replace("edition one", "edition two");
    fs::write(&script, text).expect("change the script");
    let (first, _) = host(&running, "acme");
    assert!(running.cli(&["host", "kill", &first]).status.success());
    until("the tenant is served again", || (running.dispatch("acme", "fine", &["--wait"]).1 == 0).then_some(()));
    logged(&running, "acme", "this is edition two");
    assert_ne!(host(&running, "acme").0, first);
    assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live");
    assert!(running.child.try_wait().expect("look at the supervisor").is_none(), "the supervisor ended");
}

/// "Per-tenant caps": soft, and dead for long.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn twenty_dispatches_at_once_under_a_cap_of_three_give_three() {
    let running = agency();
    let runtime_dir = running.dir().join("run");
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let place = |call: usize| {
            let body = json!({"room": format!("capped-{call}"), "tenant": "capped", "agent": "waits"});
            http::post(&runtime_dir, "/v1/dispatch", &body).expect("an answer")
        };
        let callers: Vec<_> = (0..20).map(|call| scope.spawn(move || place(call))).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
    });
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!((admitted.len(), refused.len()), (3, 17));
    assert!(refused.iter().all(|(_, answer)| answer["reason"] == "tenant_cap"), "{refused:?}");
    for (_, answer) in &admitted {
        running.live(answer["admitted"]["session"].as_str().expect("a session"));
    }
    assert_eq!(running.snapshot()["sessions_by_tenant"]["capped"], 3);
    let ended = admitted[0].1["admitted"]["session"].as_str().expect("a session");
    assert!(running.cli(&["session", "end", ended]).status.success());
    running.ended(ended);
    succeeds(&running, "capped", "fine");
}
