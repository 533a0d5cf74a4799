//! `tenant health`: whether a tenant fails, eats capacity, blocks its loop or is refused.
//!
//! Owns: how the marks are shown, and the exit code. Never: judges; the supervisor does.

use openrtc_control_api::{HealthMark, TenantHealth};
use openrtc_ipc::TenantId;

use crate::cli::client::Client;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::table::{Cell, Table, Tone, harmless};

pub(super) async fn perform(tenant: &TenantId, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let health: TenantHealth = client.get(&format!("/v1/tenants/{tenant}/health")).await?;
    output.result(&health, |output, health| {
        format!("{}\n{}", output.table(&table(&health.marks), "nothing to look at"), sentence(health))
    })?;
    Ok(if health.healthy { Exit::Ok } else { Exit::CheckFailed })
}

fn table(marks: &[HealthMark]) -> Table {
    let mut table = Table::new().fixed("MARK").yielding("MEASURE").yielding("FOUND").yielding("THRESHOLD");
    for mark in marks {
        let shown = if mark.over { Cell::toned("OVER", Tone::Bad) } else { Cell::toned("ok", Tone::Good) };
        table.row([shown, (&mark.measure).into(), (&mark.value).into(), (&mark.threshold).into()]);
    }
    table
}

fn sentence(health: &TenantHealth) -> String {
    if health.healthy {
        return format!("{} is healthy\n", health.tenant);
    }
    let ailments: Vec<&str> = health.ailments.iter().map(|ailment| ailment.words()).collect();
    let mut text = format!("{} is {}\n", health.tenant, ailments.join(", "));
    for mark in health.marks.iter().filter(|mark| mark.over) {
        text.push_str(&format!("  {}: {}: {}\n", mark.ailment.words(), mark.measure, harmless(&mark.value)));
        for remedy in mark.remedy.iter().flat_map(|remedy| remedy.split("; ")).filter(|it| !it.is_empty()) {
            text.push_str(&format!("    openrtc-supervisor {remedy}\n"));
        }
    }
    text
}
