//! The demo's agent programs, as any tenant could have written them: a command agent each.
//!
//! Owns: their side of the command agent's contract: the session as one JSON line on standard input, events as JSON
//! lines on descriptor 3, the recording on descriptor 4. Never: knows the supervisor.

mod attack;
pub mod hostile;
pub mod segment;

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::sys::inherited;

/// Hidden first argument of the executable under which it is one of these agents.
pub const AGENT_ARGUMENT: &str = "__demo-agent";
/// Where events go.
const EVENTS_FD: i32 = 3;
/// Where the recording is.
const INPUT_FD: i32 = 4;

/// Why an agent gave up.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A descriptor of the contract is not there.
    #[error("take over descriptor {fd}")]
    Descriptor {
        /// Which.
        fd: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The session line cannot be read.
    #[error("read the session from standard input")]
    Session(#[source] io::Error),
    /// The session line is no JSON.
    #[error("understand the session on standard input")]
    SessionJson(#[source] serde_json::Error),
    /// An event cannot be written.
    #[error("write an event")]
    Event(#[source] io::Error),
    /// The recording cannot be read.
    #[error("read the recording")]
    Recording(#[source] hound::Error),
    /// The recording is of another kind.
    #[error("recording must be 16 kHz, mono, 16 bit, not {sample_rate} Hz, {channels} channels, {bits} bit")]
    Format {
        /// Samples a second.
        sample_rate: u32,
        /// Channels.
        channels: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// The channel to the supervisor broke.
    #[error("speak to the supervisor")]
    Channel(#[source] io::Error),
    /// There is no such agent.
    #[error("no agent {name:?}: segment, hog, spin, crash, forks, lines, events, frames or escape")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// What the session line says that these agents use: the metadata, as text by key.
#[derive(Debug, Default)]
pub struct Session {
    metadata: serde_json::Map<String, Value>,
}

impl Session {
    fn read(from: impl BufRead) -> Result<Self, AgentError> {
        let mut line = String::new();
        from.take(1 << 20).read_line(&mut line).map_err(AgentError::Session)?;
        let mut session: Value = serde_json::from_str(&line).map_err(AgentError::SessionJson)?;
        let metadata = session.get_mut("metadata").map(Value::take);
        Ok(Self { metadata: metadata.and_then(|value| value.as_object().cloned()).unwrap_or_default() })
    }

    /// A number from the metadata, written as a number or as text.
    pub fn number(&self, key: &str, default: f64) -> f64 {
        let found = self.metadata.get(key).and_then(|value| match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        });
        found.filter(|number: &f64| number.is_finite()).unwrap_or(default)
    }

    /// A text from the metadata.
    fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)?.as_str()
    }
}

/// Where an agent's events go: JSON lines.
#[derive(Debug)]
pub struct Emitter<W: Write> {
    to: W,
}

impl<W: Write> Emitter<W> {
    /// Writes to this.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Emits events as lines, in one write, so that a batch costs one system call.
    pub fn emit(&mut self, events: &[Value]) -> Result<(), AgentError> {
        let mut lines = String::new();
        for event in events {
            lines.push_str(&event.to_string());
            lines.push('\n');
        }
        self.to.write_all(lines.as_bytes()).map_err(AgentError::Event)
    }

    /// Emits one event of the agent's own, stamped with the time in microseconds since 1970.
    fn custom(&mut self, name: &str, mut data: Value) -> Result<(), AgentError> {
        data["at_unix_micros"] = json!(unix_time().as_micros() as u64);
        self.emit(&[json!({"type": "custom", "name": name, "data": data})])
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Lets time pass; an agent's own pacing, in its own process.
#[expect(clippy::disallowed_methods, reason = "a recording is played in real time: there is no condition to wait for")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

fn take(fd: i32) -> Result<File, AgentError> {
    inherited::take(fd).map(File::from).map_err(|source| AgentError::Descriptor { fd, source })
}

fn serve(name: &str) -> Result<(), AgentError> {
    if name == "idle" {
        attack::idle();
        return Ok(());
    }
    let events = take(EVENTS_FD)?;
    if name == "frames" {
        return attack::frames(events.into()).map_err(AgentError::Channel);
    }
    let mut emitter = Emitter::new(events);
    let session = Session::read(io::stdin().lock())?;
    match name {
        "segment" => {
            let recording = take(INPUT_FD)?;
            segment::serve(io::BufReader::new(recording), session.number("pace", 1.0), &mut emitter).map(drop)
        }
        "hog" => hostile::hog(&session, &mut emitter),
        "spin" => hostile::spin(&session, &mut emitter),
        "crash" => hostile::crash(),
        "forks" => attack::forks(&mut emitter),
        "lines" => attack::lines(&session, &mut emitter),
        "events" => attack::events(&session, &mut emitter),
        "escape" => attack::escape(&session, &mut emitter),
        name => Err(AgentError::Unknown { name: name.to_owned() }),
    }
}

/// Runs the agent that the arguments name; those after [`AGENT_ARGUMENT`]. To be called before anything is opened.
pub fn run(args: &[String]) -> ExitCode {
    let name = args.first().map_or("", String::as_str);
    match serve(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("failed to {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_numbers_are_read_from_text_and_from_numbers_and_else_default() {
        let line = br#"{"session_id":"s-1-1","metadata":{"pace":"2.5","stop_mb":512,"bad":"x","nan":"NaN"}}
        "#;
        let session = Session::read(&line[..]).unwrap();
        assert_eq!(session.number("pace", 1.0), 2.5);
        assert_eq!(session.number("stop_mb", 1.0), 512.0);
        assert_eq!(session.number("bad", 3.0), 3.0);
        assert_eq!(session.number("nan", 4.0), 4.0);
        assert_eq!(session.number("absent", 5.0), 5.0);
    }

    #[test]
    fn a_session_line_that_is_no_json_is_an_error() {
        assert!(matches!(Session::read(&b"hello\n"[..]), Err(AgentError::SessionJson(_))));
    }
}
