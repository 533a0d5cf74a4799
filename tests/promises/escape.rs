//! What a tenant forks dies with its host or its session, however it hides.

use std::path::Path;

use openrtc_tests::{Setup, User, until};

use crate::{ATTACK, attacker, config};

fn daemon_dies(user: User) {
    let more = format!("{}[tenants.initech]\n", attacker("daemon", &["daemon"]));
    let running = Setup::new(&config(&more)).program("attack", ATTACK).run_by(user).start();
    let (answer, code) = running.dispatch("initech", "daemon", &["--wait"]);
    assert_eq!((answer["ended"]["status"].as_str(), code), (Some("success"), 0), "{answer}");
    until("the daemonised grandchild is gone", || {
        let left = running.descendants().into_iter().filter(|pid| runs_attack(*pid)).count();
        (left == 0).then_some(())
    });
}

fn runs_attack(pid: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"))
        .is_ok_and(|comm| comm.trim() == "attack")
}

#[test]
fn a_daemonised_grandchild_dies_with_its_session() {
    daemon_dies(User::Me);
}

#[test]
fn a_daemonised_grandchild_dies_with_its_session_for_an_ordinary_user() {
    daemon_dies(User::Ordinary);
}

fn fork_bomb_is_bounded(user: User) {
    let more =
        format!("{}[wall]\npids_max = 64\n[tenants.initech]\n[tenants.acme]\n", attacker("bomb", &["fork_bomb"]));
    let running = Setup::new(&config(&more)).program("attack", ATTACK).run_by(user).start();
    let (answer, _) = running.dispatch("initech", "bomb", &[]);
    let session = answer["admitted"]["session"].as_str().expect("a session").to_owned();
    until("the bomb met its bound, or its end", || {
        let stopped = running.events().iter().any(|line| line["payload"]["name"] == "refused_after");
        let (entry, _) = running.json(&["session", "show", &session]);
        (stopped || entry["state"] == "ended").then_some(())
    });
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0, "a sibling could not fork");
    if let Some(host) = running.hosts_of("initech").first().and_then(|host| host["host"].as_str()) {
        running.cli(&["host", "kill", host]);
    }
    until("every process of the bomb is gone", || {
        running.descendants().into_iter().all(|pid| !runs_attack(pid)).then_some(())
    });
}

#[test]
fn a_fork_bomb_is_bounded_and_dies_whole() {
    fork_bomb_is_bounded(User::Me);
}

#[test]
fn a_fork_bomb_is_bounded_and_dies_whole_for_an_ordinary_user() {
    fork_bomb_is_bounded(User::Ordinary);
}
