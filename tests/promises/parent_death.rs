//! A supervisor that is killed takes its hosts with it, and the next one starts clean.

use std::path::Path;

use openrtc_tests::{Setup, User, until};

use crate::config;

fn hosts_die_with_it(user: User) {
    let mut running = Setup::new(&config("[tenants.acme]\n[tenants.globex]\n")).run_by(user).start();
    for tenant in ["acme", "globex"] {
        running.dispatch(tenant, "wait", &[]);
    }
    until("two sessions run", || (running.snapshot()["total_sessions_started"] == 2).then_some(()));
    let pids = running.descendants();
    assert!(pids.len() >= 4, "expected two hosts and two agents: {pids:?}");
    running.signal(rustix::process::Signal::KILL);
    running.child.wait().expect("wait");
    until("every host and agent is gone", || {
        pids.iter()
            .all(|pid| {
                let stat =
                    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
                stat.is_empty() || stat.contains(") Z ")
            })
            .then_some(())
    });
    let output = running
        .command(&[])
        .args(["run", "--config", "openrtc-supervisor.toml"])
        .env("RUNTIME_DIRECTORY", running.dir().join("run"))
        .env("STATE_DIRECTORY", running.dir().join("state"))
        .spawn()
        .expect("start again");
    running.child = output;
    until("the next supervisor answers", || running.cli(&["snapshot"]).status.success().then_some(()));
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}

#[test]
fn a_killed_supervisor_leaves_no_host() {
    hosts_die_with_it(User::Me);
}

#[test]
fn a_killed_supervisor_leaves_no_host_for_an_ordinary_user() {
    hosts_die_with_it(User::Ordinary);
}
