//! The demo: a small agency with a hostile tenant, and a verdict from what was measured.
//!
//! Owns: the run from start to exit code, and that nothing of it is left behind. Never: is more than a client of the
//! real supervisor, which it starts as a child.
//!
//! ```text
//! stage ──► story ──► findings ──► verdict          agent: what the tenants run
//!   │         └─ client, table                      synth: what they hear
//!   └─ config, props                                livekit: the same with real calls
//! ```

pub mod agent;
mod attached;
pub mod client;
pub mod config;
pub mod findings;
pub mod livekit;
pub mod measure;
pub mod next;
pub mod props;
pub mod stage;
pub mod story;
pub mod synth;
pub mod table;
pub mod verdict;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use client::ClientError;
use findings::Evidence;
use next::Place;
use stage::{Stage, StageError};
use table::{Board, Screen};
use verdict::Verdict;

/// Exit code after Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;
/// Columns of the verdict's text.
const COLUMNS: usize = 100;

/// How the demo is to be run.
#[derive(Debug, Clone, Default)]
pub struct DemoArgs {
    /// Print the verdict as one JSON object on standard output, and progress on standard error.
    pub json: bool,
    /// Leave the agency in this directory, which must be empty or not exist.
    pub keep: Option<PathBuf>,
    /// Tell the story with the calls of a real LiveKit server, made with these.
    pub livekit: Option<livekit::Means>,
    /// Colours on a terminal: `None` unless `NO_COLOR` is set; there are never any elsewhere.
    pub color: Option<bool>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("find its own executable")]
    Executable(#[source] std::io::Error),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Livekit(#[from] livekit::LivekitError),
    #[error("print the verdict")]
    Print(#[source] serde_json::Error),
    #[error("finish: interrupted")]
    Interrupted,
}

/// Everything that is printed at the end.
#[derive(Debug, Serialize)]
struct Summary<F> {
    #[serde(flatten)]
    verdict: Verdict<F>,
    /// Kernel, cores and user.
    machine: String,
    /// From start to verdict.
    seconds: f64,
    /// What to type next.
    next: Vec<String>,
}

/// The signals that end the demo early.
pub(crate) struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    fn listen() -> Result<Self, DemoError> {
        let on = |kind| signal(kind).map_err(DemoError::Signals);
        let signals = [on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?];
        Ok(Self { signals })
    }

    async fn asked(&mut self) -> DemoError {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => (), _ = hangup.recv() => () }
        DemoError::Interrupted
    }
}

fn machine(cores: usize) -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let user = nix::unistd::getuid();
    let user = if user.is_root() { "root".to_owned() } else { format!("uid {user}") };
    format!("Linux {}, {cores} cores, {user}", kernel.trim())
}

/// Breaks a text into lines, each after the first under `indent`.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        if column > indent && column + 1 + word.chars().count() > COLUMNS {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.chars().count();
    }
    lines
}

fn print_text<F>(summary: &Summary<F>, screen: Screen) {
    let color = screen == Screen::Table { color: true };
    let mark = |passed: bool| match (passed, color) {
        (true, true) => "\x1b[32mok\x1b[0m  ",
        (false, true) => "\x1b[31mFAIL\x1b[0m",
        (true, false) => "ok  ",
        (false, false) => "FAIL",
    };
    let verdict = &summary.verdict;
    let word = if verdict.passed { "passed".to_owned() } else { format!("FAILED: {}", verdict.failed().join(", ")) };
    println!("\nVerdict: {word} ({}, {:.1} s)\n", summary.machine, summary.seconds);
    for check in &verdict.checks {
        println!("  {}  {:<23}  {}", mark(check.passed), check.name, wrapped(&check.text, 33));
    }
    if verdict.weaker_walls.is_empty() {
        println!("\nEvery wall around {} is the kernel's.", config::HOSTILE);
    } else {
        println!("\nWeaker or absent walls on this machine:");
    }
    for wall in &verdict.weaker_walls {
        println!("  {:<13} {:<8} {}", wall.wall, verdict::told(wall.strength), wrapped(&wall.by, 25));
    }
    println!("\nNext:");
    for command in &summary.next {
        println!("  {command}");
    }
}

/// The program, the machine and the moment of a run.
struct Run {
    executable: PathBuf,
    cores: usize,
    screen: Screen,
    json: bool,
    started: Instant,
}

impl Run {
    fn begin(args: &DemoArgs) -> Result<Self, DemoError> {
        Ok(Self {
            executable: std::env::current_exe().map_err(DemoError::Executable)?,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            screen: Screen::choose(args.json, args.color),
            json: args.json,
            started: Instant::now(),
        })
    }

    /// Prints the verdict.
    fn finish<F: Serialize>(&self, verdict: Verdict<F>, next: Vec<String>) -> Result<ExitCode, DemoError> {
        let code = verdict.exit_code();
        let seconds = (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        let summary = Summary { verdict, machine: machine(self.cores), seconds, next };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&summary).map_err(DemoError::Print)?);
        } else {
            print_text(&summary, self.screen);
        }
        Ok(code)
    }
}

async fn played(run: &Run) -> Result<Evidence, DemoError> {
    let mut stop = Stop::listen()?;
    let dir = stage::directory()?;
    let config = props::lay(dir.path(), &run.executable, run.cores)?;
    let mut stage = Stage::set(dir, &run.executable, &config)?;
    let board = Board::new(run.screen, &config::TENANTS);
    let play = async {
        stage.ready().await?;
        Ok(story::play(&stage, &board).await?)
    };
    let evidence = tokio::select! {
        evidence = play => evidence,
        stopped = stop.asked() => Err(stopped),
    };
    if let Err(DemoError::Client(_)) = evidence {
        eprintln!("{}", stage.log_tail());
    }
    stage.strike().await;
    evidence
}

/// What can be typed next, from where the user is.
fn next_commands(next: impl FnOnce(Place<'_>) -> Vec<String>) -> Vec<String> {
    let here = std::env::current_dir().unwrap_or_default();
    let search = std::env::var("PATH").ok();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let runtime_dir = nix::unistd::geteuid().is_root() || set("XDG_RUNTIME_DIR") || set("RUNTIME_DIRECTORY");
    next(Place { here: &here, search: search.as_deref(), runtime_dir })
}

async fn perform(args: &DemoArgs) -> Result<ExitCode, DemoError> {
    let run = Run::begin(args)?;
    if let Some(means) = &args.livekit {
        let found = livekit::Found::look(means).map_err(livekit::LivekitError::from)?;
        let mut stop = Stop::listen()?;
        let verdict = livekit::played(&run.executable, &found, run.screen, &mut stop).await?;
        let next = next_commands(|place| next::calls(&run.executable, place, &found.server));
        return run.finish(verdict, next);
    }
    let keep = args.keep.as_deref();
    if let Some(dir) = keep {
        props::can_keep(dir)?;
    }
    let evidence = played(&run).await?;
    if let Some(dir) = keep {
        props::keep(dir, &run.executable, run.cores)?;
    }
    let verdict = verdict::judge(evidence.findings(config::cpu_max_pct(run.cores)));
    run.finish(verdict, next_commands(|place| next::commands(&run.executable, place, keep).into()))
}

/// Runs the demo: 0 if every promise of its verdict was kept, 1 if one was not or it could not be run, 130 if it was
/// interrupted. Nothing is left behind but what `keep` asks for.
pub async fn run(args: DemoArgs) -> ExitCode {
    match perform(&args).await {
        Ok(code) => code,
        Err(DemoError::Interrupted) => {
            eprintln!("demo: interrupted; the supervisor was stopped and its files removed");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            let mut text = format!("demo: failed to {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words_and_none_is_lost() {
        let text = "word ".repeat(60);
        let broken = wrapped(&text, 33);
        assert!(broken.lines().skip(1).all(|line| line.starts_with(&" ".repeat(33)) && line.len() <= COLUMNS));
        assert!(broken.lines().next().unwrap().len() + 33 <= COLUMNS);
        assert_eq!(broken.split_whitespace().count(), 60);
    }
}
