//! `tenant verify`: a canary session, and whether it shows under its tenant wherever sessions are looked for.
//!
//! Owns: how the verdict is shown, and its exit code. Never: places a session by itself; the supervisor does.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use openrtc_control_api::{Found, Verification, VerifyRequest};
use openrtc_ipc::TenantId;

use crate::cli::client::{Client, Patience};
use crate::cli::dispatch::whole_path;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::table::{Cell, Table, Tone};

/// A start, an end and the looks between them may take so long beside the usual.
const LONGER: Duration = Duration::from_secs(60);

/// Options of `tenant verify`.
#[derive(Debug, Args)]
pub struct Options {
    /// Its id
    tenant: TenantId,
    /// The agent, over what routing says
    #[arg(long)]
    agent: Option<String>,
    /// A recording to play to the agent
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

pub(super) async fn perform(options: Options, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let Options { tenant, agent, input } = options;
    let input = input.as_deref().map(|path| whole_path("--input", path)).transpose()?;
    let path = format!("/v1/tenants/{tenant}/verify");
    let asked = client.post(&path, &VerifyRequest { agent, input }, Patience::Longer(LONGER)).await;
    let verification: Verification = asked.inspect_err(|error| {
        if error.problem().is_some_and(|problem| problem.reason.ends_with("_cap")) {
            output.note("the canary needs a place as any session does: wait until one ends, or raise the cap");
        }
    })?;
    output.result(&verification, |output, verification| {
        let end = if verification.ok { "passed" } else { "FAILED" };
        let session =
            format!("{} ran {} (routed by: {})", verification.session, verification.agent, verification.routed_by);
        format!(
            "{}\n{}: {end}; {session}\n",
            output.table(&table(verification), "nothing was looked at"),
            verification.tenant
        )
    })?;
    Ok(if verification.ok { Exit::Ok } else { Exit::CheckFailed })
}

fn table(verification: &Verification) -> Table {
    let mut table = Table::new().fixed("CHECK").fixed("PLACE").yielding("SAW");
    for place in &verification.places {
        let found = match place.found {
            Found::Pass => Cell::toned("PASS", Tone::Good),
            Found::Fail => Cell::toned("FAIL", Tone::Bad),
            Found::Unseen => Cell::toned("UNSEEN", Tone::Warn),
        };
        table.row([found, (&place.place).into(), (&place.saw).into()]);
    }
    table
}
