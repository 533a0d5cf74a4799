//! `agent`: list.
//!
//! Owns: how agents are shown. Never: their programs.

use clap::Subcommand;
use openrtc_control_api::Agent;

use super::client::Client;
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::Table;
use super::units;

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All that can be dispatched
    List,
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let Command::List = command;
    let agents: Vec<Agent> = client.get("/v1/agents").await?;
    output.result(&agents, |output, agents| {
        let mut table = Table::new().yielding("AGENT").yielding("RUNTIME").number("SESSIONS");
        for agent in agents {
            let sessions = units::of(agent.active_sessions, agent.max_sessions);
            table.row([(&agent.agent).into(), (&agent.runtime).into(), sessions.into()]);
        }
        output.table(&table, "no agent")
    })?;
    Ok(Exit::Ok)
}
