//! `tenant show --effective`: what holds for a tenant, and which rung gave it.
//!
//! Owns: how such values are shown. Never: a secret; the supervisor sends none.

use openrtc_control_api::{EffectiveSetting, EffectiveTenant};
use openrtc_ipc::TenantId;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::table::Table;

pub(super) async fn perform(tenant: &TenantId, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let effective: EffectiveTenant = client.get(&format!("/v1/tenants/{tenant}/effective")).await?;
    output.result(&effective, |output, effective| output.table(&table(&effective.settings), "nothing is in force"))?;
    Ok(Exit::Ok)
}

fn table(settings: &[EffectiveSetting]) -> Table {
    let mut table = Table::new().fixed("SECTION").yielding("NAME").yielding("VALUE").yielding("FROM");
    for setting in settings {
        let cells = [&setting.section, &setting.name, &text(&setting.value), &setting.from];
        table.row(cells.map(|cell| cell.into()));
    }
    table
}

/// A value on one line.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}
