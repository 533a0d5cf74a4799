//! Caps are hard: a burst cannot overshoot them, and one tenant's cap is not another's.

use openrtc_tests::{Setup, http};
use serde_json::json;

use crate::config;

#[test]
fn a_thousand_simultaneous_dispatches_at_cap_fifty_give_exactly_fifty() {
    let running = Setup::new(&config("[tenants.acme]\nmax_sessions = 50\n")).start();
    let runtime_dir = running.dir().join("run");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..50)
            .map(|caller| {
                let runtime_dir = &runtime_dir;
                scope.spawn(move || {
                    let place = |call: usize| {
                        let room = format!("acme-{caller}-{call}");
                        let body = json!({"room": room, "tenant": "acme", "agent": "wait"});
                        http::post(runtime_dir, "/v1/dispatch", &body).expect("an answer").0
                    };
                    (0..20).map(place).collect::<Vec<u16>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("caller")).collect()
    });
    assert_eq!(statuses.len(), 1000);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 50, "admitted");
    let snapshot = running.snapshot();
    assert_eq!(snapshot["sessions_by_tenant"]["acme"], 50);
    assert_eq!(snapshot["rejections"]["tenant_cap"], 950);
    let (answer, code) = running.dispatch("globex", "echo", &["--wait"]);
    assert_eq!(code, 0, "a sibling was refused while acme was at its cap: {answer}");
}

#[test]
fn a_place_comes_free_when_a_session_ends() {
    let running = Setup::new(&config("[tenants.acme]\nmax_sessions = 1\n")).start();
    let (first, _) = running.dispatch("acme", "wait", &[]);
    let (refused, code) = running.dispatch("acme", "wait", &[]);
    assert_eq!((refused["reason"].as_str(), code), (Some("tenant_cap"), 4));
    let session = first["admitted"]["session"].as_str().expect("a session");
    assert!(running.cli(&["session", "end", session]).status.success());
    assert_eq!(running.ended(session)["status"], "cancelled");
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}
