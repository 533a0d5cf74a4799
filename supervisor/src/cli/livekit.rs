//! `livekit` and `token`: a smoke test, why no agent came to a room, and tokens for callers.
//!
//! Owns: how these are asked and shown. Never: reads the API secret; the supervisor mints.

use std::time::Duration;

use clap::{Args, Subcommand};
use openrtc_control_api::{
    Livekit, LivekitCheck, LivekitOffer, LivekitWorker, SimulateRequest, TokenRequest, TokenResponse,
};

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::fields;
use super::output::Output;
use super::table::harmless;

/// The server has 10 s for a simulated job.
const SIMULATION: Duration = Duration::from_secs(12);

/// What to ask of the LiveKit worker.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How the supervisor stands with the LiveKit server
    Status,
    /// Have the server place a job on this supervisor, as a smoke test
    Simulate(SimulateOptions),
    /// Say why no agent came to a room
    Check {
        /// The room
        #[arg(long)]
        room: String,
    },
}

/// Options of `livekit simulate`.
#[derive(Debug, Args)]
pub struct SimulateOptions {
    /// The room
    #[arg(long)]
    room: String,
    /// The tenant; without it, what the rules say of a call that names nobody
    #[arg(long)]
    tenant: Option<String>,
    /// The connection, by the agent name that it registered
    #[arg(long)]
    agent_name: Option<String>,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Mint a token with which a caller joins one room
    Mint(MintOptions),
}

/// Options of `token mint`.
#[derive(Debug, Args)]
#[command(
    override_usage = "openrtc-supervisor token mint --tenant <TENANT> --room <ROOM>\n       --identity <IDENTITY> [OPTIONS]"
)]
pub struct MintOptions {
    /// Whose room it is
    #[arg(long)]
    tenant: String,
    /// The one room; in the tenant's namespace, where there are namespaces
    #[arg(long)]
    room: String,
    /// Who joins
    #[arg(long)]
    identity: String,
    /// Have this agent dispatched to the room when it is created
    #[arg(long)]
    agent: Option<String>,
    /// How long it may be used to join, in seconds [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::Status => {
            let status: Livekit = client.get("/v1/livekit").await?;
            output.result(&status, |_, status| account(status))?;
            Ok(Exit::Ok)
        }
        Command::Simulate(SimulateOptions { room, tenant, agent_name }) => {
            let request = SimulateRequest { room, tenant, agent_name };
            let patience = Patience::Longer(SIMULATION);
            let offer: LivekitOffer = client.post("/v1/livekit/simulate", &request, patience).await?;
            output.result(&offer, |_, offer| outcome(offer))?;
            Ok(if offer.accepted { Exit::Ok } else { Exit::Rejected })
        }
        Command::Check { room } => {
            let path = format!("/v1/livekit/check?room={}", encoded(&room));
            let check: LivekitCheck = client.get_patiently(&path, Patience::Longer(SIMULATION)).await?;
            output.result(&check, |_, check| verdict(check))?;
            Ok(if check.ok { Exit::Ok } else { Exit::CheckFailed })
        }
    }
}

pub(super) async fn token(command: TokenCommand, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let TokenCommand::Mint(MintOptions { tenant, room, identity, agent, ttl }) = command;
    let request = TokenRequest { tenant, room, identity, agent, ttl_s: ttl };
    let response: TokenResponse = client.post("/v1/livekit/token", &request, Patience::Usual).await?;
    output.result(&response, |_, response| format!("{}\n", response.token))?;
    Ok(Exit::Ok)
}

/// A room's name as it stands in a query.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn link(worker: &LivekitWorker) -> String {
    let name = if worker.agent_name.is_empty() { "(no agent name)" } else { &worker.agent_name };
    let stands = match (&worker.worker_id, &worker.last_error) {
        (Some(id), _) => format!("registered as {id}"),
        (None, Some(error)) => format!("{}: {error}", worker.link),
        (None, None) => worker.link.clone(),
    };
    let calls = match &worker.why_not {
        None => "dispatchable".to_owned(),
        Some(why) => format!("not dispatchable: {why}"),
    };
    format!("{name}, {}: {stands}; {calls}; load {:.2}, {} live", worker.job_type, worker.load, worker.live)
}

fn account(livekit: &Livekit) -> String {
    let refused: Vec<String> = livekit.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let mut lines = vec![("server", livekit.url.clone())];
    lines.extend(livekit.workers.iter().map(|worker| ("worker", link(worker))));
    lines.push(("offers", format!("{}, accepted {}", livekit.offers, livekit.accepted)));
    lines.push(("refused", if refused.is_empty() { "none".to_owned() } else { refused.join(", ") }));
    lines.push(("expired", livekit.assignments_expired.to_string()));
    fields(&lines)
}

fn outcome(offer: &LivekitOffer) -> String {
    let text = match (&offer.session, &offer.reason) {
        (Some(session), _) => format!(
            "job {} of room {} is {}: session {session} for {} as {}",
            offer.job,
            offer.room,
            offer.state,
            offer.tenant.as_deref().unwrap_or_default(),
            offer.agent.as_deref().unwrap_or_default()
        ),
        (None, reason) => format!(
            "job {} of room {} was refused: {}: {}",
            offer.job,
            offer.room,
            reason.as_deref().unwrap_or_default(),
            offer.detail.as_deref().unwrap_or_default()
        ),
    };
    format!("{}\n", harmless(&text))
}

fn verdict(check: &LivekitCheck) -> String {
    let offer = |offer: &Option<LivekitOffer>| {
        offer.as_ref().map_or_else(|| "none".to_owned(), |offer| outcome(offer).trim_end().to_owned())
    };
    let dispatches: Vec<String> =
        check.dispatches.iter().map(|it| format!("{} for {:?}, {} jobs", it.id, it.agent_name, it.jobs)).collect();
    let mut lines = vec![("room", check.room.clone()), ("server", check.livekit.url.clone())];
    lines.extend(check.livekit.workers.iter().map(|worker| ("worker", link(worker))));
    lines.push(("dispatches", if dispatches.is_empty() { "none".to_owned() } else { dispatches.join("; ") }));
    let present = &check.participants;
    lines.push(("participants", if present.is_empty() { "none".to_owned() } else { present.join(", ") }));
    lines.push(("last offer", offer(&check.last_offer)));
    lines.push(("last refusal", offer(&check.last_refusal)));
    lines.extend(check.findings.iter().map(|finding| ("finding", finding.clone())));
    if check.findings.is_empty() {
        lines.push(("finding", "nothing speaks against an agent".to_owned()));
    }
    fields(&lines)
}
