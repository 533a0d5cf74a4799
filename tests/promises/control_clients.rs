//! Bad clients of the control API: each is named and bounded, sessions run on, and others are served.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use openrtc_tests::{Running, Setup, http, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::config;

/// Longest silence of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(running: &Running) -> UnixStream {
    let stream = UnixStream::connect(running.dir().join("run/control.sock")).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a patient reader");
    stream
}

fn token(running: &Running) -> String {
    std::fs::read_to_string(running.dir().join("run/control.token")).expect("token").trim().to_owned()
}

fn head(running: &Running, request: &str) -> String {
    format!("{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", token(running))
}

/// A supervisor with one session that runs.
fn busy(more: &str) -> (Running, String) {
    let running = Setup::new(&config(more)).start();
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    let session = answer["admitted"]["session"].as_str().expect("admitted").to_owned();
    running.live(&session);
    (running, session)
}

/// The session runs on, and the command line is answered.
fn untouched(running: &Running, session: &str) {
    assert_eq!(running.json(&["session", "show", session]).0["state"], "live");
}

#[test]
fn two_thousand_silent_connections_keep_nobody_out() {
    const MANY: usize = 2_000;
    let limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|most| most > MANY as u64 + 500), "too few descriptors for this test");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("more descriptors");
    let (running, session) = busy("");
    let mut silent = Vec::new();
    for nth in 0..MANY {
        silent.push(connect(&running));
        if nth % 500 == 499 {
            untouched(&running, &session);
        }
    }
    untouched(&running, &session);
    assert!(running.log().contains("closed the oldest that asked nothing"), "nobody was told why");
}

#[test]
fn a_hundred_megabytes_and_a_half_sent_request_are_refused_and_sessions_run_on() {
    let (running, session) = busy("");
    let mut huge = connect(&running);
    write!(huge, "{}Content-Length: 104857600\r\n\r\n", head(&running, "POST /v1/dispatch")).expect("send");
    let mut half = connect(&running);
    write!(half, "{}Content-Length: 100\r\n\r\n{{\"room\":", head(&running, "POST /v1/dispatch")).expect("send");
    let mut headless = connect(&running);
    write!(headless, "GET /v1/snap").expect("send");
    untouched(&running, &session);
    let answer = |stream: &mut UnixStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("cut off in time");
        answer
    };
    assert!(answer(&mut huge).contains("\"reason\":\"body_too_large\""));
    assert!(answer(&mut half).contains("\"reason\":\"body_timeout\""));
    assert!(!answer(&mut headless).contains(" 200 "));
    untouched(&running, &session);
}

#[test]
fn clients_that_read_a_byte_at_a_time_hold_up_nobody() {
    let (running, session) = busy("");
    let mut slow: Vec<UnixStream> = (0..100).map(|_| connect(&running)).collect();
    let mut byte = [0; 1];
    for stream in &mut slow {
        write!(stream, "{}\r\n", head(&running, "GET /v1/openapi.json")).expect("ask");
    }
    for _ in 0..5 {
        for stream in &mut slow {
            stream.read_exact(&mut byte).expect("a byte");
        }
        untouched(&running, &session);
    }
    let mut rest = Vec::new();
    slow[0].read_to_end(&mut rest).expect("the rest");
    assert!(String::from_utf8_lossy(&rest).contains("openrtc-supervisor control API"), "the answer is whole");
}

#[test]
fn a_reader_of_events_that_does_not_read_is_dropped_with_a_reason_and_others_hear_all() {
    const REFUSALS: usize = 6_000;
    let (running, session) = busy("[tenants.shut]\nstatus = \"suspended\"\n");
    let ask = |stream: &mut UnixStream| write!(stream, "{}\r\n", head(&running, "GET /v1/events")).expect("ask");
    let (mut stuck, mut reader) = (connect(&running), connect(&running));
    ask(&mut stuck);
    ask(&mut reader);
    let reading = std::thread::spawn(move || {
        let (mut heard, mut text) = (0, [0; 65_536]);
        let mut rest = Vec::new();
        while heard < REFUSALS {
            let read = reader.read(&mut text).expect("events in time");
            assert!(read > 0, "the reader that reads was dropped");
            rest.extend_from_slice(&text[..read]);
            while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = rest.drain(..end + 2).collect();
                heard += usize::from(event.windows(16).any(|part| part == b"event: rejection"));
            }
        }
    });
    let dir = running.dir().join("run");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..REFUSALS / 4 {
                    let (status, _) =
                        http::post(&dir, "/v1/dispatch", &json!({ "room": "r", "tenant": "shut" })).expect("asked");
                    assert_eq!(status, 409);
                }
            });
        }
    });
    reading.join().expect("every event was heard");
    until("the log names the reader that was dropped", || {
        running.log().contains("a reader of events is dropped").then_some(())
    });
    // Its connection is closed, whether or not it takes the last word.
    let mut rest = Vec::new();
    let _ = stuck.read_to_end(&mut rest);
    untouched(&running, &session);
}

#[test]
fn readers_of_events_are_bounded_and_the_one_too_many_is_told_so() {
    let (running, session) = busy("");
    let mut readers: Vec<UnixStream> = (0..32).map(|_| connect(&running)).collect();
    for reader in &mut readers {
        write!(reader, "{}\r\n", head(&running, "GET /v1/events")).expect("ask");
        assert!(reader.read(&mut [0; 256]).expect("an answer") > 0);
    }
    let mut surplus = connect(&running);
    write!(surplus, "{}\r\n", head(&running, "GET /v1/events")).expect("ask");
    let mut answer = String::new();
    surplus.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_readers"), "{answer}");
    untouched(&running, &session);
}

#[test]
fn the_command_line_says_which_version_the_supervisor_has() {
    let dir = tempfile::tempdir().expect("directory");
    let socket = dir.path().join("control.sock");
    std::fs::write(dir.path().join("control.token"), "0".repeat(64)).expect("token");
    let listener = UnixListener::bind(&socket).expect("listen");
    let body = json!({ "answer": 42 }).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nopenrtc-supervisor-version: 9.9.9\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let output = cli(&socket, &["snapshot"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("it is version 9.9.9 and this command line is"), "{error}");
}

#[test]
fn a_stale_socket_is_told_from_a_supervisor_and_taken_over_by_the_next() {
    let (mut running, _) = busy("");
    running.child.kill().expect("kill");
    running.child.wait().expect("wait");
    let socket = running.dir().join("run/control.sock");
    assert!(socket.exists(), "nothing stale is left");
    let output = cli(&socket, &["snapshot"]);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("Connection refused"), "{error}");
    let mut next = running
        .command(&[])
        .args(["run", "--config", "openrtc-supervisor.toml"])
        .env("RUNTIME_DIRECTORY", running.dir().join("run"))
        .env("STATE_DIRECTORY", running.dir().join("state"))
        .spawn()
        .expect("start the next");
    until("the next one answers", || running.cli(&["snapshot"]).status.success().then_some(()));
    next.kill().expect("kill");
    next.wait().expect("wait");
}

#[test]
fn a_client_finds_the_supervisor_by_its_configuration() {
    let place = tempfile::Builder::new().prefix("ort-").tempdir().expect("directory");
    let below = |name: &str| place.path().join(name).display().to_string();
    let dirs = format!("[supervisor]\nruntime_dir = {:?}\nstate_dir = {:?}\n", below("run"), below("state"));
    let file = place.path().join("agency.toml");
    std::fs::write(&file, format!("config_version = 1\n{dirs}[agents.wait]\ncommand = [\"/bin/cat\"]\n"))
        .expect("write");
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(openrtc_tests::binary());
        command.env_clear().env("PATH", "/usr/bin:/bin").args(arguments);
        command
    };
    let named = ["--config", file.to_str().expect("UTF-8")];
    let ask = || command(&["snapshot"]).args(named).output().expect("ask");
    let none = ask();
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(3), "{error}");
    assert!(error.contains(&below("run")) && !error.contains("root's default"), "one place is tried: {error}");
    let mut running = command(&["run", "--quiet"]).args(named).stderr(Stdio::null()).spawn().expect("start");
    until("it answers", || ask().status.success().then_some(()));
    let by_environment = command(&["snapshot"]).env("OPENRTC_SUPERVISOR_CONFIG", &file).output().expect("ask");
    assert_eq!(by_environment.status.code(), Some(0));
    std::fs::write(&file, "config_version = 1\n[supervisr]\n").expect("write");
    let faulty = ask();
    assert_eq!(faulty.status.code(), Some(2), "another supervisor must not be asked instead");
    let socket = place.path().join("run/control.sock");
    assert!(cli(&socket, &["shutdown"]).status.success());
    assert!(running.wait().expect("its end").success());
}

fn cli(socket: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(openrtc_tests::binary());
    command.arg("--control-socket").arg(socket).args(arguments).output().expect("run")
}

/// What came over one connection until it was closed, as events: id, kind and data.
pub(crate) fn events(text: &str) -> Vec<(String, String, Value)> {
    let field = |event: &str, name: &str| {
        let value = event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        value.trim().to_owned()
    };
    let told = text.split("\n\n").filter(|event| event.contains("event: "));
    told.map(|event| {
        let data = serde_json::from_str(&field(event, "data:")).unwrap_or_default();
        (field(event, "id:"), field(event, "event:"), data)
    })
    .collect()
}
