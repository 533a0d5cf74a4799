//! Python agents run unmodified behind their walls, each tenant's with its own key.

use std::fs;
use std::path::{Path, PathBuf};

use openrtc_tests::{Running, Setup, python, until};
use serde_json::{Value, json};

/// What a call of the example's recording consists of.
const UTTERANCES: usize = 3;

fn recording() -> PathBuf {
    python::repository("examples/agency/call.wav")
}

/// The example agency, as it stands in the repository.
fn agency() -> Running {
    let venv = python::required();
    let config = python::repository("examples/python/openrtc-supervisor.toml");
    let setup = Setup::of_file(config).env("VIRTUAL_ENV", venv.dir());
    let events = setup.dir().join("state/events.jsonl");
    setup.env("OPENRTC_SUPERVISOR_OBSERVERS__JSONL__PATH", events).start()
}

/// What user and agent say when `greeting` begins the call of the example's recording.
fn conversation(greeting: &str) -> Vec<(String, String)> {
    let mut said = vec![("agent".to_owned(), greeting.to_owned())];
    for number in 1..=UTTERANCES {
        said.push(("user".to_owned(), format!("utterance {number}")));
        said.push(("agent".to_owned(), format!("I heard utterance {number}.")));
    }
    said
}

fn turn(turn: &Value) -> (String, String) {
    let text = |key: &str| turn[key].as_str().unwrap_or_default().to_owned();
    (text("speaker"), text("text"))
}

/// What was said in a session, as its host told it, once nothing is missing that `expected` has.
fn said(running: &Running, session: &str, expected: usize) -> Vec<(String, String)> {
    until("every turn is written down", || {
        let events = running.events();
        let events = events.iter().filter(|event| event["session_id"] == session && event["payload"]["type"] == "turn");
        let said: Vec<_> = events.map(|event| turn(&event["payload"])).collect();
        (said.len() >= expected).then_some(said)
    })
}

/// The seconds of sound in a WAV file of 16 bits a sample, whatever stands in its header.
fn seconds_of_sound(wav: &[u8]) -> f64 {
    let number =
        |at: usize, size: usize| wav[at..at + size].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    assert_eq!((&wav[..4], &wav[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let (channels, rate_hz) = (number(22, 2), number(24, 4));
    let samples = wav[44..].chunks_exact(2).filter(|sample| i16::from_le_bytes([sample[0], sample[1]]).abs() > 100);
    samples.count() as f64 / (channels * rate_hz) as f64
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_examples_work_with_the_frameworks_alone() {
    let venv = python::required();
    let recording = recording();
    let call = ["--input", recording.to_str().expect("a path in UTF-8")];
    for (script, greeting) in
        [("main.py", "Hello, this is support on no key."), ("plain.py", "Hello, this is the reception on no key.")]
    {
        let told = venv.alone(&python::repository("examples/python").join(script), &call);
        assert_eq!(
            (told["turns"].as_array().into_iter().flatten().map(turn).collect::<Vec<_>>(), &told["error"]),
            (conversation(greeting), &Value::Null),
            "{script}: {told}"
        );
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_example_agency_takes_a_call_behind_its_walls_with_the_tenants_own_key() {
    let running = agency();
    let output = running.dir().join("answer.wav");
    for (tenant, agent, greeting) in [
        // The fingerprints of the sample keys beside the example.
        ("acme-corp", "support", "Hello, this is support on key 7a95d8c0."),
        ("globex", "energy", "Hello, your meter please, on key ff885786."),
    ] {
        let recording = recording();
        let (input, output) = (recording.to_str().expect("a path"), output.to_str().expect("a path"));
        let (answer, code) = running.dispatch(tenant, agent, &["--input", input, "--output", output, "--wait"]);
        assert_eq!((answer["ended"]["status"].as_str(), code), (Some("success"), 0), "{answer}\n{}", running.log());
        let session = answer["ended"]["session_id"].as_str().expect("a session");
        assert_eq!(said(&running, session, 1 + 2 * UTTERANCES), conversation(greeting));
        let usage = &answer["ended"]["usage"];
        assert!(usage["llm_tokens_out"].as_u64() > Some(10) && usage["tts_characters"].as_u64() > Some(60), "{usage}");
        let heard = seconds_of_sound(&fs::read(output).expect("the recording of the agent"));
        assert!((2.0..6.0).contains(&heard), "{heard} s of tones");
    }
    assert_eq!(running.hosts_of("acme-corp").len() + running.hosts_of("globex").len(), 2, "{}", running.snapshot());
    let (refused, code) = running.dispatch("acme-corp", "energy", &["--wait"]);
    assert_eq!((&refused["reason"], code), (&json!("agent_not_allowed"), 4), "{refused}");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_settings_that_are_documented_are_those_that_hosts_act_by() {
    let script = python::repository("tests/python/settings_table.py");
    let output = python::required().command(&[]).arg(script).output().expect("run the interpreter");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let acted = String::from_utf8_lossy(&output.stdout);
    let page = fs::read_to_string(python::repository("docs/python.md")).expect("docs/python.md");
    let (_, documented) = page.split_once("<!-- settings: begin").expect("the table's begin");
    let (_, documented) = documented.split_once("-->\n").expect("the end of its first line");
    let (documented, _) = documented.split_once("<!-- settings: end -->").expect("the table's end");
    assert_eq!(documented.trim(), acted.trim(), "write the output of tests/python/settings_table.py there");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn the_python_package_is_typed_and_clean_and_passes_its_own_tests() {
    let venv = python::required();
    let package = python::repository("tenant-host/python");
    let cache = venv.dir().join("mypy-cache").display().to_string();
    let lint =
        ["-m", "ruff", "check", "--no-cache", "--isolated", "--line-length", "120", "--select", "E,F,W,I,UP,B", "."];
    examine(&package, &lint);
    examine(&package, &["-m", "mypy", "--strict", "--cache-dir", &cache, "-p", "openrtc_host"]);
    // Apart from the sources, so that they examine what is installed.
    let dir = tempfile::tempdir().expect("temporary directory");
    let tests = dir.path().join("tests");
    lay(&package.join("tests"), &tests);
    assert!(tests.join("sessions/test_main_path.py").is_file(), "the tests of sessions are not examined");
    examine(&tests, &["-m", "pytest", "-q", "-p", "no:cacheprovider", "."]);
}

/// Copies a folder with all below it.
fn lay(from: &Path, to: &Path) {
    fs::create_dir(to).expect("create a directory");
    for entry in fs::read_dir(from).expect("a folder of tests").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            lay(&from, &to);
        } else {
            fs::copy(from, to).expect("lay a test");
        }
    }
}

#[track_caller]
fn examine(folder: &Path, arguments: &[&str]) {
    let output = python::required().command(arguments).current_dir(folder).output().expect("run the interpreter");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
}
