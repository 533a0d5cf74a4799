//! `doctor`: which walls stand, what else a supervisor needs here, and what to do about what is missing.
//!
//! Owns: how walls and findings are shown. Never: looks for itself; a running supervisor knows best.

use openrtc_control_api::{DoctorReport, Finding, Strength, Verdict, WallRow};

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
        // What is wrong with it is one of the findings.
        Err(CliError::Config(_)) => {
            asked.output.note("the configuration names no supervisor to ask; this is what one would find");
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
    let mut checks = Table::new().fixed("").fixed("CHECK").yielding("FOUND");
    let mut remedies = String::new();
    for check in report.walls.iter().map(Check::of_wall).chain(report.findings.iter().map(Check::of_finding)) {
        let (word, tone) = match check.verdict {
            Verdict::Pass => ("PASS", Tone::Good),
            Verdict::Warn => ("WARN", Tone::Warn),
            Verdict::Fail => ("FAIL", Tone::Bad),
        };
        checks.row([Cell::toned(word, tone), (&check.name).into(), (&check.found).into()]);
        if let Some(remedy) = check.remedy {
            remedies.push_str(&wrapped(&format!("{word} {}: {remedy}", check.name), output.width()));
        }
    }
    let gap = if remedies.is_empty() { "" } else { "\n" };
    format!("{head}\n{}{gap}{remedies}", output.table(&checks, "nothing was looked at"))
}

/// A wall or a finding, as it is shown.
struct Check<'a> {
    verdict: Verdict,
    name: String,
    found: String,
    remedy: Option<&'a str>,
}

impl<'a> Check<'a> {
    /// A wall that is not the kernel's is worth a look; one that is required and absent is no start.
    fn of_wall(wall: &'a WallRow) -> Self {
        let (verdict, strength) = match wall.strength {
            Strength::Kernel => (Verdict::Pass, "kernel"),
            Strength::Sampled => (Verdict::Warn, "sampled"),
            Strength::Absent if wall.required => (Verdict::Fail, "absent, and required"),
            Strength::Absent => (Verdict::Warn, "absent"),
        };
        let found = format!("{strength}: {}", wall.by);
        Self { verdict, name: format!("wall {}", wall.wall), found, remedy: wall.remedy.as_deref() }
    }

    fn of_finding(finding: &'a Finding) -> Self {
        let Finding { verdict, name, detail, remedy, .. } = finding;
        Self { verdict: *verdict, name: name.clone(), found: detail.clone(), remedy: remedy.as_deref() }
    }
}

/// A sentence, broken between words where the width is known; what follows its first line is indented.
fn wrapped(sentence: &str, width: Option<usize>) -> String {
    let sentence = super::table::harmless(sentence);
    let Some(width) = width else { return format!("{sentence}\n") };
    let (mut text, mut column) = (String::new(), 0);
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            text.push_str("\n    ");
            column = 4;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
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
    fn a_remedy_is_broken_between_words_and_keeps_them_all() {
        let remedy = "WARN wall memory: for a wall by the kernel: start it as a systemd service with Delegate=yes";
        let text = wrapped(remedy, Some(40));
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 40), "{text}");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), remedy.split_whitespace().collect::<Vec<_>>());
        assert_eq!(wrapped(remedy, None), format!("{remedy}\n"));
    }

    #[test]
    fn a_wall_passes_warns_or_fails_by_its_strength_and_whether_it_is_required() {
        let check = |strength, required| {
            let (wall, by, evidence) = ("uid".to_owned(), "x".to_owned(), "observed".to_owned());
            Check::of_wall(&WallRow { wall, strength, by, evidence, remedy: None, required }).verdict
        };
        assert_eq!(check(Strength::Kernel, true), Verdict::Pass);
        assert_eq!(check(Strength::Sampled, true), Verdict::Warn);
        assert_eq!(check(Strength::Absent, false), Verdict::Warn);
        assert_eq!(check(Strength::Absent, true), Verdict::Fail);
    }

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
