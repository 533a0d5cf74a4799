//! A host that breaks the protocol dies for it, alone, and the reason says how it broke it.

use openrtc_tests::{Running, Setup, until};

use crate::{ROGUE, config};

fn rogues(modes: &[&str]) -> Running {
    let mut text = String::from(
        "[wall]\nheartbeat_interval_s = 0.5\nunresponsive_warn_ms = 500\nunresponsive_kill_s = 12\n[tenants.acme]\n[tenants.initech]\n",
    );
    for mode in modes {
        text.push_str(&format!(
            "[runtimes.{mode}]\nkind = \"program\"\ncommand = [\"DIR/rogue\", \"{mode}\"]\n[agents.{mode}]\nruntime = \"{mode}\"\n"
        ));
    }
    Setup::new(&config(&text).replace("initialize_timeout_s = 30", "initialize_timeout_s = 8"))
        .program("rogue", ROGUE)
        .start()
}

/// Runs each mode beside a sibling that must not notice; gives (reason, exit reason, kind).
fn ends(modes: &[&str], check: impl Fn(&str, &serde_json::Value)) {
    let running = rogues(modes);
    let (sibling, _) = running.dispatch("acme", "wait", &[]);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", running.pid())).expect("fds").count();
    until("the sibling runs", || (running.snapshot()["total_sessions_started"] == 1).then_some(()));
    let before = descriptors();
    for mode in modes {
        let (answer, _) = running.dispatch("initech", mode, &[]);
        let session = answer["admitted"]["session"].as_str().unwrap_or_else(|| panic!("{mode}: {answer}")).to_owned();
        check(mode, &running.ended(&session));
    }
    for host in running.hosts_of("initech") {
        running.cli(&["host", "kill", host["host"].as_str().expect("a host")]);
    }
    until("its descriptors are back to what they were", || (descriptors() <= before + 2).then_some(()));
    let (row, _) = running.json(&["session", "show", sibling["admitted"]["session"].as_str().expect("a session")]);
    assert_eq!(row["state"], "live", "the sibling was disturbed: {row}");
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}

fn violation(kind: &'static str) -> impl Fn(&str, &serde_json::Value) {
    move |mode, ended| {
        assert_eq!(ended["reason"], "protocol_violation", "{mode}: {ended}");
        assert_eq!(ended["exit"]["kind"], kind, "{mode}: {ended}");
        assert_eq!(ended["status"], "failed", "{mode}: {ended}");
    }
}

#[test]
fn a_host_that_behaves_is_heard() {
    ends(&["behave"], |mode, ended| assert_eq!(ended["reason"], "completed", "{mode}: {ended}"));
}

#[test]
fn garbage_oversized_and_trailing_frames_end_the_host() {
    ends(&["garbage"], violation("malformed"));
    ends(&["oversized"], violation("oversized"));
    ends(&["unknown_lane"], violation("lane"));
    ends(&["trailing"], violation("trailing"));
}

#[test]
fn a_frame_that_never_ends_is_cut_off() {
    ends(&["slow"], violation("slow"));
}

#[test]
fn a_host_cannot_speak_for_a_session_that_is_not_its_own() {
    ends(&["strangers_event", "strangers_end"], violation("ownership"));
}

#[test]
fn a_report_in_the_wrong_phase_ends_the_host() {
    ends(&["second_ready", "early_event"], violation("phase"));
    ends(&["pong_from_the_future"], violation("pong"));
    ends(&["version"], violation("version"));
}

#[test]
fn a_host_that_says_nothing_is_not_waited_for() {
    ends(&["mute", "never_ready"], |mode, ended| assert_eq!(ended["reason"], "init_timeout", "{mode}: {ended}"));
}

#[test]
fn a_host_that_never_reads_is_not_waited_for() {
    ends(&["never_read"], |mode, ended| {
        let reason = ended["reason"].as_str().unwrap_or_default();
        assert!(["unresponsive", "protocol_violation"].contains(&reason), "{mode}: {ended}");
    });
}

#[test]
fn a_host_that_hangs_up_is_killed() {
    ends(&["hang_up"], |mode, ended| assert_eq!(ended["exit"]["reason"], "ipc_closed", "{mode}: {ended}"));
}

#[test]
fn descriptors_pushed_at_the_supervisor_are_dropped() {
    ends(&["descriptors"], |mode, ended| assert_eq!(ended["reason"], "completed", "{mode}: {ended}"));
}

#[test]
fn a_flood_of_events_is_dropped_and_counted_and_its_siblings_are_served() {
    let running = rogues(&["flood"]);
    let (_, code) = running.dispatch("initech", "flood", &[]);
    assert_eq!(code, 0);
    let dropped = until("events were dropped", || {
        running.hosts_of("initech").first().and_then(|host| host["dropped"].as_u64()).filter(|n| *n > 0)
    });
    assert!(dropped > 0);
    assert_eq!(running.dispatch("acme", "echo", &["--wait"]).1, 0);
}

#[test]
fn a_program_that_is_gone_is_our_fault_and_charges_no_breaker() {
    let text = "[circuit_breaker]\nenabled = true\n[runtimes.gone]\nkind = \"program\"\ncommand = [\"DIR/rogue\", \"behave\"]\n[agents.gone]\nruntime = \"gone\"\n[tenants.initech]\n";
    let text = config(text).replace("[supervisor]", "[supervisor]\nspawn_attempts = 1\nrestart_backoff_s = [0.01]");
    let running = Setup::new(&text).program("rogue", ROGUE).start();
    std::fs::remove_file(running.dir().join("rogue")).expect("remove the program");
    for _ in 0..6 {
        let ended = until("it is admitted", || {
            let (answer, _) = running.dispatch("initech", "gone", &["--wait"]);
            answer["ended"].is_object().then(|| answer["ended"].clone())
        });
        assert_eq!(
            (ended["reason"].as_str(), ended["blame"].as_str()),
            (Some("setup_failed"), Some("platform")),
            "{ended}"
        );
        assert_eq!(ended["reason_detail"]["step"], "exec", "{ended}");
    }
    assert_eq!(running.dispatch("initech", "echo", &["--wait"]).1, 0, "its breaker was charged");
}

#[test]
fn a_program_that_dies_before_hello_or_cannot_run_is_named_as_such() {
    let running = rogues(&["die_before_hello"]);
    let (answer, _) = running.dispatch("initech", "die_before_hello", &["--wait"]);
    assert_eq!(answer["ended"]["status"], "failed", "{answer}");
    assert_ne!(answer["ended"]["reason"], "completed");
}
