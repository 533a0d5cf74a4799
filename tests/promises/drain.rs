//! A drain takes nothing new and cuts nothing short until its time is over.

use openrtc_tests::{Setup, until};
use rustix::process::Signal;

use crate::config;

#[test]
fn sigterm_lets_sessions_finish_and_then_ends_in_good_order() {
    let mut running =
        Setup::new(&config("[agents.short]\ncommand = [\"/bin/sh\", \"-c\", \"read l; sleep 2\"]\n[tenants.acme]\n"))
            .start();
    let (answer, _) = running.dispatch("acme", "short", &[]);
    let session = answer["admitted"]["session"].as_str().expect("a session").to_owned();
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    running.signal(Signal::TERM);
    running.signal(Signal::TERM);
    until("it refuses new sessions", || {
        (running.dispatch("acme", "echo", &[]).0["reason"] == "draining").then_some(())
    });
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
    let ends: Vec<_> = running.events().into_iter().filter(|line| line["kind"] == "session_end").collect();
    assert_eq!((ends.len(), ends[0]["session_id"].as_str()), (1, Some(session.as_str())));
    assert!(running.log().contains("completed") || ends[0].to_string().contains("completed"), "{ends:?}");
}

#[test]
fn the_drain_time_ends_what_does_not_end_by_itself() {
    let text = config("[tenants.acme]\n").replace("[supervisor]", "[supervisor]\ndrain_timeout_s = 1");
    let mut running = Setup::new(&text).start();
    running.dispatch("acme", "wait", &[]);
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    assert!(running.cli(&["drain"]).status.success());
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
    let ends: Vec<_> = running.events().into_iter().filter(|line| line["kind"] == "session_end").collect();
    assert!(ends[0].to_string().contains("drain_timeout"), "{ends:?}");
}

#[test]
fn the_second_interrupt_forces() {
    let mut running = Setup::new(&config("[tenants.acme]\n")).start();
    running.dispatch("acme", "wait", &[]);
    until("the session runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    running.signal(Signal::INT);
    until("it drains", || (running.snapshot()["draining"] == true).then_some(()));
    running.signal(Signal::INT);
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
}

#[test]
fn one_tenant_drains_while_its_sibling_goes_on() {
    let running = Setup::new(&config("[tenants.acme]\n[tenants.globex]\n")).start();
    running.dispatch("acme", "wait", &[]);
    assert!(running.cli(&["tenant", "drain", "acme"]).status.success());
    assert_eq!(running.dispatch("acme", "echo", &[]).0["reason"], "draining");
    assert_eq!(running.dispatch("globex", "echo", &["--wait"]).1, 0);
}

#[test]
fn a_suspended_tenant_is_refused_and_its_running_sessions_are_left_alone() {
    let running = Setup::new(&config("[tenants.acme]\n")).start();
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    let session = answer["admitted"]["session"].as_str().expect("a session");
    assert!(running.cli(&["tenant", "suspend", "acme"]).status.success());
    assert_eq!(running.dispatch("acme", "echo", &[]).0["reason"], "tenant_suspended");
    assert_eq!(running.json(&["session", "show", session]).0["state"], "live");
    assert!(running.cli(&["tenant", "resume", "acme"]).status.success());
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}
