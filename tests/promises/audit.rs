//! What operators, hosts and limits underwent stands in a log that nobody changes unseen, and that costs no session anything.

use std::fs;
use std::path::PathBuf;

use openrtc_tests::{Running, Setup, until};
use serde_json::Value;

use crate::{ROGUE, config};

const CANARY: &str = "canary-audit-51d0f7a9c3";

const AUDIT: &str = r#"
[audit]
path = "DIR/state/audit.jsonl"
refusals_interval_s = 1
[circuit_breaker]
enabled = true
cooldown_s = 1.0
[tenants.acme]
api_keys = { openai = { file = "DIR/acme.key" } }
max_sessions = 1
[tenants.initech]
max_sessions = 50
[runtimes.stranger]
kind = "program"
command = ["DIR/rogue", "version"]
[agents.stranger]
runtime = "stranger"
"#;

fn setup(text: &str) -> Setup {
    Setup::new(text).file("acme.key", CANARY.as_bytes()).program("rogue", ROGUE)
}

fn log(running: &Running) -> PathBuf {
    running.dir().join("state/audit.jsonl")
}

fn text(running: &Running) -> String {
    fs::read_to_string(log(running)).unwrap_or_default()
}

fn records(running: &Running) -> Vec<Value> {
    // The last line may still be on its way.
    text(running).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first record of this event that is as it should be, once it is there.
#[track_caller]
fn record(running: &Running, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
    until(&format!("{event} is in the log"), || {
        records(running).into_iter().find(|record| record["event"] == event && fits(record))
    })
}

#[track_caller]
fn recorded(running: &Running, event: &str) -> Value {
    record(running, event, |_| true)
}

/// The verdict on the log, and the exit code.
fn verify(running: &Running) -> (Value, i32) {
    let head = running.dir().join("state/audit.head").display().to_string();
    running.json(&["audit", "verify", &log(running).display().to_string(), "--head", &head])
}

#[track_caller]
fn end(running: &mut Running) {
    assert!(running.cli(&["shutdown"]).status.success());
    assert!(running.child.wait().expect("its end").success(), "{}", running.log());
}

/// Starts the same supervisor once more, with its configuration changed so.
pub(crate) fn again(running: &mut Running, change: impl Fn(String) -> String) {
    let path = running.dir().join("openrtc-supervisor.toml");
    fs::write(&path, change(fs::read_to_string(&path).expect("configuration"))).expect("write configuration");
    let mut command = running.command(&["run", "--config"]);
    command.arg(&path);
    for (variable, name) in [("RUNTIME_DIRECTORY", "run"), ("STATE_DIRECTORY", "state")] {
        command.env(variable, running.dir().join(name));
    }
    let log = fs::File::options().append(true).open(running.dir().join("supervisor.log")).expect("log");
    command.stdout(log.try_clone().expect("share log")).stderr(log);
    running.child = command.spawn().expect("start it again");
    until("it answers again", || running.cli(&["snapshot"]).status.success().then_some(()));
}

#[test]
fn every_kind_of_event_is_recorded_with_who_and_no_key() {
    let mut running = setup(&config(AUDIT)).start();
    let me = format!("uid:{}", rustix::process::geteuid().as_raw());
    let started = recorded(&running, "supervisor.started");
    assert_eq!((started["actor"].as_str(), started["before"].as_str()), (Some("system"), Some("first")));
    recorded(&running, "deployment.started");
    recorded(&running, "deployment.completed");
    let resolved = recorded(&running, "key.resolved");
    assert_eq!(
        (resolved["target"].as_str(), resolved["tenant"].as_str()),
        (Some("tenants.acme.api_keys.openai"), Some("acme"))
    );

    let (answer, code) = running.dispatch("acme", "wait", &[]);
    assert_eq!(code, 0, "{answer}");
    let loaded = recorded(&running, "key.loaded");
    assert_eq!(loaded["keys"][0]["variable"], "OPENAI_API_KEY", "{loaded}");
    assert!(loaded["keys"][0]["source"].as_str().is_some_and(|source| source.starts_with("file:")), "{loaded}");
    assert_eq!(running.dispatch("acme", "wait", &[]).1, 4, "the second is above the cap");
    let refused = recorded(&running, "admission.refused");
    assert_eq!((refused["reason"].as_str(), refused["target"].as_str()), (Some("tenant_cap"), Some("acme")));
    assert_eq!((refused["result"].as_str(), refused["count"].as_u64()), (Some("refused"), Some(1)));

    running.live(answer["admitted"]["session"].as_str().expect("a session"));
    let host = running.hosts_of("acme")[0]["host"].as_str().expect("a host").to_owned();
    assert!(running.cli(&["host", "kill", &host]).status.success());
    let ordered = recorded(&running, "host.kill_ordered");
    assert_eq!((ordered["actor"].as_str(), ordered["target"].as_str()), (Some(&*me), Some(&*host)));
    assert!(ordered["actor_pid"].as_u64().is_some_and(|pid| pid > 1), "{ordered}");
    let killed = recorded(&running, "host.killed");
    assert_eq!(
        (killed["intent"].as_str(), killed["exit"]["reason"].as_str()),
        (Some("operator"), Some("operator_kill"))
    );
    assert_eq!(
        (killed["evidence"]["wait"]["signalled"].as_u64(), killed["sessions_lost"].as_u64()),
        (Some(9), Some(1))
    );

    running.dispatch("initech", "stranger", &["--wait"]);
    assert_eq!(recorded(&running, "worker.rejected")["reason"], "version");
    for (command, event) in
        [("suspend", "tenant.suspended"), ("resume", "tenant.resumed"), ("drain", "tenant.drain_ordered")]
    {
        assert!(running.cli(&["tenant", command, "acme"]).status.success());
        assert_eq!(recorded(&running, event)["actor"], *me);
    }
    recorded(&running, "tenant.drain_started");
    assert!(running.cli(&["breaker", "trip", "--tenant", "initech", "--for", "1"]).status.success());
    assert_eq!(recorded(&running, "breaker.trip_ordered")["actor"], *me);
    assert_eq!(recorded(&running, "breaker.opened")["actor"], "system");
    assert!(running.cli(&["breaker", "reset", "--tenant", "initech"]).status.success());
    recorded(&running, "breaker.reset_ordered");
    recorded(&running, "breaker.closed");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(recorded(&running, "supervisor.drain_ordered")["actor"], "signal:SIGTERM");
    assert!(running.child.wait().expect("its end").success());
    recorded(&running, "deployment.drain_started");
    recorded(&running, "supervisor.stopped");
    assert!(!text(&running).contains(CANARY), "a key is in the log");
    let (verdict, code) = verify(&running);
    assert_eq!((verdict["ok"].as_bool(), verdict["end"].as_str(), code), (Some(true), Some("head"), 0), "{verdict}");
}

#[test]
fn a_restart_continues_the_chain_and_tells_what_was_changed_meanwhile() {
    let versioned = config(AUDIT).replace("[supervisor]", "[supervisor]\ndeployment_version = \"v1\"");
    let mut running = setup(&versioned).start();
    end(&mut running);
    let edit = |text: String| text.replace("\"v1\"", "\"v2\"").replace("max_sessions = 50", "max_sessions = 60");
    again(&mut running, |text| edit(text) + "[tenants.globex]\n");
    let limit = recorded(&running, "limit.changed");
    assert_eq!(
        (limit["target"].as_str(), limit["actor"].as_str()),
        (Some("tenants.initech.max_sessions"), Some("configuration"))
    );
    assert_eq!((limit["from"].as_u64(), limit["to"].as_u64()), (Some(50), Some(60)));
    assert_eq!(recorded(&running, "tenant.added")["target"], "globex");
    let _ = running.child.kill();
    let _ = running.child.wait();
    again(&mut running, |text| text.replace("\"v2\"", "\"v1\""));
    record(&running, "supervisor.started", |record| record["before"] == "died");
    assert_eq!(recorded(&running, "deployment.rolled_back")["from_version"], "v2");
    end(&mut running);
    let seqs: Vec<u64> = records(&running).iter().filter_map(|record| record["seq"].as_u64()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    assert_eq!(verify(&running).1, 0, "{}", verify(&running).0);

    // And what is done to the file afterwards is found.
    let whole = text(&running);
    let lines: Vec<&str> = whole.lines().collect();
    let put =
        |lines: &[&str]| fs::write(log(&running), lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let mut flipped = whole.clone().into_bytes();
    flipped[whole.len() / 2] ^= 1;
    fs::write(log(&running), flipped).expect("forge");
    assert_eq!(verify(&running).1, 6);
    for (kind, lines) in [
        ("missing", [&lines[..2], &lines[3..]].concat()),
        ("reordered", [&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat()),
        ("truncated", lines[..lines.len() - 2].to_vec()),
    ] {
        put(&lines).expect("forge");
        let (verdict, code) = verify(&running);
        assert_eq!((verdict["findings"][0]["kind"].as_str(), code), (Some(kind), 6), "{verdict}");
    }
}

#[test]
fn a_flood_of_refusals_is_a_handful_of_records() {
    let running = setup(&config(AUDIT)).start();
    assert!(running.cli(&["tenant", "suspend", "initech"]).status.success());
    let socket = running.dir().join("run");
    let body = serde_json::json!({"room": "r", "tenant": "initech", "agent": "echo"});
    let flood = 300;
    for _ in 0..flood {
        openrtc_tests::http::post(&socket, "/v1/dispatch", &body).expect("an answer");
    }
    let refusals = || -> Vec<u64> {
        let refused = records(&running).into_iter().filter(|record| record["event"] == "admission.refused");
        refused.filter_map(|record| record["count"].as_u64()).collect()
    };
    let counts = until("every refusal is counted", || Some(refusals()).filter(|it| it.iter().sum::<u64>() == flood));
    assert!(counts.len() < 100, "{counts:?}");
}

#[test]
fn a_full_disk_harms_no_session_and_is_told_once() {
    use std::process::Command;
    let text = config(AUDIT).replace("DIR/state/audit.jsonl", "DIR/disk/audit.jsonl");
    let setup = setup(&text);
    let disk = setup.dir().join("disk");
    fs::create_dir(&disk).expect("create");
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(&disk).output();
    let mounted = mount(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).is_ok_and(|output| output.status.success());
    if !mounted {
        // Without the right to mount, a device that is always full.
        let text = config(AUDIT).replace("DIR/state/audit.jsonl", "/dev/full");
        let mut running = Setup::new(&text).file("acme.key", b"secret").program("rogue", ROGUE).launch();
        assert!(!running.child.wait().expect("its end").success(), "a log that takes nothing at the start is no start");
        return;
    }
    let mut running = setup.start();
    let filler = disk.join("filler");
    let full = Command::new("dd").arg("if=/dev/zero").arg(format!("of={}", filler.display())).output().expect("dd");
    assert!(!full.status.success(), "the disk takes everything");
    let log = disk.join("audit.jsonl");
    // What is left of the last block takes a few records.
    let failed = || {
        let observers = running.snapshot()["observers"].as_array().cloned().unwrap_or_default();
        let audit = observers.into_iter().find(|observer| observer["name"] == "audit");
        audit.and_then(|audit| audit["failed"].as_u64()).unwrap_or(0)
    };
    until("records are lost", || {
        assert!(running.cli(&["tenant", "suspend", "initech"]).status.success());
        assert!(running.cli(&["tenant", "resume", "initech"]).status.success());
        (failed() >= 3).then_some(())
    });
    assert_eq!(running.dispatch("initech", "echo", &["--wait"]).1, 0, "a session was harmed");
    assert_eq!(running.log().matches("audit log takes no more records").count(), 1, "told once");
    fs::remove_file(&filler).expect("make room");
    until("the gap is told", || {
        running.cli(&["tenant", "resume", "initech"]);
        fs::read_to_string(&log).expect("log").contains("\"audit.gap\"").then_some(())
    });
    end(&mut running);
    let head = running.dir().join("state/audit.head").display().to_string();
    let (verdict, code) = running.json(&["audit", "verify", &log.display().to_string(), "--head", &head]);
    let unmounted = Command::new("umount").arg(&disk).status().expect("umount").success();
    assert!(unmounted);
    assert_eq!(code, 0, "{verdict}");
    assert!(verdict["lost"].as_u64().is_some_and(|lost| lost >= 3), "{verdict}");
}
