//! What the log says of a start.
//!
//! Owns: the lines of the start-up report. Never: looks; it is told.

use openrtc_control_api::{DoctorReport, Strength, WallRow};

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
