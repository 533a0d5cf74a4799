//! The command line: one file per noun, each a client of the control API.
//!
//! Owns: the options, the exit codes and what is printed. Never: reaches into the supervisor; what needs none running
//! (`run`, `demo`, `config`) is handed on in [`here`].

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

mod admission;
mod agent;
mod application;
mod audit;
mod breaker;
mod change;
pub mod client;
mod config;
mod dispatch;
mod doctor;
mod drain;
pub mod exit;
pub mod find;
mod generated;
pub mod here;
mod host;
mod livekit;
mod logs;
pub mod output;
mod route;
mod run;
mod runtime;
mod selftest;
mod session;
mod snapshot;
mod snapshot_diff;
pub mod table;
mod tenant;
mod top;
mod units;

use client::Client;
use exit::{CliError, Exit};
use output::{Color, Output};

const EXAMPLES: &str = "\
Examples:
  openrtc-supervisor demo
  openrtc-supervisor run main.py
  openrtc-supervisor --isolation process --config openrtc-supervisor.toml
  openrtc-supervisor dispatch --tenant acme-corp --room call-1 --wait
  openrtc-supervisor session list --ended
  openrtc-supervisor doctor

Exit codes: 0 ok, 1 failure, 2 usage or configuration,
  3 supervisor unreachable, 4 rejected, 5 not found, 6 a check failed.";

const GLOBAL: &str = "Options of every command";

/// Runs many tenants' voice agents on one machine, each behind its own process wall.
#[derive(Debug, Parser)]
#[command(name = "openrtc-supervisor", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// Options of `run`, for a command line without a command.
    #[command(flatten)]
    pub server: run::ServerOptions,
    /// The command; without one, `--isolation`, `--config` or a server means `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file; without one, the defaults. A command that asks a supervisor finds it by this file
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "PATH", env = "OPENRTC_SUPERVISOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// How sessions are kept apart; `process` is the only way
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WAY", value_parser = isolation)]
    pub isolation: Option<Isolation>,
    /// The supervisor's socket [env: OPENRTC_SUPERVISOR_CONTROL_SOCKET=] [default: in /run or $XDG_RUNTIME_DIR]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Least grave log line of `run`
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Print results and errors only
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Colours
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// How sessions are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each tenant or session in a process of its own.
    Process,
}

fn isolation(value: &str) -> Result<Isolation, String> {
    match value {
        "process" => Ok(Isolation::Process),
        "coroutine" => Err("sessions in one process are what OpenRTC itself runs: use `openrtc` for that; \
                            here the only value is `process`"
            .to_owned()),
        _ => Err("the only value is `process`".to_owned()),
    }
}

/// Least grave log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what is worth a look.
    Warn,
    /// And what is normal.
    Info,
    /// And what helps to debug.
    Debug,
    /// Everything.
    Trace,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the supervisor in the foreground
    #[command(visible_alias = "start")]
    Run(run::Options),
    /// Show a small agency with a hostile tenant, and measure what its walls are worth
    Demo(DemoOptions),
    /// Ask for an agent session
    Dispatch(dispatch::Options),
    /// Show everything at a glance
    Snapshot(snapshot::Options),
    /// Watch sessions and hosts, live
    Top(top::Options),
    /// Show log lines of a tenant, session or agent
    Logs(logs::Options),
    /// Sessions: list, show, end
    #[command(subcommand)]
    Session(session::Command),
    /// Host processes: list, show, recycle, kill
    #[command(subcommand)]
    Host(host::Command),
    /// Tenants: list, show, health, verify, bundle, suspend, set, reset, rotate-key, drain, kill
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Agents: list
    #[command(subcommand)]
    Agent(agent::Command),
    /// Routing: explain which agent a dispatch would get
    #[command(subcommand)]
    Route(route::Command),
    /// Runtimes of the configuration: list, inspect
    #[command(subcommand)]
    Runtime(runtime::Command),
    /// Circuit breakers: status, trip, reset
    #[command(subcommand)]
    Breaker(breaker::Command),
    /// The LiveKit server: status, simulate, check
    #[command(subcommand)]
    Livekit(livekit::Command),
    /// Tokens for callers: mint
    #[command(subcommand)]
    Token(livekit::TokenCommand),
    /// Read the configuration anew; what runs goes on
    Reload,
    /// Take no new sessions; finish when the last has ended
    Drain,
    /// End every session and finish
    Shutdown,
    /// Show which walls stand on this machine, and what each absent one needs
    Doctor,
    /// Attack this machine's own walls, and say which held
    #[command(subcommand)]
    Selftest(selftest::Command),
    /// The configuration: check, show, init, import, schema
    #[command(subcommand)]
    Config(config::Command),
    /// The audit log: verify, show
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print a completion script for a shell
    Completions(generated::CompletionOptions),
    /// Print the manual page, or write one for each command
    Man(generated::ManOptions),
}

/// Options of `demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DemoOptions {
    /// Keep logs, events and configuration in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "livekit")]
    pub keep: Option<PathBuf>,
    /// Tell the story with real calls: of a LiveKit server, Python agents, and callers that listen
    #[arg(long)]
    pub livekit: bool,
    /// The LiveKit server [env: LIVEKIT_SERVER_BIN=] [default: `livekit-server` of the search path]
    #[arg(long, value_name = "PATH", requires = "livekit")]
    pub server: Option<PathBuf>,
    /// The interpreter, with openrtc_host in it [default: that of the active virtual environment]
    #[arg(long, value_name = "PATH", requires = "livekit")]
    pub python: Option<PathBuf>,
}

/// Reads the command line. A wrong one ends the process with exit code 2, `--help` and `--version` with 0.
pub fn parse() -> Cli {
    Cli::parse()
}

/// Under which first argument this executable becomes which part of a host; only `main.rs` knows.
#[derive(Debug, Clone, Copy)]
pub struct HostArguments {
    /// A tenant host.
    pub host: &'static str,
    /// A zygote.
    pub zygote: &'static str,
    /// A Python host; an interpreter and a plan follow.
    pub python_host: &'static str,
    /// A zygote of those; the same follow.
    pub python_zygote: &'static str,
}

/// Does what was asked, and says how it went.
pub fn execute(cli: Cli, hosts: HostArguments) -> ExitCode {
    let output = Output::new(cli.global.json, cli.global.quiet, cli.global.color);
    match perform(cli, &output, hosts) {
        Ok(code) => code,
        Err(error) if error.reader_left() => Exit::Ok.into(),
        Err(error) => {
            if output.json()
                && let Some(problem) = error.problem()
            {
                // What cannot be printed here cannot be printed below either.
                let _ = output.result(problem, |_, _| String::new());
            }
            output.complain(&format!("error: {}", whole(&error)));
            error.exit().into()
        }
    }
}

/// An error with its causes.
fn whole(error: &CliError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn perform(cli: Cli, output: &Output, hosts: HostArguments) -> Result<ExitCode, CliError> {
    let Cli { global, server, command } = cli;
    let asked = Asked { global: &global, output };
    let Some(command) = command else {
        if global.isolation.is_some() || global.config.is_some() || !server.is_empty() {
            return run::perform(&run::Options { server, ..Default::default() }, &global, output, hosts);
        }
        output.complain(&Cli::command().render_help().to_string());
        return Ok(Exit::Usage.into());
    };
    let exit = match command {
        // These need no supervisor.
        Command::Run(mut options) => {
            options.server = options.server.over(server);
            return run::perform(&options, &global, output, hosts);
        }
        _ if !server.is_empty() => {
            output.complain("error: --livekit-… are options of `run`; a command asks the supervisor that runs");
            return Ok(Exit::Usage.into());
        }
        Command::Demo(options) => return here::demo(&global, &options),
        Command::Config(command) => config::perform(&command, &global, output)?,
        Command::Audit(command) => audit::perform(&command, &global, output)?,
        Command::Runtime(command) => runtime::perform(command, &global, output)?,
        Command::Completions(options) => generated::completions(&options, output)?,
        Command::Man(options) => generated::man(&options, output)?,
        Command::Doctor => doctor::perform(&asked)?,
        Command::Selftest(command) => selftest::perform(&command, output)?,
        Command::Logs(options) => logs::perform(&options, output)?,
        // These ask one.
        Command::Dispatch(options) => asked.of(async |client| dispatch::perform(options, &client, output).await)?,
        Command::Snapshot(options) => asked.of(async |client| snapshot::perform(options, &client, output).await)?,
        Command::Top(options) => top::perform(&options, asked.find_at(options.socket.as_deref())?, output)?,
        Command::Route(command) => route::perform(command, &asked, output)?,
        Command::Session(command) => asked.of(async |client| session::perform(command, &client, output).await)?,
        Command::Host(command) => asked.of(async |client| host::perform(command, &client, output).await)?,
        Command::Tenant(command) => asked.of(async |client| tenant::perform(command, &client, output).await)?,
        Command::Agent(command) => asked.of(async |client| agent::perform(command, &client, output).await)?,
        Command::Breaker(command) => asked.of(async |client| breaker::perform(command, &client, output).await)?,
        Command::Livekit(command) => asked.of(async |client| livekit::perform(command, &client, output).await)?,
        Command::Token(command) => asked.of(async |client| livekit::token(command, &client, output).await)?,
        Command::Reload => asked.of(async |client| change::reload(&client, output).await)?,
        Command::Drain => asked.of(async |client| drain::drain(&client, output).await)?,
        Command::Shutdown => asked.of(async |client| drain::shutdown(&client, output).await)?,
    };
    Ok(exit.into())
}

/// What commands that ask a supervisor have in common.
struct Asked<'a> {
    global: &'a Global,
    output: &'a Output,
}

impl Asked<'_> {
    fn find(&self) -> Result<Client, CliError> {
        self.find_at(None)
    }

    /// The same; a socket that the command itself names goes before.
    fn find_at(&self, socket: Option<&Path>) -> Result<Client, CliError> {
        let variable = |name: &str| -> Option<OsString> { std::env::var_os(name) };
        let socket = socket.or(self.global.control_socket.as_deref());
        let configured = || here::control_socket(self.global);
        Ok(Client::find(find::candidates(socket, variable, configured)?)?)
    }

    fn of<F: Future<Output = Result<A, CliError>>, A>(&self, ask: impl FnOnce(Client) -> F) -> Result<A, CliError> {
        self.of_found(self.find()?, ask)
    }

    fn of_found<F: Future<Output = Result<A, CliError>>, A>(
        &self,
        client: Client,
        ask: impl FnOnce(Client) -> F,
    ) -> Result<A, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
        runtime.block_on(ask(client))
    }
}

/// Names and values, one a line.
fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().map(|(name, value)| format!("{name:width$}  {}\n", table::harmless(value))).collect()
}

#[cfg(test)]
mod tests;
