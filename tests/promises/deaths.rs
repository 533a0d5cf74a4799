//! Whatever a host dies of, its sessions end once, with the true reason, and its siblings go on.

use openrtc_tests::{Running, Setup, User, until};

use crate::{ATTACK, attacker, config};

fn attacked(agents: &str, user: User) -> Running {
    let more = format!("{agents}\n[wall]\nmemory_max_mb = 96\n[tenants.acme]\n[tenants.initech]\n");
    Setup::new(&config(&more)).program("attack", ATTACK).run_by(user).start()
}

fn place(running: &Running, agent: &str) -> String {
    let (answer, code) = running.dispatch("initech", agent, &[]);
    assert_eq!(code, 0, "{answer}");
    answer["admitted"]["session"].as_str().expect("a session").to_owned()
}

/// A sibling's session goes on, and the hog's tenant may start again when its back-off is over.
fn only_it_died(running: &Running, sibling: &str) {
    let (row, _) = running.json(&["session", "show", sibling]);
    assert_eq!(row["state"], "live", "the sibling's session was lost: {row}");
    until("its tenant starts again", || (running.dispatch("initech", "echo", &["--wait"]).1 == 0).then_some(()));
}

fn dies_at_the_memory_wall(mode: &str, user: User) {
    let running = attacked(&attacker("hog", &[mode, "400"]), user);
    let (sibling, _) = running.dispatch("acme", "wait", &[]);
    let ended = running.ended(&place(&running, "hog"));
    assert_eq!((ended["status"].as_str(), ended["reason"].as_str()), (Some("failed"), Some("memory_limit")), "{ended}");
    let exit = ended["exit"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(["oom_own_limit", "mem_watchdog"].contains(&exit.as_str()), "{ended}");
    only_it_died(&running, sibling["admitted"]["session"].as_str().expect("a session"));
}

#[test]
fn a_memory_hog_dies_at_its_own_wall() {
    dies_at_the_memory_wall("hog", User::Me);
}

/// Faster than the sampler, it meets the backstop: its own allocation fails and it ends itself.
#[test]
fn a_memory_hog_is_stopped_for_an_ordinary_user_too() {
    let running = attacked(&attacker("hog", &["hog", "400"]), User::Ordinary);
    let (sibling, _) = running.dispatch("acme", "wait", &[]);
    let session = place(&running, "hog");
    let ended = running.ended(&session);
    assert_eq!(ended["status"], "failed", "{ended}");
    let reason = ended["reason"].as_str().unwrap_or_default();
    assert!(["memory_limit", "error"].contains(&reason), "{ended}");
    let held = running.events().iter().any(|line| line["payload"]["name"] == "held_mb");
    assert!(!held, "it held all that it wanted");
    only_it_died(&running, sibling["admitted"]["session"].as_str().expect("a session"));
}

#[test]
fn shared_memory_counts_too() {
    dies_at_the_memory_wall("shared_hog", User::Me);
}

#[test]
fn shared_memory_counts_too_for_an_ordinary_user() {
    dies_at_the_memory_wall("shared_hog", User::Ordinary);
}

#[test]
fn a_busy_loop_does_not_silence_its_siblings() {
    let running = attacked(&attacker("spin", &["spin"]), User::Me);
    place(&running, "spin");
    for _ in 0..5 {
        let (answer, code) = running.dispatch("acme", "echo", &["--wait"]);
        assert_eq!(code, 0, "{answer}");
    }
    let spinning = until("the spinner's CPU was measured", || {
        running.hosts_of("initech")[0]["cpu_pct"].as_f64().filter(|pct| *pct > 20.0)
    });
    assert!(spinning > 0.0);
}

#[test]
fn a_stopped_host_is_condemned_then_killed_as_unresponsive() {
    let more = format!(
        "{}\n[wall]\nheartbeat_interval_s = 0.2\nunresponsive_warn_ms = 200\nunresponsive_kill_s = 1\n[tenants.initech]\n",
        attacker("stop", &["stop"])
    );
    let running = Setup::new(&config(&more)).program("attack", ATTACK).start();
    let session = place(&running, "wait");
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    let pid = running.hosts_of("initech")[0]["pid"].as_i64().expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stop the host");
    let ended = running.ended(&session);
    assert_eq!((ended["status"].as_str(), ended["reason"].as_str()), (Some("failed"), Some("unresponsive")), "{ended}");
    assert_eq!(ended["exit"]["reason"], "stopped", "{ended}");
}

#[test]
fn an_agent_that_stops_itself_ends_on_request() {
    let running = attacked(&attacker("stop", &["stop"]), User::Me);
    let session = place(&running, "stop");
    until("the session runs", || (running.json(&["session", "show", &session]).0["state"] == "live").then_some(()));
    assert!(running.cli(&["session", "end", &session]).status.success());
    assert_eq!(running.ended(&session)["status"], "cancelled");
}

#[test]
fn an_agent_that_ignores_sigterm_is_killed() {
    let running = attacked(&attacker("stubborn", &["ignore_term"]), User::Me);
    let session = place(&running, "stubborn");
    running.told(&session, "ignoring", |told| !told.is_empty());
    assert!(running.cli(&["session", "end", &session]).status.success());
    assert_eq!(running.ended(&session)["status"], "cancelled");
}

#[test]
fn a_sigkill_that_nothing_explains_is_called_so() {
    let running = attacked("", User::Me);
    let session = place(&running, "wait");
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    let pid = running.hosts_of("initech")[0]["pid"].as_i64().expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill the host");
    let ended = running.ended(&session);
    assert_eq!(ended["exit"]["reason"], "unknown_sigkill", "{ended}");
    assert_ne!(ended["reason"], "memory_limit");
}

#[test]
fn an_operators_kill_is_the_operators() {
    let running = attacked("", User::Me);
    let session = place(&running, "wait");
    let host = until("the host is up", || running.hosts_of("initech")[0]["host"].as_str().map(str::to_owned));
    assert!(running.cli(&["host", "kill", &host]).status.success());
    let ended = running.ended(&session);
    assert_eq!(
        (ended["status"].as_str(), ended["reason"].as_str()),
        (Some("cancelled"), Some("operator_kill")),
        "{ended}"
    );
}
