//! What one process can do to an equal, a host cannot: not to the supervisor, not to a sibling.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use openrtc_tests::{Setup, User, until};
use serde_json::Value;

use crate::{ATTACK, config};

const ATTACKS: [&str; 15] = [
    "prlimit_supervisor",
    "prlimit_sibling",
    "sched_idle_supervisor",
    "sched_idle_sibling",
    "setpriority_supervisor",
    "setpriority_sibling",
    "environ_supervisor",
    "environ_sibling",
    "mem_supervisor",
    "mem_sibling",
    "control_socket",
    "control_token",
    "chmod_runtime_dir",
    "kill_supervisor",
    "kill_sibling",
];

/// Without a wall each of them works: else the other tests here would show nothing.
#[test]
fn without_a_wall_every_attack_works() {
    let dir = tempfile::tempdir().expect("directory");
    let _listener = UnixListener::bind(dir.path().join("control.sock")).expect("listen");
    std::fs::write(dir.path().join("control.token"), "token").expect("write");
    let (mut one, mut other) = (decoy(), decoy());
    let output = Command::new("/bin/sh")
        .args(["-c", "exec \"$@\" 3>&1", "sh", ATTACK, "equals"])
        .args([one.id().to_string(), other.id().to_string()])
        .arg(dir.path())
        .output()
        .expect("attack");
    let _ = (one.kill(), other.kill(), one.wait(), other.wait());
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for attack in ATTACKS {
        let line = lines.iter().find(|line| line["name"] == attack).unwrap_or_else(|| panic!("{attack}: not tried"));
        assert_eq!(line["data"]["worked"], true, "{line}");
    }
}

/// A process that has begun its work: one that still loads its libraries would end at the first attack.
fn decoy() -> Child {
    let mut decoy =
        Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a decoy");
    let (stdin, stdout) = (decoy.stdin.as_mut().expect("its input"), decoy.stdout.as_mut().expect("its output"));
    stdin.write_all(b"?").expect("ask it");
    stdout.read_exact(&mut [0]).expect("hear from it");
    decoy
}

fn every_attack_fails(user: User, more: &str) {
    let script = "#!/bin/sh\nread session\nexec DIR/attack equals $(cat DIR/targets)\n";
    let text = format!(
        r#"
[agents.equals]
command = ["DIR/equals.sh"]
[wall]
{more}
read_paths = ["DIR/attack", "DIR/targets"]
[tenants.acme]
[tenants.initech]
"#
    );
    let setup = Setup::new(&config(&text)).run_by(user).program("attack", ATTACK);
    let dir = setup.dir().display().to_string();
    let running = setup.script("equals.sh", &script.replace("DIR", &dir)).file("targets", b"").start();
    let (sibling, _) = running.dispatch("acme", "wait", &[]);
    let sibling_pid =
        until("the sibling is up", || running.hosts_of("acme").first().and_then(|host| host["pid"].as_i64()));
    std::fs::write(running.dir().join("targets"), format!("{} {sibling_pid} {dir}/run", running.pid()))
        .expect("targets");
    let (answer, code) = running.dispatch("initech", "equals", &["--wait"]);
    assert_eq!(code, 0, "{answer}");
    let session = answer["admitted"]["session"].as_str().expect("a session");
    running.told(session, "done", |told| !told.is_empty());
    let results: BTreeMap<&str, Value> = ATTACKS
        .iter()
        .map(|attack| (*attack, running.told(session, attack, |told| !told.is_empty())[0].clone()))
        .collect();
    let worked: Vec<_> = results.iter().filter(|(_, result)| result["worked"] != false).collect();
    assert!(worked.is_empty(), "{worked:?}");
    let (row, _) = running.json(&["session", "show", sibling["admitted"]["session"].as_str().expect("a session")]);
    assert_eq!(row["state"], "live", "{row}");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root, to give each tenant a uid of its own")]
fn no_attack_works_between_a_uid_per_tenant() {
    every_attack_fails(User::Me, "");
}

#[test]
fn no_attack_works_between_equal_uids_under_the_filter() {
    every_attack_fails(User::Ordinary, "");
}

#[test]
#[cfg_attr(not(root), ignore = "needs root, to have hosts that are root but for their walls")]
fn no_attack_works_between_equal_root_hosts_under_the_filter() {
    every_attack_fails(User::Me, "run_as = \"same\"\n");
}
