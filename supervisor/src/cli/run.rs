//! `run`: the supervisor in the foreground, of a configuration or of an application alone.
//!
//! Owns: the choice between the two, and what is said before the start. Never: what running does.

use std::process::ExitCode;

use clap::Args;

use super::exit::CliError;
use super::output::Output;
use super::{Global, HostArguments, application, here};
use crate::application::made;

/// Options of `run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  openrtc-supervisor run --config openrtc-supervisor.toml
  openrtc-supervisor run main.py
  openrtc-supervisor run agents.py:pool

With an application and no configuration: its agents are all that it registers, tenants come from metadata, and of the keys \
that its plugins read those are passed on that are set here. `config import` writes all of that down.")]
pub struct Options {
    /// A Python application in place of --config: main.py, agents.py:pool, my.module:server, or a folder of agents
    #[arg(value_name = "APPLICATION")]
    application: Option<String>,
}

pub(super) fn perform(
    options: &Options,
    global: &Global,
    output: &Output,
    hosts: HostArguments,
) -> Result<ExitCode, CliError> {
    let Some(named) = &options.application else { return here::run(global, hosts) };
    let (place, read) = application::read(named, global)?;
    let made = made::make(&place, &read, &here::request(global))?;
    for said in &made.said {
        output.note(said);
    }
    here::run_with(made.config, global, hosts)
}
