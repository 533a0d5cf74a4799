//! What an operator changed of a tenant holds until it is taken back, over restarts, and two operators do not overwrite
//! each other unseen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use openrtc_tests::{Running, Setup, User, until};
use serde_json::Value;

use crate::audit::again;
use crate::config;

const AGENCY: &str = r#"
[audit]
path = "DIR/state/audit.jsonl"
[tenants.acme]
max_sessions = 3
[tenants.closed]
status = "suspended"
"#;

fn me() -> String {
    format!("uid:{}", rustix::process::geteuid().as_raw())
}

fn tenant(running: &Running, tenant: &str) -> Value {
    running.ok(&["tenant", "show", tenant])
}

#[track_caller]
fn rejected(running: &Running, tenant: &str, reason: &str) {
    let (answer, code) = running.dispatch(tenant, "wait", &[]);
    assert_eq!((answer["reason"].as_str(), code), (Some(reason), 4), "{answer}");
}

#[track_caller]
fn end(running: &mut Running) {
    assert!(running.cli(&["shutdown"]).status.success());
    assert!(running.child.wait().expect("its end").success(), "{}", running.log());
}

#[test]
fn orders_outlast_a_restart_with_since_and_by_whom_and_go_when_they_are_reset() {
    let mut running = Setup::new(&config(AGENCY)).start();
    running.ok(&["tenant", "suspend", "acme"]);
    running.ok(&["tenant", "resume", "closed"]);
    let set = ["tenant", "set", "acme", "--max-sessions", "1", "--host-scope", "session", "--memory-max-mb", "300"];
    running.ok(&set);
    end(&mut running);
    again(&mut running, |text| text);

    let acme = tenant(&running, "acme");
    assert_eq!((acme["status"].as_str(), acme["max_sessions"].as_u64()), (Some("suspended"), Some(1)), "{acme}");
    let orders = acme["orders"].as_array().expect("orders");
    assert_eq!(orders.len(), 4, "{acme}");
    for order in orders {
        assert_eq!((order["by"].as_str(), order["lasting"].as_bool()), (Some(&*me()), Some(true)), "{order}");
        assert!(order["since_unix_ms"].as_u64().is_some_and(|since| since > 1_600_000_000_000), "{order}");
    }
    let snapshot = running.snapshot();
    let shown = snapshot["tenants"].as_array().and_then(|all| all.iter().find(|it| it["tenant"] == "acme").cloned());
    assert_eq!(shown.expect("acme")["orders"], acme["orders"]);
    let listed = String::from_utf8_lossy(&running.cli(&["tenant", "list"]).stdout).into_owned();
    assert!(listed.contains("max_sessions = 1, ordered"), "{listed}");
    rejected(&running, "acme", "tenant_suspended");
    running.admitted("closed", "wait");

    running.ok(&["tenant", "reset", "acme", "status"]);
    running.admitted("acme", "wait");
    rejected(&running, "acme", "tenant_cap");
    let hosts = running.hosts_of("acme");
    assert_eq!(hosts[0]["scope"], "session", "{hosts:?}");
    assert_eq!(hosts[0]["memory_max_bytes"].as_u64(), Some(300 << 20));
    let acme = running.ok(&["tenant", "reset", "acme"]);
    assert_eq!((acme["max_sessions"].as_u64(), acme["revision"].as_u64()), (Some(3), Some(0)), "{acme}");
    assert_eq!(acme["orders"].as_array().map(Vec::len), Some(0));
    running.ok(&["tenant", "reset", "closed"]);
    rejected(&running, "closed", "tenant_suspended");
    let record = until("the change is in the audit log", || {
        let text = fs::read_to_string(running.dir().join("state/audit.jsonl")).unwrap_or_default();
        let mut records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.find(|record| record["event"] == "tenant.ordered")
    });
    assert_eq!((record["actor"].as_str(), record["orders"]["max_sessions"].as_str()), (Some(&*me()), Some("1")));
}

#[test]
fn of_two_operators_the_one_who_looked_earlier_is_refused_and_told_what_it_is_now() {
    let running = Setup::new(&config(AGENCY)).start();
    let seen = tenant(&running, "acme")["revision"].to_string();
    let first = running.ok(&["tenant", "set", "acme", "--max-sessions", "7", "--revision", &seen]);
    assert_ne!(first["revision"].to_string(), seen);
    let (problem, code) = running.json(&["tenant", "set", "acme", "--max-sessions", "2", "--revision", &seen]);
    assert_eq!((problem["reason"].as_str(), code), (Some("stale_revision"), 4), "{problem}");
    assert_eq!(problem["current"]["max_sessions"], 7, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains("max_sessions = 7")), "{problem}");
    assert_eq!(tenant(&running, "acme")["max_sessions"], 7);
    // Who does not say what was looked at has the last word.
    assert_eq!(running.ok(&["tenant", "set", "acme", "--max-sessions", "2"])["max_sessions"], 2);
    // Many at once: each is whole, none is lost.
    std::thread::scope(|scope| {
        for n in 1..=8 {
            let running = &running;
            let (key, value) = if n % 2 == 0 { ("--pids-max", 40 + n) } else { ("--cooldown-s", n) };
            scope.spawn(move || running.ok(&["tenant", "set", "acme", key, &value.to_string()]));
        }
    });
    let keys: Vec<Value> =
        tenant(&running, "acme")["orders"].as_array().into_iter().flatten().map(|it| it["key"].clone()).collect();
    assert_eq!(keys, ["circuit_breaker.cooldown_s", "max_sessions", "wall.pids_max"]);
}

#[test]
fn a_value_that_the_file_would_refuse_is_refused_with_field_value_and_remedy() {
    let running = Setup::new(&config(AGENCY)).start();
    for (arguments, words) in [
        (["--max-sessions", "0"], "max_sessions"),
        (["--host-scope", "both"], "host_scope"),
        (["--cooldown-s", "soon"], "circuit_breaker.cooldown_s"),
    ] {
        let (problem, code) = running.json(&[&["tenant", "set", "acme"][..], &arguments].concat());
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(code, 2, "{problem}");
        assert!(detail.contains(words) && detail.contains(arguments[1]), "{detail}");
    }
    assert_eq!(running.json(&["tenant", "set", "nobody", "--max-sessions", "4"]).1, 5);
    assert_eq!(running.json(&["tenant", "reset", "acme", "max_sessions"]).1, 2);
    assert_eq!(tenant(&running, "acme")["revision"], 0);
}

#[test]
fn a_cap_below_what_runs_ends_nothing() {
    let running = Setup::new(&config(AGENCY)).start();
    let sessions: Vec<String> = (0..3).map(|_| running.admitted("acme", "wait")).collect();
    running.ok(&["tenant", "set", "acme", "--max-sessions", "1"]);
    rejected(&running, "acme", "tenant_cap");
    assert_eq!(running.snapshot()["sessions_by_tenant"]["acme"], 3);
    for session in &sessions {
        assert_eq!(running.ok(&["session", "show", session])["state"], "live");
    }
}

#[test]
fn a_recycled_host_drops_no_session_and_new_ones_get_another() {
    let running = Setup::new(&config(AGENCY)).start();
    let old_session = running.admitted("acme", "wait");
    let old = running.hosts_of("acme")[0]["host"].as_str().expect("a host").to_owned();
    let shown = running.ok(&["host", "recycle", &old]);
    assert_eq!(shown["condemned"], "recycled", "{shown}");
    let new_session = running.admitted("acme", "wait");
    let host_of = |session: &str| running.ok(&["session", "show", session])["row"]["host"].clone();
    assert_eq!(host_of(&old_session), *old);
    assert_ne!(host_of(&new_session), *old);
    assert!(running.cli(&["session", "end", &old_session]).status.success());
    assert_eq!(running.ended(&old_session)["status"], "cancelled");
    until("the old host is gone", || (running.hosts_of("acme").len() == 1).then_some(()));
    assert_eq!(running.ok(&["session", "show", &new_session])["state"], "live");
    assert_eq!(running.json(&["host", "recycle", "h77.1"]).1, 5);
}

#[test]
fn a_host_that_served_its_number_ends_with_its_last_session_and_a_fresh_one_takes_the_next() {
    let text = config(AGENCY).replace("[supervisor]", "[supervisor]\nrecycle_after_sessions = 2");
    let running = Setup::new(&text).start();
    let host_of = |session: &str| running.ok(&["session", "show", session])["row"]["host"].clone();
    let [first, second, third] = [(); 3].map(|()| running.admitted("acme", "wait"));
    let old = host_of(&first);
    assert_eq!(host_of(&second), old);
    assert_ne!(host_of(&third), old);
    assert!(running.cli(&["session", "end", &first]).status.success());
    running.ended(&first);
    assert_eq!(running.ok(&["session", "show", &second])["state"], "live");
    assert_eq!(running.hosts_of("acme").len(), 2);
    assert!(running.cli(&["session", "end", &second]).status.success());
    until("the old host is gone", || (running.hosts_of("acme").len() == 1).then_some(()));
    assert_eq!(running.ok(&["session", "show", &third])["state"], "live");
    assert_eq!(running.hosts_of("acme")[0]["host"], host_of(&third));
}

#[test]
fn killing_a_tenant_leaves_no_process_of_it_and_every_other_alone() {
    let running = Setup::new(&config(&format!("{AGENCY}[tenants.globex]\n"))).start();
    let other = running.admitted("globex", "wait");
    let own = running.admitted("acme", "wait");
    let pid = running.hosts_of("acme")[0]["pid"].as_u64().expect("a pid");
    let killed = running.ok(&["tenant", "kill", "acme"]);
    assert_eq!(killed["hosts"].as_array().map(Vec::len), Some(1), "{killed}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(running.ended(&own)["reason"], "operator_kill");
    assert_eq!(running.ok(&["session", "show", &other])["state"], "live");
}

#[test]
fn a_broken_file_of_orders_is_named_and_nothing_is_served_without_them() {
    let mut running = Setup::new(&config(AGENCY)).start();
    running.ok(&["tenant", "suspend", "acme"]);
    end(&mut running);
    let path = running.dir().join("state/standing-orders.json");
    let text = fs::read_to_string(&path).expect("orders");
    fs::write(&path, &text[..text.len() / 2]).expect("break it");
    let mut command = running.command(&["run", "--config"]);
    command.arg(running.dir().join("openrtc-supervisor.toml"));
    for (variable, name) in [("RUNTIME_DIRECTORY", "run"), ("STATE_DIRECTORY", "state")] {
        command.env(variable, running.dir().join(name));
    }
    let output = command.output().expect("run it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standing-orders.json") && said.contains("move it away"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("orders"), text[..text.len() / 2], "it was touched");
}

/// Lays a file system without room over a directory, for as long as it lives.
struct NoRoom(std::path::PathBuf);

impl NoRoom {
    fn over(dir: &std::path::Path) -> Self {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k,mode=0711", "none"]).arg(dir).output();
        let mount = mount.expect("run mount");
        assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
        fs::write(dir.join("fill"), [0; 4096]).expect("fill it");
        Self(dir.to_owned())
    }
}

impl Drop for NoRoom {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn can_mount() -> bool {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(dir.path()).output();
    let can = mount.is_ok_and(|output| output.status.success());
    drop(can.then(|| NoRoom(dir.path().to_owned())));
    can
}

/// Where nothing can be stored: a change is refused, a suspension holds and says that it will not last; no session minds.
#[track_caller]
fn shows_what_becomes_of_orders_without_room(running: &Running, session: &str, errno: &str) {
    let (problem, code) = running.json(&["tenant", "set", "acme", "--max-sessions", "1"]);
    assert_eq!((problem["reason"].as_str(), code), (Some("not_stored"), 1), "{problem}");
    assert!(
        problem["detail"].as_str().is_some_and(|it| it.contains(errno) && it.contains("standing-orders.json")),
        "{problem}"
    );
    assert_eq!(tenant(running, "acme")["max_sessions"], 3);
    let output = running.cli(&["tenant", "suspend", "acme"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("will not outlast a restart"), "{said}");
    let acme = tenant(running, "acme");
    assert_eq!((acme["status"].as_str(), acme["orders"][0]["lasting"].as_bool()), (Some("suspended"), Some(false)));
    rejected(running, "acme", "tenant_suspended");
    assert_eq!(running.ok(&["session", "show", session])["state"], "live");
}

#[test]
fn a_full_disk_refuses_a_change_and_a_suspension_holds_with_a_warning() {
    if !can_mount() {
        eprintln!("skipped: a full file system needs the right to mount one");
        return;
    }
    let running = Setup::new(&config(AGENCY)).start();
    let session = running.admitted("acme", "wait");
    let state = running.dir().join("state");
    let full = NoRoom::over(&state);
    shows_what_becomes_of_orders_without_room(&running, &session, "No space left");
    drop(full);
    // There is room again: the next change stores what could not be.
    let acme = running.ok(&["tenant", "set", "acme", "--max-sessions", "1"]);
    let lasting = |it: &Value| it["lasting"].as_bool() == Some(true);
    assert!(acme["orders"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(lasting)), "{acme}");
}

#[test]
fn a_directory_that_cannot_be_written_is_no_worse_than_a_full_disk() {
    let running = Setup::new(&config(AGENCY)).run_by(User::Ordinary).start();
    let session = running.admitted("acme", "wait");
    let state = running.dir().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o511)).expect("close it");
    shows_what_becomes_of_orders_without_room(&running, &session, "Permission denied");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o711)).expect("open it");
    running.ok(&["tenant", "resume", "acme"]);
}
