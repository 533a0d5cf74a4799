//! `logs`: the supervisor's JSON log lines, of one tenant, session or agent.
//!
//! Owns: which lines pass, and how one reads. Never: holds a line of any length, or gives a terminal what it would obey.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::Tone;
use crate::host::line::LineCutter;
use crate::telemetry::escape::escaped;

mod follow;
#[cfg(test)]
mod tests;

/// A line of the supervisor is shorter: 16 KiB of a host's, each byte written out, and the stamp.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// What says whose a line is; it stands before the message, so that no message can forge it.
const STAMP: [&str; 4] = ["tenant", "session_id", "agent_name", "host"];

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct Options {
    /// File of JSON lines; without one, standard input
    file: Option<PathBuf>,
    /// Go on with what is appended, also after the file was replaced or emptied
    #[arg(long, short, requires = "file")]
    follow: bool,
    /// Only this tenant's lines
    #[arg(long)]
    tenant: Option<String>,
    /// Only this session's
    #[arg(long)]
    session: Option<String>,
    /// Only this agent's
    #[arg(long)]
    agent: Option<String>,
    /// Only lines that are at least so grave
    #[arg(long, ignore_case = true)]
    level: Option<Level>,
}

/// How grave a line is, in Python's names and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Level {
    /// Everything.
    Trace,
    /// What helps to debug.
    Debug,
    /// What is normal.
    Info,
    /// What is worth a look.
    #[value(alias = "warn")]
    Warning,
    /// Failures.
    #[value(alias = "critical")]
    Error,
}

/// What passes.
#[derive(Debug, Clone, Default)]
pub(super) struct Sieve {
    same: Vec<(&'static str, String)>,
    level: Option<Level>,
}

impl Sieve {
    pub(super) fn new(options: &Options) -> Self {
        let named = [("tenant", &options.tenant), ("session_id", &options.session), ("agent_name", &options.agent)];
        let same = named.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
        Self { same, level: options.level }
    }

    fn passes_all(&self) -> bool {
        self.same.is_empty() && self.level.is_none()
    }

    fn passes(&self, line: &Map<String, Value>) -> bool {
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let grave = |least: Level| {
            let level = text("level").and_then(|level| Level::from_str(level, true).ok());
            // A level that nobody knows may be a grave one.
            level.is_none_or(|level| level >= least)
        };
        self.same.iter().all(|(key, value)| text(key) == Some(value)) && self.level.is_none_or(grave)
    }
}

/// Takes bytes, gives out the lines that pass.
pub(super) struct Strainer<'a> {
    sieve: Sieve,
    output: &'a Output,
    cutter: LineCutter,
    /// Lines that were no JSON objects and were left out.
    foreign: u64,
}

impl<'a> Strainer<'a> {
    pub(super) fn new(sieve: Sieve, output: &'a Output) -> Self {
        Self { sieve, output, cutter: LineCutter::default(), foreign: 0 }
    }

    /// Takes bytes of the log.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let mut shown = Vec::new();
        let Self { sieve, output, cutter, foreign } = self;
        cutter.push(bytes, LINE_BYTES_MAX, |line| strain(sieve, output, line, &mut shown, foreign));
        self.give(&shown)
    }

    /// Takes what no newline has ended.
    pub(super) fn finish(&mut self) -> Result<(), CliError> {
        let mut shown = Vec::new();
        let Self { sieve, output, cutter, foreign } = self;
        cutter.finish(|line| strain(sieve, output, line, &mut shown, foreign));
        self.give(&shown)
    }

    /// Says what was left out.
    pub(super) fn conclude(&self) {
        if self.foreign > 0 {
            let lines = super::units::counted(self.foreign, "line");
            self.output.note(&format!("{lines} left out: no JSON objects, or longer than {LINE_BYTES_MAX} bytes"));
        }
    }

    fn give(&self, shown: &[u8]) -> Result<(), CliError> {
        if shown.is_empty() { Ok(()) } else { self.output.print_bytes(shown) }
    }
}

fn strain(sieve: &Sieve, output: &Output, line: &[u8], shown: &mut Vec<u8>, foreign: &mut u64) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match serde_json::from_slice::<Map<String, Value>>(line) {
        Ok(_) if line.len() >= LINE_BYTES_MAX => *foreign += 1,
        Ok(object) if sieve.passes(&object) && output.json() => shown.extend_from_slice(&[line, b"\n"].concat()),
        Ok(object) if sieve.passes(&object) => shown.extend_from_slice(readable(&object, output.colored()).as_bytes()),
        Ok(_) => {}
        // What nobody asked to sift is shown, harmless; whose it is, or JSON, cannot be said of it.
        Err(_) if sieve.passes_all() && !output.json() => {
            shown.extend_from_slice(escaped(&String::from_utf8_lossy(line)).as_bytes());
            shown.push(b'\n');
        }
        Err(_) => *foreign += 1,
    }
}

/// One line for a person, as the supervisor itself writes it on a terminal.
fn readable(line: &Map<String, Value>, color: bool) -> String {
    let (dim, plain) = if color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let text = |key: &str| escaped(line.get(key).and_then(Value::as_str).unwrap_or_default());
    let level = text("level");
    let paint = Level::from_str(&level, true).ok().and_then(tone).and_then(Tone::code).filter(|_| color);
    let (paint, unpaint) = paint.map_or(("", ""), |paint| (paint, "\x1b[0m"));
    let name = if level == "WARNING" { "WARN" } else { &level };
    let mut shown = format!("{dim}{}{plain} {paint}{name:>5}{unpaint}", text("timestamp"));
    for name in STAMP {
        if let Some(value) = line.get(name).filter(|value| !value.is_null()) {
            shown.push_str(&format!(" {dim}{name}={plain}{}", value_text(value)));
        }
    }
    shown.push_str(&format!(" {}", text("message")));
    let known = ["timestamp", "level", "logger", "message"];
    for (name, value) in line.iter().filter(|(name, _)| !STAMP.contains(&name.as_str())) {
        if !known.contains(&name.as_str()) {
            shown.push_str(&format!(" {dim}{}={plain}{}", escaped(name), value_text(value)));
        }
    }
    shown.push('\n');
    shown
}

fn tone(level: Level) -> Option<Tone> {
    match level {
        Level::Error => Some(Tone::Bad),
        Level::Warning => Some(Tone::Warn),
        Level::Info => Some(Tone::Good),
        Level::Debug | Level::Trace => None,
    }
}

/// Quoted where it could be taken for more than one value.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => {
            text.clone()
        }
        Value::String(text) => format!("\"{}\"", escaped(&text.replace('"', "\\\""))),
        value => escaped(&value.to_string()).into_owned(),
    }
}

pub(super) fn perform(options: &Options, output: &Output) -> Result<Exit, CliError> {
    let mut strainer = Strainer::new(Sieve::new(options), output);
    match &options.file {
        Some(file) if options.follow => follow::follow(file, &mut strainer, output)?,
        Some(file) => {
            let fault = |source| CliError::File { option: "FILE", path: file.clone(), source };
            let open = std::fs::File::open(file).map_err(fault)?;
            pour(open, &mut strainer, fault)?;
        }
        None if io::stdin().is_terminal() => {
            let detail = "none was named, and standard input is a terminal; name a log file, or pipe one: \
                          `journalctl -u openrtc-supervisor -o cat | openrtc-supervisor logs`"
                .to_owned();
            return Err(CliError::Usage { option: "FILE", detail });
        }
        None => {
            let fault = |source| CliError::File { option: "FILE", path: "/dev/stdin".into(), source };
            pour(io::stdin().lock(), &mut strainer, fault)?;
        }
    }
    strainer.conclude();
    Ok(Exit::Ok)
}

fn pour(
    mut from: impl Read,
    strainer: &mut Strainer<'_>,
    fault: impl Fn(io::Error) -> CliError,
) -> Result<(), CliError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return strainer.finish(),
            Ok(read) => strainer.take(&chunk[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(error)),
        }
    }
}
