//! `snapshot`: everything at a glance.
//!
//! Owns: the glance. Never: a second account of what another noun shows.

use std::path::PathBuf;

use clap::Args;
use openrtc_control_api::Snapshot;
use openrtc_ipc::TenantId;

use super::client::Client;
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::harmless;
use super::{doctor, session, snapshot_diff, tenant, units};

/// Options of `snapshot`.
#[derive(Debug, Args)]
pub struct Options {
    /// Of one tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// What changed since a snapshot that `--json snapshot > FILE` kept
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
}

pub(super) async fn perform(options: Options, client: &Client, output: &Output) -> Result<Exit, CliError> {
    // Before it is asked: a file that cannot be used is no reason to look.
    let before = options.diff.as_deref().map(snapshot_diff::read).transpose()?;
    let tenant = options.tenant.map_or_else(String::new, |tenant| format!("?tenant={tenant}"));
    let snapshot: Snapshot = client.get(&format!("/v1/snapshot{tenant}")).await?;
    match before {
        Some(before) => output.result(&snapshot_diff::between(&before, &snapshot)?, snapshot_diff::text)?,
        None => output.result(&snapshot, text)?,
    }
    Ok(Exit::Ok)
}

fn text(output: &Output, snapshot: &Snapshot) -> String {
    let version = snapshot.deployment_version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    let mut text = format!(
        "{}{version}: up {}, {} sessions, {}, {} started, {} failed{}\n",
        harmless(&snapshot.worker.name),
        units::seconds(snapshot.uptime_seconds),
        units::of(snapshot.active_sessions, snapshot.worker.max_sessions),
        units::counted(snapshot.hosts.len() as u64, "host"),
        snapshot.total_sessions_started,
        snapshot.total_session_failures,
        if snapshot.draining { ", draining" } else { "" },
    );
    for warning in doctor::missing(&snapshot.walls) {
        text.push_str(&format!("{warning}\n"));
    }
    for zygote in &snapshot.zygotes {
        let remedy = zygote.remedy.as_ref().map(|remedy| format!(": {}", harmless(remedy))).unwrap_or_default();
        text.push_str(&format!("runtime {}: spawn = {}{remedy}\n", harmless(&zygote.runtime), harmless(&zygote.spawn)));
    }
    let rejected: Vec<_> = snapshot.rejections.iter().filter(|(_, count)| **count > 0).collect();
    if !rejected.is_empty() {
        let counts: Vec<_> = rejected.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        text.push_str(&format!("rejected: {}\n", counts.join(", ")));
    }
    if let Some(error) = &snapshot.last_error {
        text.push_str(&format!("last error: {}\n", harmless(error)));
    }
    text.push('\n');
    text.push_str(&output.table(&tenant::table(&snapshot.tenants), "no tenant"));
    text.push('\n');
    text.push_str(&output.table(&session::live(&snapshot.sessions), "no session waits or runs"));
    text
}
