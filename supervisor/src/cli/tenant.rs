//! `tenant`: list, show, drain; what lasts and what is asked of one is in files of their own.
//!
//! Owns: how tenants are shown. Never: their keys.

use std::path::PathBuf;

use clap::Subcommand;
use openrtc_control_api::Tenant;
use openrtc_ipc::TenantId;

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone};
use super::{change, fields, units};

mod bundle;
mod effective;
mod health;
mod verify;

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All of them
    List,
    /// One tenant
    Show {
        /// Its id
        tenant: TenantId,
        /// What holds for it, and which rung gave it: providers, keys, cap, breaker, walls
        #[arg(long)]
        effective: bool,
    },
    /// Whether it fails, eats capacity, blocks its loop or is refused; exit code 6 if so
    Health {
        /// Its id
        tenant: TenantId,
    },
    /// Place a canary session, and look for it in top, logs, snapshot and observer; exit code 6 if it is missing
    Verify(verify::Options),
    /// Write all that is known of it to a file, without secrets and without other tenants
    Bundle {
        /// Its id
        tenant: TenantId,
        /// Write to this file, which must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Refuse its new sessions, and end its hosts when their sessions have ended
    Drain {
        /// Its id
        tenant: TenantId,
    },
    /// Changes that last.
    #[command(flatten)]
    Change(change::Command),
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let (tenant, order) = match command {
        Command::List => {
            let tenants: Vec<Tenant> = client.get("/v1/tenants").await?;
            output.result(&tenants, |output, tenants| {
                let ordered = tenants.iter().filter(|tenant| !tenant.orders.is_empty());
                let ordered: String = ordered.map(|it| format!("{}:\n{}", it.tenant, change::orders(it))).collect();
                format!("{}{ordered}", output.table(&table(tenants), "no tenant"))
            })?;
            return Ok(Exit::Ok);
        }
        Command::Show { tenant, effective: true } => return effective::perform(&tenant, client, output).await,
        Command::Health { tenant } => return health::perform(&tenant, client, output).await,
        Command::Verify(options) => return verify::perform(options, client, output).await,
        Command::Bundle { tenant, out } => return bundle::perform(&tenant, &out, client, output).await,
        Command::Show { tenant, effective: false } => {
            let tenant: Tenant = client.get(&format!("/v1/tenants/{tenant}")).await?;
            output.result(&tenant, |_, tenant| format!("{}{}", account(tenant), change::orders(tenant)))?;
            return Ok(Exit::Ok);
        }
        Command::Drain { tenant } => (tenant, "drain"),
        Command::Change(command) => return change::perform(command, client, output).await,
    };
    let path = format!("/v1/tenants/{tenant}/{order}");
    let tenant: Tenant = client.post(&path, &serde_json::json!({}), Patience::Usual).await?;
    output.result(&tenant, |_, tenant| {
        format!("{} is {}, with {}\n", tenant.tenant, tenant.status, units::counted(tenant.active_sessions, "session"))
    })?;
    Ok(Exit::Ok)
}

/// The tone of a breaker's state.
pub(super) fn breaker_tone(state: &str) -> Tone {
    match state {
        "closed" => Tone::Good,
        "open" => Tone::Bad,
        "half_open" => Tone::Warn,
        _ => Tone::Plain,
    }
}

/// Tenants at a glance.
pub(super) fn table(tenants: &[Tenant]) -> Table {
    let mut table = Table::new().yielding("TENANT").fixed("STATUS").number("SESS").number("HOSTS").number("MEM");
    table = table.number("CPU%").fixed("BREAKER").number("FAILED").yielding("LAST END");
    for tenant in tenants {
        let status = if tenant.status == "active" { Tone::Good } else { Tone::Warn };
        let unusable = tenant.unusable.is_some();
        table.row([
            (&tenant.tenant).into(),
            if unusable { Cell::toned("unusable", Tone::Bad) } else { Cell::toned(&tenant.status, status) },
            units::of(tenant.active_sessions, tenant.max_sessions).into(),
            tenant.hosts.to_string().into(),
            units::bytes(tenant.memory_bytes).into(),
            format!("{:.1}", tenant.cpu_pct).into(),
            Cell::toned(&tenant.breaker, breaker_tone(&tenant.breaker)),
            units::of(tenant.failed_sessions, Some(tenant.ended_sessions)).into(),
            units::or_dash(tenant.last_end_reason.as_ref()).into(),
        ]);
    }
    table
}

fn account(tenant: &Tenant) -> String {
    fields(&[
        ("tenant", tenant.tenant.clone()),
        ("configured", tenant.configured.to_string()),
        ("status", tenant.status.clone()),
        ("unusable", units::or_dash(tenant.unusable.as_ref())),
        ("sessions", units::of(tenant.active_sessions, tenant.max_sessions)),
        ("hosts", tenant.hosts.to_string()),
        ("memory", units::bytes(tenant.memory_bytes)),
        ("cpu", format!("{:.1} % of a core", tenant.cpu_pct)),
        ("breaker", tenant.breaker.clone()),
        ("failed", format!("{} of the last {} that ended", tenant.failed_sessions, tenant.ended_sessions)),
        ("last end", units::or_dash(tenant.last_end_reason.as_ref())),
    ])
}
