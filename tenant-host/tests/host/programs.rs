//! A program of any language finds what its contract promises, and nothing else; what it writes cannot hurt.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use openrtc_ipc::{Command, EndStatus, LogLevel, Report, Secret, SecretText, SessionEvent, Speaker, Usage};
use serde_json::{Value, json};

use crate::supervisor::{Supervised, info, session, start, wait_until};

fn sh(script: &str) -> Supervised {
    Supervised::serving(&["/bin/sh", "-c", script])
}

fn python(script: &str) -> Supervised {
    Supervised::serving(&["python3", "-c", script])
}

#[test]
fn the_first_line_is_the_whole_session() {
    let ran = sh("read -r line; printf '%s\\n' \"$line\"").run();
    assert_eq!(ran.status, Some(EndStatus::Success));
    let line: Value = serde_json::from_str(ran.log(LogLevel::Info)[0]).unwrap();
    let wanted = json!({
        "session_id": "s-00000007-1",
        "tenant": "acme-corp",
        "agent": "a",
        "room": "acme-corp_support-1",
        "job_id": "job-1",
        "metadata": {"tenant": "acme-corp", "caller": "+49"},
        "started_at": "2025-11-22T21:20:00.123Z",
        "deployment_version": "v1.0.0",
        "providers": {"stt": "deepgram/nova-3"},
        "tools": ["order_lookup"],
        "agent_config": {"instructions": "be kind"},
        "input": false,
    });
    assert_eq!(line, wanted);
}

#[test]
fn the_environment_is_the_allowed_list_and_cannot_forge_our_own() {
    let mut host = Supervised::configured(&["/usr/bin/env"], |configure| {
        configure.env.push(("OPENRTC_TENANT".into(), "globex".into()));
        let value = SecretText::new("forged".into());
        configure.secrets.push(Secret { variable: "OPENRTC_SESSION_ID".into(), value });
    });
    let ran = host.run();
    let mut lines: Vec<_> = ran.log(LogLevel::Info).into_iter().map(str::to_owned).collect();
    lines.sort();
    let directory = host.path("s-00000007-1");
    let wanted = [
        "CRM_URL=https://x".to_owned(),
        format!("HOME={}", directory.display()),
        "OPENAI_API_KEY=sk-canary".to_owned(),
        "OPENRTC_AGENT=a".to_owned(),
        "OPENRTC_DEPLOYMENT_VERSION=v1.0.0".to_owned(),
        "OPENRTC_SESSION_ID=s-00000007-1".to_owned(),
        "OPENRTC_TENANT=acme-corp".to_owned(),
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
        format!("TMPDIR={}", directory.display()),
    ];
    assert_eq!(lines, wanted);
}

const OPEN: &str = "for fd in $(seq 0 64); do [ -e /proc/$$/fd/$fd ] && printf '%s ' $fd; done";

#[test]
fn a_program_has_its_four_descriptors_and_no_other() {
    let ran = sh(OPEN).run();
    assert_eq!(ran.log(LogLevel::Info), ["0 1 2 3 "]);
}

#[test]
fn a_recording_is_open_for_reading_on_descriptor_4() {
    let mut host = sh(&format!("cat <&4; {OPEN}; read -r line; echo; echo $line"));
    let path = host.path("call.wav");
    File::create(&path).unwrap().write_all(b"RIFF\n").unwrap();
    let recording = OwnedFd::from(File::open(&path).unwrap());
    host.send_with(
        &Command::StartSession {
            info: info(1),
            job_metadata: String::new(),
            room_metadata: String::new(),
            call: None,
            input: true,
            output: false,
        },
        &[&recording],
    );
    let ran = host.ran(1);
    let lines = ran.log(LogLevel::Info);
    assert_eq!(lines[..2], ["RIFF", "0 1 2 3 4 "]);
    assert!(lines[2].ends_with("\"input\":true}"), "{lines:?}");
}

#[test]
fn each_session_has_a_directory_of_its_own_that_goes_with_it() {
    let mut host = sh("pwd; touch left; mkdir -p a/b; ls -ld . | cut -c1-10");
    let ran = host.run();
    let directory = host.path("s-00000007-1");
    assert_eq!(ran.log(LogLevel::Info), [directory.to_str().unwrap(), "drwx------"]);
    assert!(!directory.exists());
    assert!(host.dir.path().exists());
}

#[test]
fn events_of_every_type_arrive_in_order() {
    let ran = python(
        r#"
import json, os
events = os.fdopen(3, "w")
for event in [
    {"type": "state", "state": "listening"},
    {"type": "turn", "speaker": "user", "text": "grüß Gott", "start_ms": 10, "end_ms": 900},
    {"type": "turn", "speaker": "agent", "text": "", "start_ms": 950, "end_ms": 950},
    {"type": "usage", "llm_tokens_in": 5},
    {"type": "usage", "llm_tokens_in": 5, "stt_ms": 890},
    {"type": "latency", "stage": "llm", "micros": 1234},
    {"type": "log", "level": "error", "message": "no voice"},
    {"type": "custom", "name": "sentiment", "data": {"score": [1, 2.5, None]}},
]:
    events.write(json.dumps(event) + "\n")
"#,
    )
    .run();
    assert_eq!((ran.status, &ran.error), (Some(EndStatus::Success), &None));
    let usage = |stt_ms| SessionEvent::Usage(Usage { llm_tokens_in: 5, stt_ms, ..Usage::default() });
    let wanted = [
        SessionEvent::State { state: "listening".into() },
        SessionEvent::Turn { speaker: Speaker::User, text: "grüß Gott".into(), start_ms: 10, end_ms: 900 },
        SessionEvent::Turn { speaker: Speaker::Agent, text: String::new(), start_ms: 950, end_ms: 950 },
        usage(0),
        usage(890),
        SessionEvent::Latency { stage: "llm".into(), micros: 1234 },
        SessionEvent::Log { level: LogLevel::Error, message: "no voice".into() },
        SessionEvent::Custom { name: "sentiment".into(), json: r#"{"score":[1,2.5,null]}"#.into() },
    ];
    assert_eq!(ran.events, wanted);
}

#[test]
fn bad_lines_are_warned_of_with_their_position_and_hurt_nothing_else() {
    let ran = python(
        r#"
import os
out = os.fdopen(3, "wb")
for line in [
    b'not json', b'', b'[1]', b'{"type":"telepathy"}', b'{"type":"telepathy"}', b'{"type":"state","state":"\xff"}',
    b'{"type":"usage","stt_ms":9}', b'{"type":"usage","stt_ms":8}', b'{"type":"usage","stt_ms":-1}',
    b'{"type":"turn","speaker":"user","text":"","start_ms":2,"end_ms":1}', b'x' * 70000,
    b'{"type":"custom","name":"deep","data":' + b'[' * 5000, b'{"type":"state","state":"well"}',
]:
    out.write(line + b'\n')
"#,
    )
    .run();
    assert_eq!((ran.status, &ran.error), (Some(EndStatus::Success), &None));
    let warnings = ran.log(LogLevel::Warn);
    let wanted = [
        "line 1: line is not JSON: expected ident at line 1 column 2",
        "line 3: line is not a JSON object",
        "line 4: event type is unknown: \"telepathy\"",
        "line 6: line is not JSON: invalid unicode code point",
        "line 8: usage is cumulative: stt_ms must not fall from 9 to 8",
        "line 9: event of type usage is wrong: invalid value: integer `-1`",
        "line 10: a turn must not end (1 ms) before it starts (2 ms)",
        "line 11: line is longer than 61440 bytes",
        "line 12: line is not JSON: recursion limit exceeded",
        "2 events of unknown types in all",
    ];
    assert_eq!(warnings.len(), wanted.len(), "{warnings:#?}");
    for (warning, wanted) in warnings.iter().zip(wanted) {
        assert!(warning.starts_with("descriptor 3") && warning.contains(wanted), "{warning}\nis not\n{wanted}");
    }
    let good = ran.events.iter().filter(|event| !matches!(event, SessionEvent::Log { .. })).count();
    assert_eq!(good, 2, "{:?}", ran.events);
}

#[test]
fn a_thousand_bad_lines_make_ten_warnings_and_a_sum() {
    let ran = sh("for i in $(seq 1000); do echo bad >&3; done").run();
    let warnings = ran.log(LogLevel::Warn);
    assert_eq!(warnings.len(), 11);
    assert_eq!(warnings[10], "descriptor 3: 1000 bad lines in all");
}

#[test]
fn output_is_the_session_s_log_line_by_line_and_long_lines_are_cut() {
    let ran = sh("echo out; echo err >&2; printf 'last'; head -c 40000 /dev/zero | tr '\\0' x >&2").run();
    assert_eq!(ran.log(LogLevel::Info), ["out", "last"]);
    let errors = ran.log(LogLevel::Warn);
    assert_eq!((errors.len(), errors[0]), (2, "err"));
    assert!(errors[1].len() <= 16 * 1024 && errors[1].ends_with("… (cut)"), "{} bytes", errors[1].len());
}

#[test]
fn a_failure_tells_its_exit_code_or_signal_and_the_last_error_line() {
    let ran = sh("echo first >&2; echo 'no such voice' >&2; echo >&2; exit 3").run();
    assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Failed), Some("exit code 3: no such voice")));
    let ran = sh("kill -SEGV $$").run();
    assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Failed), Some("signal 11 (SIGSEGV)")));
}

#[test]
fn a_program_that_cannot_start_names_its_path_and_the_remedy() {
    let ran = Supervised::serving(&["/no/such/program"]).run();
    assert_eq!(ran.status, Some(EndStatus::Failed));
    let error = ran.error.unwrap();
    assert!(error.contains("/no/such/program") && error.contains("check `command`"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("agent.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o644)).unwrap();
    let not_executable = Supervised::serving(&[script.to_str().unwrap()]).run().error.unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let behind_the_wall = Supervised::narrow().with(&[script.to_str().unwrap()], |_| {}).run().error.unwrap();
    for error in [not_executable, behind_the_wall] {
        assert!(error.contains("agent.sh") && error.contains("[wall] read_paths"), "{error}");
    }
    assert_eq!(Supervised::serving(&[script.to_str().unwrap()]).run().status, Some(EndStatus::Success));
}

#[test]
fn a_program_that_neither_reads_nor_writes_still_succeeds() {
    let ran = sh("exec <&- >&- 2>&- 3>&-; exec true").run();
    assert_eq!((ran.status, ran.error), (Some(EndStatus::Success), None));
}

#[test]
fn sessions_run_side_by_side_and_one_failure_is_one_failure() {
    let mut host = sh("read -r line; case $line in *s-00000007-2*) exit 9;; esac; read -r end; echo $end");
    for seq in 1..=3 {
        host.send(&start(seq));
    }
    assert_eq!(host.ran(2).error.as_deref(), Some("exit code 9"));
    for seq in [1, 3] {
        host.send(&Command::EndSession { session: session(seq), reason: "operator_kill".into() });
        let ran = host.ran(seq);
        assert_eq!(ran.status, Some(EndStatus::Cancelled));
        assert_eq!(ran.log(LogLevel::Info), [r#"{"type":"end","reason":"operator_kill"}"#]);
    }
}

#[test]
fn when_the_supervisor_does_not_read_events_are_dropped_and_counted_but_no_end_is() {
    let mut host = python(
        r#"
import os
out = os.fdopen(3, "w", 1 << 16)
for i in range(20000):
    out.write('{"type":"custom","name":"n","data":"%s"}\n' % ("x" * 200))
out.close()
open(os.path.join("..", "written"), "w").close()
"#,
    );
    host.send(&start(1));
    let written = host.path("written");
    wait_until("every event is written", || written.exists().then_some(()));
    let ran = host.ran(1);
    assert_eq!((ran.status, ran.error), (Some(EndStatus::Success), None));
    (1..=4).for_each(|nonce| host.send(&Command::Ping { nonce }));
    let reports = host.until(|report| matches!(report, Report::Snapshot(_)));
    let Some(Report::Snapshot(snapshot)) = reports.last() else { panic!("{reports:?}") };
    assert!(snapshot.events_dropped > 0);
    assert_eq!(ran.events.len() as u64 + snapshot.events_dropped, 20_000);
}
