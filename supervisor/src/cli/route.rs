//! `route`: explain.
//!
//! Owns: the options of an explanation, and the one that needs no supervisor. Never: a rule; policy explains itself.

use clap::{Args, Subcommand};
use openrtc_control_api::AdmissionQuestion;

use super::admission;
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
    /// The room
    #[arg(long)]
    room: String,
    /// The tenant, over what the metadata says
    #[arg(long)]
    tenant: Option<String>,
    /// The agent, over what routing says
    #[arg(long)]
    agent: Option<String>,
    /// Job metadata, a JSON object
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Room metadata, a JSON object
    #[arg(long, value_name = "JSON")]
    room_metadata: Option<String>,
    /// Ask the configuration instead of a supervisor: as if it had just started, and every key could be read
    #[arg(long)]
    offline: bool,
}

pub(super) fn perform(command: Command, asked: &Asked<'_>, output: &Output) -> Result<Exit, CliError> {
    let Command::Explain(options) = command;
    admission::measure(options.metadata.as_ref(), options.room_metadata.as_ref())?;
    let Explain { room, tenant, agent, metadata, room_metadata, offline } = options;
    let question = AdmissionQuestion { room, tenant, agent, metadata, room_metadata };
    if offline {
        return admission::show(&here::explain(asked.global, question)?, output);
    }
    asked.of(async |client| admission::ask(&question, &client, output).await)
}
