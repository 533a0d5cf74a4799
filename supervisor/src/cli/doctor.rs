//! `doctor`: which walls stand, and what each absent one needs.
//!
//! Owns: how walls and findings are shown. Never: looks for itself; a running supervisor knows best.

use openrtc_control_api::{DoctorReport, Strength, WallRow};

use super::client::ClientError;
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone};
use super::{Asked, fields, here, units};

/// Asks the supervisor, or this machine when none runs.
pub(super) fn perform(asked: &Asked<'_>) -> Result<Exit, CliError> {
    let report: DoctorReport = match asked.find() {
        Ok(client) => asked.of_found(client, async |client| client.get("/v1/doctor").await)?,
        Err(CliError::Client(ClientError::Unreachable(_))) if asked.global.control_socket.is_none() => {
            asked.output.note("no supervisor runs; this is what one would find");
            here::doctor(asked.global)?
        }
        Err(CliError::Client(error @ ClientError::PermissionDenied { .. }))
            if asked.global.control_socket.is_none() =>
        {
            asked.output.note(&format!("{error}; this is what a supervisor of yours would find"));
            here::doctor(asked.global)?
        }
        Err(error) => return Err(error),
    };
    asked.output.result(&report, text)?;
    Ok(if report.healthy() { Exit::Ok } else { Exit::CheckFailed })
}

fn text(output: &Output, report: &DoctorReport) -> String {
    let head = fields(&[
        ("version", report.version.clone()),
        ("pid", units::or_dash(report.pid)),
        ("kernel", report.kernel.clone()),
        ("uid", report.uid.to_string()),
        ("config", report.config.clone()),
        ("control", units::or_dash(report.control_socket.as_ref())),
        ("top", units::or_dash(report.top_socket.as_ref())),
    ]);
    let mut text = format!("{head}\n{}", output.table(&walls(&report.walls), "no wall"));
    for wall in report.walls.iter().filter(|wall| wall.remedy.is_some()) {
        let must = if wall.required { " (required)" } else { "" };
        let remedy = super::table::harmless(wall.remedy.as_deref().unwrap_or_default());
        text.push_str(&format!("  {}{must}: {remedy}\n", wall.wall));
    }
    let mut findings = Table::new().fixed("CHECK").fixed("").yielding("FOUND").yielding("REMEDY");
    for finding in &report.findings {
        let verdict = if finding.ok { Cell::toned("ok", Tone::Good) } else { Cell::toned("FAIL", Tone::Bad) };
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        findings.row([(&finding.name).into(), verdict, (&finding.detail).into(), remedy.into()]);
    }
    if !findings.is_empty() {
        text.push('\n');
        text.push_str(&output.table(&findings, ""));
    }
    text
}

/// Walls, one a row.
pub(super) fn walls(walls: &[WallRow]) -> Table {
    let mut table = Table::new().fixed("WALL").fixed("STRENGTH").fixed("EVIDENCE").yielding("BY");
    for wall in walls {
        let strength = match wall.strength {
            Strength::Kernel => Cell::toned("kernel", Tone::Good),
            Strength::Sampled => Cell::toned("sampled", Tone::Warn),
            Strength::Absent => Cell::toned("absent", if wall.required { Tone::Bad } else { Tone::Warn }),
        };
        table.row([(&wall.wall).into(), strength, (&wall.evidence).into(), (&wall.by).into()]);
    }
    table
}

/// The walls that nobody should miss without knowing (decision W10).
pub(super) fn missing(walls: &[WallRow]) -> Vec<String> {
    let absent = walls.iter().filter(|wall| wall.strength == Strength::Absent);
    let grave = absent.filter(|wall| matches!(wall.wall.as_str(), "memory" | "cpu" | "pids"));
    grave.map(|wall| format!("NO {} WALL: {}", wall.wall.to_uppercase(), super::table::harmless(&wall.by))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_memory_wall_is_shouted_and_a_missing_zygote_is_not() {
        let wall = |wall: &str, strength| WallRow {
            wall: wall.into(),
            strength,
            by: "memory_max_mb = \"off\"".into(),
            evidence: "observed".into(),
            remedy: None,
            required: false,
        };
        let walls =
            [wall("memory", Strength::Absent), wall("cpu", Strength::Sampled), wall("zygote", Strength::Absent)];
        assert_eq!(missing(&walls), ["NO MEMORY WALL: memory_max_mb = \"off\""]);
    }
}
