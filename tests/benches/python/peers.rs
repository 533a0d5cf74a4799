//! The peers' processes, asked line by line.
//!
//! Owns: `peers.py` as a child. Never: measures; it tells what `peers.py` measured.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use openrtc_tests::python::Venv;
use serde_json::Value;

/// `peers.py`, running.
pub(crate) struct Peers {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peers {
    /// From a folder that has the scripts; what they log goes into a file there.
    pub(crate) fn start(venv: &Venv, app: &Path) -> Self {
        let log = File::create(app.join("peers.log")).expect("create the log");
        let mut command = venv.command(&[]);
        command.arg(app.join("peers.py")).current_dir(app).env_remove("PYTHONDONTWRITEBYTECODE");
        for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("start the peers");
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, asks, answers }
    }

    /// One line, and its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let asks = self.asks.as_mut().expect("its input");
        writeln!(asks, "{line}").expect("ask");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{line} was answered with {answer:?}: {error}"))
    }

    /// One line, and a number of its answer.
    pub(crate) fn number(&mut self, line: &str, name: &str) -> f64 {
        let answer = self.ask(line);
        answer[name].as_f64().unwrap_or_else(|| panic!("no {name} in {answer}"))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // At the end of its input it leaves, and its forkserver with it.
        self.asks.take();
        let _ = self.child.wait();
    }
}
