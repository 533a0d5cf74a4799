//! The attacks, in their order.
//!
//! Owns: what each is called, which agent it is and what that is told. Never: attacks; the demo's agents do.

use std::path::Path;

use serde_json::{Value, json};

use crate::demo::config::WALL_MB;

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// Takes memory past its wall.
    Memory,
    /// Spins on every core.
    Cpu,
    /// Makes processes without end.
    Forks,
    /// Writes log lines without end.
    LogFlood,
    /// Writes events without end.
    EventFlood,
    /// Writes to its channel what is no frame.
    MalformedFrames,
    /// Tries to reach the supervisor, a sibling, and files of theirs.
    Escape,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Memory, Self::Cpu, Self::Forks, Self::LogFlood, Self::EventFlood, Self::MalformedFrames, Self::Escape];

    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory hog",
            Self::Cpu => "CPU spin",
            Self::Forks => "fork bomb",
            Self::LogFlood => "log flood",
            Self::EventFlood => "event flood",
            Self::MalformedFrames => "malformed frames",
            Self::Escape => "escape attempts",
        }
    }

    /// The agent that does it.
    pub(super) fn agent(self) -> &'static str {
        match self {
            Self::Memory => "hog",
            Self::Cpu => "spin",
            Self::Forks => "forks",
            Self::LogFlood => "lines",
            Self::EventFlood => "events",
            Self::MalformedFrames => "frames",
            Self::Escape => "escape",
        }
    }

    /// What the agent is told. The hog stops by itself at twice its wall.
    pub(super) fn metadata(self, supervisor_pid: u32, victim_pid: i32, dir: &Path) -> Value {
        match self {
            Self::Memory => json!({"stop_mb": stop_mb(), "seconds": 3, "hold_s": 2}),
            Self::Cpu => json!({"seconds": 3}),
            Self::LogFlood | Self::EventFlood => json!({"seconds": 2}),
            Self::Escape => json!({"supervisor_pid": supervisor_pid, "victim_pid": victim_pid, "dir": dir}),
            Self::Forks | Self::MalformedFrames => json!({}),
        }
    }
}

/// Where the hog stops by itself, in MiB.
pub(super) fn stop_mb() -> u64 {
    2 * WALL_MB
}
