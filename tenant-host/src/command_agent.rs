//! The built-in `command` runtime: any program in any language is an agent (`docs/command-agent.md`).
//!
//! Owns: the conversation with one program per session. Never: lets what a program writes end its session, or lets
//! anything of it outlive the session.
//!
//! ```text
//! started ──exit──► reaped, tree killed ──► ended
//!    └──end requested──► end line ──half the grace──► SIGTERM, SIGCONT ──the grace──► SIGKILL ──exit──► …
//! ```

pub(crate) mod contract;
pub(crate) mod events;
pub(crate) mod lines;
pub(crate) mod output;
pub(crate) mod program;
pub(crate) mod tree;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use openrtc_ipc::AgentName;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::agent::{Agent, AgentError, LocalBoxFuture};
use crate::command_agent::contract::{end_line, session_line};
use crate::command_agent::output::{Output, pump_events, pump_log};
use crate::command_agent::program::{Ended, Pipes, Program, StartError};
use crate::command_agent::tree::Trees;
use crate::session::{EndRequest, Session};
use crate::settings::{Settings, SettingsError};

/// How long what a program wrote before its end may take to be read.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Why a program's session failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("write the session as JSON")]
    Line(#[source] serde_json::Error),
    #[error("watch the program")]
    Watch(#[source] io::Error),
    #[error("exit code {code}{}", after_colon(last_line))]
    Code { code: i32, last_line: Option<String> },
    #[error("signal {} ({signal}){}", *signal as i32, after_colon(last_line))]
    Signal { signal: Signal, last_line: Option<String> },
    #[error("its end could not be read")]
    Unknown,
}

fn after_colon(line: &Option<String>) -> String {
    line.as_ref().map(|line| format!(": {line}")).unwrap_or_default()
}

/// An agent that is a program.
#[derive(Debug)]
pub(crate) struct CommandAgent {
    name: AgentName,
    argv: Vec<String>,
    settings: Rc<Settings>,
    trees: Rc<Trees>,
}

impl CommandAgent {
    /// The agents of a configuration.
    pub(crate) fn all(settings: &Rc<Settings>, trees: &Rc<Trees>) -> Result<Vec<Rc<dyn Agent>>, SettingsError> {
        let agents = settings.commands().map(|(name, argv)| {
            if argv.is_empty() {
                return Err(SettingsError::NoCommand { agent: name.clone() });
            }
            let (name, argv) = (name.clone(), argv.to_vec());
            let agent = Self { name, argv, settings: Rc::clone(settings), trees: Rc::clone(trees) };
            Ok(Rc::new(agent) as Rc<dyn Agent>)
        });
        agents.collect()
    }

    async fn converse(&self, session: Session) -> Result<(), CommandError> {
        let input = session.input();
        let first_line = session_line(&session, input.is_some()).map_err(CommandError::Line)?;
        let (program, pipes) = Program::start(&self.argv, &session, input.as_ref(), &self.settings, &self.trees)?;
        drop(input);
        let Pipes { stdin, stdout, stderr, events } = pipes;
        let output = Output::default();
        let mut pumps = std::pin::pin!(async {
            tokio::join!(
                pump_log(&session, stdout, openrtc_ipc::LogLevel::Info, &output),
                pump_log(&session, stderr, openrtc_ipc::LogLevel::Warn, &output),
                pump_events(&session, events),
            );
        });
        let pumped = Cell::new(false);
        let talk = async {
            tokio::join!(feed(stdin, first_line, &session), async {
                (&mut pumps).await;
                pumped.set(true);
            });
            std::future::pending::<()>().await;
        };
        tokio::select! {
            watched = wait_or_kill(&program, session.end_watch()) => watched.map_err(CommandError::Watch)?,
            () = talk => {}
        }
        let ended = program.reap().await;
        // With its whole tree dead nobody holds the pipes; one that escaped must not hold the session.
        if !pumped.get() {
            let _ = timeout(LAST_OUTPUT, pumps).await;
        }
        match ended {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => Err(CommandError::Code { code, last_line: output.last_error_line() }),
            Ended::Signal(signal) => Err(CommandError::Signal { signal, last_line: output.last_error_line() }),
            Ended::Unknown => Err(CommandError::Unknown),
        }
    }
}

impl Agent for CommandAgent {
    fn name(&self) -> AgentName {
        self.name.clone()
    }

    fn run(&self, session: Session) -> LocalBoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async move { Ok(self.converse(session).await?) })
    }
}

/// Writes the session's line, waits for the request to end, writes that, and closes standard input. A program that
/// does not read, or has closed its end, misses them and nothing else.
async fn feed(mut stdin: pipe::Sender, first_line: String, session: &Session) {
    if stdin.write_all(first_line.as_bytes()).await.is_err() {
        return;
    }
    drop(first_line);
    let request = session.end_requested().await;
    if let Ok(line) = end_line(&request.reason) {
        let _ = stdin.write_all(line.as_bytes()).await;
    }
}

/// What is done next to a program that was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Terminate,
    Kill,
    Wait,
}

/// Waits for the program's end; once it is asked to end, signals it at half the grace and kills it at the whole.
async fn wait_or_kill(program: &Program, mut end: watch::Receiver<Option<EndRequest>>) -> io::Result<()> {
    let mut asked_at = None;
    let mut step = Step::Terminate;
    loop {
        let deadline = end.borrow_and_update().as_ref().map(|request| request.deadline);
        let due = deadline.and_then(|deadline| {
            let asked_at = *asked_at.get_or_insert_with(Instant::now);
            match step {
                Step::Terminate => Some(asked_at + deadline.saturating_duration_since(asked_at) / 2),
                Step::Kill => Some(deadline),
                Step::Wait => None,
            }
        });
        tokio::select! {
            ended = program.ended() => return ended,
            Ok(()) = end.changed() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => step = perform(program, step),
        }
    }
}

fn perform(program: &Program, step: Step) -> Step {
    match step {
        Step::Terminate => {
            program.signal(Signal::SIGTERM);
            program.signal(Signal::SIGCONT);
            Step::Kill
        }
        Step::Kill | Step::Wait => {
            program.signal(Signal::SIGKILL);
            Step::Wait
        }
    }
}
