//! `top`: sessions and hosts, live, in the manner of OpenRTC's and htop's.
//!
//! Owns: the options (semantics E5) and which of the three ways to show: live, one frame, JSON. Never: decides; what it
//! orders it asks the supervisor for.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use openrtc_control_api::Snapshot;
use openrtc_ipc::{AgentName, TenantId};

use super::client::Client;
use super::exit::{CliError, Exit};
use super::output::Output;

mod detail;
mod header;
mod keys;
mod live;
mod once;
mod overlay;
mod pen;
mod rows;
mod source;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use state::{Settings, State};

/// Options of `top`, with OpenRTC's names.
#[derive(Debug, Args)]
pub struct Options {
    /// The supervisor's control socket; the same as --control-socket
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print one frame as plain text and leave
    #[arg(long)]
    once: bool,
    /// Looks a second, 0.5 to 10
    #[arg(long, value_name = "HZ", default_value_t = 1.0, value_parser = refresh_rate)]
    refresh_rate: f64,
    /// What comes first
    #[arg(long, value_name = "KEY", default_value = "mem_mb")]
    sort: SortKey,
    /// Only what stands so
    #[arg(long, value_name = "STATUS", default_value = "all")]
    status: StatusFilter,
    /// Only this agent's sessions and their hosts
    #[arg(long)]
    agent: Option<AgentName>,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
}

fn refresh_rate(text: &str) -> Result<f64, String> {
    let hz = text.parse::<f64>().ok().filter(|hz| (0.5..=10.0).contains(hz));
    hz.ok_or_else(|| "give a number from 0.5 to 10".to_owned())
}

/// What comes first: numbers with the greatest first, words in their order. Of hosts, `agent_name` is the runtime and
/// `session_id` the host's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum SortKey {
    /// Memory.
    MemMb,
    /// CPU.
    CpuPct,
    /// For how long.
    DurationS,
    /// The host's loop lag.
    LagMs,
    /// The agent.
    AgentName,
    /// The tenant.
    Tenant,
    /// The id.
    SessionId,
}

/// Only what stands so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum StatusFilter {
    /// All.
    All,
    /// Running well.
    Active,
    /// Its host's loop lags.
    Slow,
    /// Finishing.
    Draining,
    /// Hosts that are condemned, and their sessions.
    Errored,
    /// Not running yet.
    Starting,
}

/// The name of a choice, as it is typed.
fn typed(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

pub(super) fn perform(options: &Options, client: Client, output: &Output) -> Result<Exit, CliError> {
    let settings = Settings {
        sort: options.sort,
        status: options.status,
        agent: options.agent.as_ref().map(ToString::to_string),
        tenant: options.tenant.as_ref().map(ToString::to_string),
        period: Duration::from_secs_f64(1.0 / options.refresh_rate),
        color: output.colored(),
    };
    let state = State::new(settings);
    if output.json() || options.once {
        return once(state, &client, output);
    }
    if !io::stdout().is_terminal() {
        let detail = "standard output is no terminal, where a live view would be; give --once or --json".to_owned();
        return Err(CliError::Usage { option: "top", detail });
    }
    live::run(state, client)
}

fn once(mut state: State, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
    let path = source::snapshot_path(state.settings.tenant.as_deref());
    let snapshot: Snapshot = runtime.block_on(client.get(&path))?;
    state.take_snapshot(snapshot, Duration::ZERO);
    output.result(&once::data(&state), |output, _| once::text(&state, output.width()))?;
    Ok(Exit::Ok)
}
