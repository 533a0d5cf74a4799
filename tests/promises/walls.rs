//! The walls stand, are read back, and a required one that cannot stand is no start.

use openrtc_tests::supervisor::is_root;
use openrtc_tests::{Setup, User, until};
use serde_json::Value;

use crate::{ATTACK, attacker, config};

fn walls_of(user: User) -> Vec<Value> {
    let running = Setup::new(&config("[tenants.acme]\n")).run_by(user).start();
    running.dispatch("acme", "wait", &[]);
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    let host = running.hosts_of("acme").remove(0);
    let pid = host["pid"].as_i64().expect("a pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if user == User::Me && is_root() {
        // Without CAP_SETPCAP it cannot be emptied, and under no_new_privs it gives nothing.
        assert_eq!(field("CapBnd:"), "0000000000000000");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    if user == User::Me && is_root() {
        let uid: u32 = field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).expect("a uid");
        assert!((200_000..=265_535).contains(&uid), "uid {uid}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let limit = |name: &str| {
        limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .split_whitespace()
            .rev()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(limit("Max open files"), "1024");
    assert!(limits.lines().any(|line| line.starts_with("Max core file size") && line.contains(" 0 ")));
    host["walls"].as_array().cloned().expect("walls")
}

fn strength(walls: &[Value], name: &str) -> String {
    walls
        .iter()
        .find(|wall| wall["wall"] == name)
        .and_then(|wall| wall["strength"].as_str())
        .unwrap_or("missing")
        .to_owned()
}

#[test]
fn every_wall_of_a_host_is_told_with_its_strength() {
    let walls = walls_of(User::Me);
    for name in ["capabilities", "no_new_privs", "dumpable", "landlock", "seccomp", "parent_death", "rlimits"] {
        assert_eq!(strength(&walls, name), "kernel", "{name}: {walls:?}");
    }
    for name in ["memory", "cpu", "pids"] {
        assert!(["kernel", "sampled"].contains(&strength(&walls, name).as_str()), "{name}: {walls:?}");
    }
}

#[test]
fn an_ordinary_user_gets_weaker_walls_and_is_told_so() {
    let walls = walls_of(User::Ordinary);
    assert_eq!(strength(&walls, "landlock"), "kernel");
    assert_eq!(strength(&walls, "uid"), "absent", "{walls:?}");
    assert_eq!(strength(&walls, "memory"), "sampled", "{walls:?}");
}

#[test]
fn a_required_wall_that_cannot_stand_refuses_the_start_with_the_remedy() {
    let mut running = Setup::new(&config("[wall]\nrequire = [\"network\"]\n")).launch();
    let status = running.child.wait().expect("wait");
    assert!(!status.success());
    let log = running.log();
    assert!(log.contains("network") && log.contains("require"), "{log}");
}

fn cannot_loosen(user: User) {
    let more = format!("{}[tenants.initech]\n", attacker("raise", &["raise"]));
    let running = Setup::new(&config(&more)).program("attack", ATTACK).run_by(user).start();
    let (answer, _) = running.dispatch("initech", "raise", &["--wait"]);
    let session = answer["admitted"]["session"].as_str().unwrap_or_else(|| panic!("{answer}"));
    running.told(session, "done", |told| !told.is_empty());
    for attempt in [
        "setrlimit",
        "dumpable",
        "user_namespace",
        "unix_socket",
        "become_root",
        "oom_score",
        "write_usr",
        "read_shadow",
        "write_tmp",
    ] {
        let told = running.told(session, attempt, |told| !told.is_empty());
        assert_eq!(told[0]["worked"], false, "{attempt}: {told:?}");
    }
    let own = running.told(session, "write_own_directory", |told| !told.is_empty());
    assert_eq!(own[0]["worked"], true, "its own directory is closed to it: {own:?}");
}

#[test]
fn a_host_cannot_loosen_its_own_walls() {
    cannot_loosen(User::Me);
}

#[test]
fn a_host_cannot_loosen_its_own_walls_for_an_ordinary_user() {
    cannot_loosen(User::Ordinary);
}

#[test]
fn a_denied_path_is_named_with_the_line_that_grants_it() {
    let setup = Setup::new(&config("[agents.reader]\ncommand = [\"/bin/sh\", \"-c\", \"cat DIR/secret\"]\n[tenants.acme]\n"));
    let running = setup.file("secret", b"x").start();
    let (answer, _) = running.dispatch("acme", "reader", &["--wait"]);
    let ended = &answer["ended"];
    let path = running.dir().join("secret").display().to_string();
    assert_eq!(
        (ended["reason"].as_str(), ended["reason_detail"]["path"].as_str()),
        (Some("wall_denied"), Some(&*path))
    );
    assert!(ended["error"].as_str().is_some_and(|error| error.contains("read_paths")), "{ended}");
}

#[test]
fn a_wall_that_is_switched_off_is_shouted_about() {
    let running = Setup::new(&config("[wall]\nmemory_max_mb = \"off\"\n")).start();
    assert!(running.log().contains("NO MEMORY WALL"), "{}", running.log());
}
