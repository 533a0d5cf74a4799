//! What the start-up report means for a start, and what the log says of it.
//!
//! Owns: the lines of the report, and the refusal of a start without a required wall. Never: looks; it is told.

use openrtc_control_api::{DoctorReport, Strength, WallRow};

use super::RunError;
use crate::changes::{Order, Standing};
use crate::config::Config;
use crate::secrets::{SecretFault, Vault};

/// The start-up report: what is suspicious, which walls are in force and which are weak.
pub(super) fn tell_start(report: &DoctorReport, config: &Config, vault: &Vault, faults: &[SecretFault]) {
    for warning in config.warnings.iter().chain(vault.warnings()) {
        tracing::warn!("{warning}");
    }
    for fault in faults {
        tracing::error!("{fault}");
    }
    for wall in &report.walls {
        tell_wall(wall);
    }
}

/// The last line of the start: sessions are taken from now on, with these agents, at these sockets.
pub(super) fn tell_ready(report: &DoctorReport, config: &Config) {
    let agents: Vec<_> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
    tracing::info!(
        config = report.config,
        control_socket = report.control_socket,
        top_socket = report.top_socket,
        agents = agents.join(", "),
        pid = std::process::id(),
        "ready"
    );
}

fn tell_wall(wall: &WallRow) {
    let WallRow { wall, strength, by, remedy, .. } = wall;
    match strength {
        Strength::Kernel => tracing::info!("wall {wall}: kernel, by {by}"),
        Strength::Sampled => tracing::info!(remedy, "wall {wall}: sampled, by {by}"),
        Strength::Absent => tracing::warn!(remedy, "wall {wall}: absent, {by}"),
    }
}

/// A required wall that cannot stand is no start, and not a start with a warning (law 10).
pub(super) fn demand_walls(report: &DoctorReport) -> Result<(), RunError> {
    let absent = |wall: &&WallRow| wall.required && wall.strength == Strength::Absent;
    let missing: Vec<_> = report.walls.iter().filter(absent).collect();
    if let (true, Some(finding)) = (missing.is_empty(), report.findings.iter().find(|finding| !finding.ok)) {
        let remedy = finding.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        let detail = format!("{}: {}{remedy}", finding.name, finding.detail);
        return Err(RunError::Required { walls: "zygote".to_owned(), detail });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|wall| wall.wall.as_str()).collect();
    let detail = |wall: &&WallRow| match &wall.remedy {
        Some(remedy) => format!("{} is absent ({}); {remedy}", wall.wall, wall.by),
        None => format!("{} is absent ({})", wall.wall, wall.by),
    };
    let details: Vec<_> = missing.iter().map(detail).collect();
    Err(RunError::Required { walls: names.join(", "), detail: details.join("; ") })
}

/// The operators' orders that are in force from the start.
pub(super) fn tell_orders(file: &Config, standing: &Standing) {
    for (tenant, orders) in standing.tenants() {
        for (key, order) in orders {
            let Order { value, by, .. } = order;
            tracing::warn!(%tenant, by, "an operator's order holds over the file: {key} = {value}; `tenant reset` takes it back");
        }
        if !file.tenants.contains_key(tenant) {
            tracing::warn!(%tenant, "it is not configured: of what was ordered of it, only a status has an effect");
        }
    }
}
