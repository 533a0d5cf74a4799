//! The callers' process, asked line by line.
//!
//! Owns: `callers.py` as a child. Never: measures; it tells what `callers.py` measured.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use openrtc_tests::livekit_server::LivekitServer;
use openrtc_tests::python::{self, Venv};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::workers::TENANTS;

/// How long a caller waits for its agent; who has not heard by then never will.
const PATIENCE_S: f64 = 25.0;

/// What one caller saw and heard; milliseconds since its dispatch.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) room: String,
    pub(crate) dispatch_unix_ms: f64,
    pub(crate) joined_ms: Option<f64>,
    pub(crate) audio_ms: Option<f64>,
    pub(crate) heard: bool,
    pub(crate) error: Option<String>,
}

/// `callers.py`, running.
pub(crate) struct Callers {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    url: String,
    log: PathBuf,
    rooms: usize,
    _dir: TempDir,
}

impl Callers {
    /// With a native library of their own: pages shared with a worker's would count for half in its memory.
    pub(crate) fn start(venv: &Venv, server: &LivekitServer) -> Self {
        let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("directory");
        let lib = venv.dir().join("lib");
        let python = fs::read_dir(&lib).expect("the environment").flatten().next().expect("its packages").path();
        let own = dir.path().join("liblivekit_ffi.so");
        fs::copy(python.join("site-packages/livekit/rtc/resources/liblivekit_ffi.so"), &own).expect("copy the library");
        let log = dir.path().join("callers.log");
        let mut command = venv.command(&[]);
        command.arg(python::repository("tests/benches/livekit/callers.py")).env("LIVEKIT_LIB_PATH", own);
        command.env("OPENBLAS_NUM_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).expect("create the log"));
        let mut child = command.spawn().expect("start the callers");
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("their output"));
        Self { child, asks, answers, url: server.url(), log, rooms: 0, _dir: dir }
    }

    /// So many calls at once, of all tenants in turn; they go on until [`Callers::hang_up`].
    pub(crate) fn call(&mut self, agent: &str, calls: usize) -> Vec<Heard> {
        let calls: Vec<Value> = (0..calls).map(|_| self.next_call()).collect();
        let asked = json!({ "url": self.url, "agent": agent, "patience_s": PATIENCE_S, "calls": calls });
        let answer = self.ask(&format!("call {asked}"));
        let number = |call: &Value, key: &str| call[key].as_f64();
        let heard = |call: &Value| Heard {
            room: call["room"].as_str().unwrap_or_default().to_owned(),
            dispatch_unix_ms: number(call, "dispatch_unix_ms").unwrap_or(f64::NAN),
            joined_ms: number(call, "joined_ms"),
            audio_ms: number(call, "audio_ms"),
            heard: call["heard"] == true,
            error: call["error"].as_str().map(ToOwned::to_owned),
        };
        answer.as_array().expect("a list of callers").iter().map(heard).collect()
    }

    fn next_call(&mut self) -> Value {
        self.rooms += 1;
        let (room, tenant) = (self.rooms, self.rooms % TENANTS);
        let metadata = json!({ "tenant": format!("t{tenant}"), "agent": "talker" });
        json!({ "room": format!("t{tenant}_{room}"), "metadata": metadata.to_string() })
    }

    /// Ends the calls.
    pub(crate) fn hang_up(&mut self) {
        self.ask("hang up");
    }

    fn ask(&mut self, line: &str) -> Value {
        let asks = self.asks.as_mut().expect("their input");
        writeln!(asks, "{line}").expect("ask");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}\n{}", log()))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        // At the end of their input they leave.
        self.asks.take();
        let _ = self.child.wait();
    }
}
