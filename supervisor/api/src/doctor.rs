//! `GET /v1/doctor`: the start-up report as a document.
//!
//! Owns: which walls stand on this machine, and everything else worth a look. Never: repairs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wall::{Strength, WallRow};

/// How it was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    #[default]
    Pass,
    /// It works, and could be better.
    Warn,
    /// Something that is required is not there.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What, for example `zygote` or `runtime_dir`.
    pub name: String,
    /// Whether nothing that is required is missing.
    pub ok: bool,
    /// The same in three words.
    #[serde(default)]
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    /// Version of the program.
    pub version: String,
    /// Pid of the supervisor; none when none was asked.
    pub pid: Option<u32>,
    /// The kernel's release.
    pub kernel: String,
    /// The user it runs as.
    pub uid: u32,
    /// The configuration in force: a path, or `defaults`.
    pub config: String,
    /// Where the control socket is.
    pub control_socket: Option<String>,
    /// Where OpenRTC's `top` finds its line.
    pub top_socket: Option<String>,
    /// The walls that a host gets.
    pub walls: Vec<WallRow>,
    /// Everything else.
    pub findings: Vec<Finding>,
}

impl DoctorReport {
    /// Whether every required wall stands and every finding is good.
    pub fn healthy(&self) -> bool {
        self.walls.iter().all(|wall| !wall.required || wall.strength != Strength::Absent)
            && self.findings.iter().all(|finding| finding.ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(strength: Strength, required: bool) -> WallRow {
        WallRow { wall: "memory".into(), strength, by: "-".into(), evidence: "observed".into(), remedy: None, required }
    }

    #[test]
    fn only_a_required_wall_that_is_absent_makes_it_ill() {
        let walls = vec![wall(Strength::Absent, false), wall(Strength::Sampled, true)];
        let mut report = DoctorReport { walls, ..DoctorReport::default() };
        assert!(report.healthy());
        report.walls.push(wall(Strength::Absent, true));
        assert!(!report.healthy());
    }
}
