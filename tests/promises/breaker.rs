//! A tenant whose sessions fail is refused for a while, recovers by itself, and its siblings notice nothing.

use openrtc_tests::{Setup, until};

use crate::config;

const BREAKER: &str = "[circuit_breaker]\nenabled = true\ncooldown_s = 2.0\n[tenants.acme]\n[tenants.initech]\n";

fn state(running: &openrtc_tests::Running, tenant: &str) -> String {
    let (status, _) = running.json(&["breaker", "status", "--tenant", tenant]);
    let breakers = status["breakers"].as_array().or(status.as_array()).cloned().unwrap_or_default();
    breakers
        .iter()
        .find(|row| row["tenant"] == tenant)
        .map_or_else(String::new, |row| row["state"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn it_opens_on_the_failing_tenant_alone_and_recovers() {
    let running = Setup::new(&config(BREAKER)).start();
    for _ in 0..5 {
        let (answer, code) = running.dispatch("initech", "fail", &["--wait"]);
        assert_eq!((answer["ended"]["reason"].as_str(), code), (Some("error"), 1), "{answer}");
    }
    let (refused, code) = running.dispatch("initech", "echo", &["--wait"]);
    assert_eq!((refused["reason"].as_str(), code), (Some("circuit_open"), 4), "{refused}");
    assert!(refused["retry_after_s"].as_f64().is_some_and(|s| s > 0.0 && s <= 2.0), "{refused}");
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0, "a sibling was refused");
    until("the breaker lets initech through again", || {
        (running.dispatch("initech", "echo", &["--wait"]).1 == 0).then_some(())
    });
    assert!(running.log().contains("tenant 'initech' opened after 5/5 failures"), "no line tells of it");
}

#[test]
fn four_failures_are_too_few_and_an_operator_may_close_it() {
    let running = Setup::new(&config(BREAKER)).start();
    for _ in 0..4 {
        running.dispatch("initech", "fail", &["--wait"]);
    }
    assert_eq!(state(&running, "initech"), "closed");
    running.dispatch("initech", "fail", &["--wait"]);
    assert_eq!(state(&running, "initech"), "open");
    assert!(running.cli(&["breaker", "reset", "--tenant", "initech"]).status.success());
    assert_eq!(state(&running, "initech"), "closed");
    assert_eq!(running.dispatch("initech", "echo", &["--wait"]).1, 0);
}

#[test]
fn a_host_death_is_one_sample_however_many_sessions_it_carried() {
    let setup = Setup::new(&config(&format!("{BREAKER}{}", crate::attacker("abort", &["abort_host"]))));
    let running = setup.program("attack", crate::ATTACK).start();
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(
            running.dispatch("initech", "wait", &[]).0["admitted"]["session"].as_str().unwrap_or_default().to_owned(),
        );
    }
    until("six sessions run", || (running.snapshot()["sessions_by_tenant"]["initech"] == 6).then_some(()));
    let host = running.hosts_of("initech")[0]["pid"].as_i64().expect("a pid");
    // As its own code would: nothing recorded, nothing explained but the signal.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(host as i32).expect("a pid"),
        rustix::process::Signal::ABORT,
    )
    .expect("signal the host");
    for session in &sessions {
        let ended = running.ended(session);
        assert_eq!(
            (ended["status"].as_str(), ended["reason"].as_str()),
            (Some("failed"), Some("host_signal")),
            "{ended}"
        );
    }
    assert_eq!(state(&running, "initech"), "closed", "one death counted as many");
    assert_eq!(running.snapshot()["total_session_failures"], 6);
}
