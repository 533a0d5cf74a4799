//! `breaker`: status, trip, reset.
//!
//! Owns: how breakers are shown. Never: the inversion; `open` means rejecting.

use clap::Subcommand;
use openrtc_control_api::{Breaker, TripBreaker};
use openrtc_ipc::TenantId;

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table};
use super::tenant::breaker_tone;
use super::units;

/// What to do with breakers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All of them, or one tenant's
    Status {
        /// Of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Open one by hand: the tenant's new sessions are rejected
    #[command(alias = "open")]
    Trip {
        /// Whose
        #[arg(long)]
        tenant: TenantId,
        /// For so many seconds; without, for its cooldown
        #[arg(long = "for", value_name = "S")]
        for_s: Option<f64>,
    },
    /// Close one by hand, or all that are not closed
    #[command(alias = "close")]
    Reset {
        /// Of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let breakers = match command {
        Command::Status { tenant } => {
            let mut all: Vec<Breaker> = client.get("/v1/breakers").await?;
            if let Some(tenant) = tenant {
                // Asked for by name, so a misspelt one must be told.
                let _: openrtc_control_api::Tenant = client.get(&format!("/v1/tenants/{tenant}")).await?;
                all.retain(|breaker| breaker.tenant == tenant.as_str());
            }
            all
        }
        Command::Trip { tenant, for_s } => {
            let path = format!("/v1/breakers/{tenant}/trip");
            vec![client.post(&path, &TripBreaker { for_s }, Patience::Usual).await?]
        }
        Command::Reset { tenant: Some(tenant) } => vec![reset(client, tenant.as_str()).await?],
        Command::Reset { tenant: None } => {
            let all: Vec<Breaker> = client.get("/v1/breakers").await?;
            let mut moved = Vec::new();
            for breaker in all.iter().filter(|breaker| matches!(breaker.state.as_str(), "open" | "half_open")) {
                moved.push(reset(client, &breaker.tenant).await?);
            }
            moved
        }
    };
    output.result(&breakers, |output, breakers| output.table(&table(breakers), "no breaker"))?;
    Ok(Exit::Ok)
}

async fn reset(client: &Client, tenant: &str) -> Result<Breaker, CliError> {
    client.post(&format!("/v1/breakers/{tenant}/reset"), &serde_json::json!({}), Patience::Usual).await
}

fn table(breakers: &[Breaker]) -> Table {
    let mut table = Table::new().yielding("TENANT").fixed("STATE").number("FAILURES").number("CLOSES IN");
    table = table.number("COOLDOWN");
    for breaker in breakers {
        table.row([
            (&breaker.tenant).into(),
            Cell::toned(&breaker.state, breaker_tone(&breaker.state)),
            units::of(breaker.failures, Some(breaker.samples)).into(),
            units::or_dash(breaker.closes_in_s.map(units::seconds)).into(),
            units::seconds(breaker.cooldown_s).into(),
        ]);
    }
    table
}
