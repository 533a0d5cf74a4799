//! `route`: explain.
//!
//! Owns: the options of an explanation, and the one that needs no supervisor. Never: a rule; policy explains itself.

use clap::{Args, Subcommand};

use super::admission::{self, Wanted};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::{Asked, here};

const EXAMPLES: &str = "\
Examples:
  openrtc-supervisor route explain --room call-1 --metadata '{\"tenant\":\"acme-corp\"}'
  openrtc-supervisor route explain --room call-1 --tenant acme-corp --offline

Exit codes: 0 would be admitted, 4 would be refused.";

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Which agent a dispatch would get, and by which rule; nothing is started
    Explain(Explain),
}

/// Options of `route explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    #[command(flatten)]
    wanted: Wanted,
    /// Ask the configuration instead of a supervisor: as if it had just started, and every key could be read
    #[arg(long)]
    offline: bool,
}

pub(super) fn perform(command: Command, asked: &Asked<'_>, output: &Output) -> Result<Exit, CliError> {
    let Command::Explain(options) = command;
    let question = options.wanted.question()?;
    if options.offline {
        return admission::show(&here::explain(asked.global, question)?, output);
    }
    asked.of(async |client| admission::ask(&question, &client, output).await)
}
