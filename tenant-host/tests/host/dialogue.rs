//! A host says and does what the protocol asks, from its first hello to its goodbye.

use crate::supervisor::{Supervised, info, program, session, start, wait_until, welcome};
use openrtc_ipc::{AgentName, Command, Configure, EndStatus, LogLevel, PROTOCOL, Report, SetupStep, Welcome};

#[test]
fn a_host_is_born_serves_and_leaves_in_good_order() {
    let mut host = Supervised::serving(&["/bin/true"]);
    host.send(&Command::Ping { nonce: 42 });
    assert_eq!(host.next(), Report::Pong { nonce: 42 });
    let ran = host.run();
    assert_eq!((ran.status, ran.error), (Some(EndStatus::Success), None));
    host.send(&Command::Shutdown { grace_ms: 5_000 });
    assert_eq!(host.next(), Report::Bye { reason: "shutdown".into() });
    assert_eq!(host.try_next(), None);
    assert!(host.wait().success());
}

#[test]
fn every_fourth_ping_brings_a_snapshot() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "read line; read end"]);
    host.send(&start(1));
    assert_eq!(host.next(), Report::SessionStarted { session: session(1) });
    for nonce in 1..=8 {
        host.send(&Command::Ping { nonce });
        assert_eq!(host.next(), Report::Pong { nonce });
        if nonce % 4 == 0 {
            let report = host.next();
            let Report::Snapshot(snapshot) = &report else { panic!("{report:?}") };
            assert_eq!(snapshot.sessions, [session(1)]);
            assert_eq!(snapshot.events_dropped, 0);
        }
    }
}

#[test]
fn a_draining_host_finishes_its_sessions_takes_no_more_and_leaves() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "read line; read end"]);
    host.send(&start(1));
    host.until(|report| matches!(report, Report::SessionStarted { .. }));
    host.send(&Command::Drain);
    host.send(&start(2));
    let refused = host.ran(2);
    assert_eq!(refused.status, Some(EndStatus::Cancelled));
    assert!(refused.error.unwrap().contains("draining"));
    host.send(&Command::EndSession { session: session(1), reason: "drained".into() });
    assert_eq!(host.ran(1).status, Some(EndStatus::Cancelled));
    assert_eq!(host.next(), Report::Bye { reason: "drained".into() });
    assert!(host.wait().success());
}

#[test]
fn sigterm_is_a_shutdown() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "read line; read end"]);
    host.send(&start(1));
    host.until(|report| matches!(report, Report::SessionStarted { .. }));
    signal(host.child.id(), nix::sys::signal::Signal::SIGTERM);
    assert_eq!(host.ran(1).status, Some(EndStatus::Cancelled));
    assert_eq!(host.next(), Report::Bye { reason: "terminated".into() });
    assert!(host.wait().success());
}

#[test]
fn a_session_that_cannot_start_is_started_and_failed() {
    let mut host = Supervised::serving(&["/bin/true"]);
    let mut stranger = info(1);
    stranger.agent = AgentName::parse("stranger").unwrap();
    host.send(&Command::StartSession {
        info: stranger,
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: false,
        output: false,
    });
    assert_eq!(host.next(), Report::SessionStarted { session: session(1) });
    let ran = host.ran(1);
    assert_eq!(ran.status, Some(EndStatus::Failed));
    assert_eq!(ran.error.unwrap(), "this host serves no agent stranger");
    host.send(&Command::StartSession {
        info: info(2),
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: true,
        output: false,
    });
    let ran = host.ran(2);
    assert_eq!((ran.status, ran.error.unwrap().as_str()), (Some(EndStatus::Failed), NO_RECORDING));
}

const NO_RECORDING: &str = "the recording announced with the session did not come";

#[test]
fn a_second_start_of_a_session_has_no_second_end() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "read line; read end"]);
    host.send(&start(1));
    host.send(&start(1));
    let seen = host.until(|report| matches!(report, Report::Log { .. }));
    assert!(matches!(seen.last(), Some(Report::Log { level: LogLevel::Warn, .. })));
    host.send(&Command::Shutdown { grace_ms: 2_000 });
    let rest = host.until(|report| matches!(report, Report::Bye { .. }));
    let of = |report: &&Report| matches!(report, Report::SessionStarted { .. } | Report::SessionEnded { .. });
    assert_eq!(seen.iter().chain(&rest).filter(of).count(), 2);
}

#[test]
fn a_wrong_first_command_is_named_on_standard_error() {
    let mut host = Supervised::start();
    host.next();
    host.send(&Command::Drain);
    assert_eq!(host.wait().code(), Some(1));
    assert_eq!(
        host.stderr(),
        "openrtc-tenant-host: failed to start: the supervisor said Drain where Welcome was expected\n"
    );
}

#[test]
fn another_protocol_is_refused_with_both_numbers() {
    let mut host = Supervised::start();
    host.next();
    host.send(&Command::Welcome(Welcome { protocol: PROTOCOL + 1, ..welcome() }));
    let report = host.next();
    assert!(matches!(&report, Report::SetupFailed { step: SetupStep::Hello, .. }), "{report:?}");
    assert_eq!(host.wait().code(), Some(1));
    assert!(host.stderr().contains("speaks protocol 2, this host 1"));
}

#[test]
fn a_wall_that_cannot_be_raised_names_its_step_and_nothing_runs() {
    let mut host = Supervised::start();
    host.next();
    let mut lockdown = host.lockdown();
    lockdown.work_dir = host.path("absent");
    host.send(&Command::Welcome(Welcome { lockdown: Some(lockdown), ..welcome() }));
    let report = host.next();
    let Report::SetupFailed { step, errno, .. } = report else { panic!("{report:?}") };
    assert_eq!((step, errno), (SetupStep::WorkDir, nix::errno::Errno::ENOENT as i32));
    assert_eq!(host.wait().code(), Some(1));
}

#[test]
fn a_configuration_that_is_no_json_fails_the_set_up() {
    let mut host = Supervised::launched();
    host.send(&Command::Proceed { program: None });
    let configure = Configure { agent_config_json: "[".into(), ..host.configure(&["/bin/true"]) };
    host.send(&Command::Configure(configure));
    let report = host.next();
    let Report::SetupFailed { step: SetupStep::Configure, detail, .. } = report else { panic!("{report:?}") };
    assert!(detail.contains("agent_config"), "{detail}");
    assert_eq!(host.wait().code(), Some(1));
}

#[test]
fn a_host_asked_to_leave_before_it_serves_says_goodbye() {
    let mut host = Supervised::launched();
    host.send(&Command::Ping { nonce: 1 });
    assert_eq!(host.next(), Report::Pong { nonce: 1 });
    host.send(&Command::Shutdown { grace_ms: 100 });
    assert_eq!(host.next(), Report::Bye { reason: "shutdown".into() });
    assert!(host.wait().success());
}

#[test]
fn the_end_of_the_channel_ends_the_host_at_any_time() {
    let mut unborn = Supervised::start();
    unborn.socket = None;
    assert!(unborn.wait().success());
    let mut launched = Supervised::launched();
    launched.socket = None;
    assert!(launched.wait().success());
    let mut serving = Supervised::serving(&["/bin/true"]);
    serving.socket = None;
    assert!(serving.wait().success());
}

#[test]
fn a_foreign_program_finds_the_channel_and_its_own_environment() {
    let mut host = Supervised::launched();
    let found = host.path("found");
    let script = format!("readlink /proc/self/fd/3 > {0}.tmp; env >> {0}.tmp; mv {0}.tmp {0}", found.display());
    host.send(&program(&["/bin/sh", "-c", &script]));
    assert!(host.wait().success());
    let text = wait_until("what the program found", || std::fs::read_to_string(&found).ok());
    assert!(text.starts_with("socket:["), "{text}");
    assert!(text.contains("\nOPENRTC_CHANNEL_FD=3\n") && text.contains("\nGREETING=hi\n"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}

#[test]
fn a_foreign_program_that_cannot_be_started_is_told_with_its_errno() {
    let mut host = Supervised::launched();
    host.send(&program(&["/no/such/program"]));
    let report = host.next();
    let Report::SetupFailed { step: SetupStep::Exec, errno, detail } = report else { panic!("{report:?}") };
    assert_eq!(errno, nix::errno::Errno::ENOENT as i32);
    assert!(detail.contains("/no/such/program") && detail.contains("`command`"), "{detail}");
    assert_eq!(host.wait().code(), Some(1));
}

#[test]
fn without_a_channel_the_program_says_what_it_is_for() {
    let run = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_openrtc-tenant-host")).args(arguments).output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("descriptor 3") && text.contains("started by openrtc-supervisor"), "{text}");
    assert_eq!(
        String::from_utf8(run(&["--version"]).stdout).unwrap(),
        concat!("openrtc-tenant-host ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(String::from_utf8(run(&["--help"]).stdout).unwrap().contains("Usage:"));
    assert_eq!(run(&["--no-such"]).status.code(), Some(2));
}

#[test]
fn an_idle_host_has_one_thread() {
    let mut host = Supervised::serving(&["/bin/true"]);
    assert_eq!(host.run().status, Some(EndStatus::Success));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.child.id())).unwrap();
    assert_eq!(tasks.count(), 1);
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}
