//! Walls, as the API tells them.
//!
//! Owns: the translation from what was attested or forecast. Never: attests.

use openrtc_control_api::{Strength, WallRow};
use openrtc_ipc::{Evidence, Wall, WallState, WallStatus};

/// A wall that was attested.
pub(super) fn row(status: &WallStatus) -> WallRow {
    let (strength, by) = match &status.state {
        WallState::Kernel(by) => (Strength::Kernel, by),
        WallState::Sampled(by) => (Strength::Sampled, by),
        WallState::Absent(why) => (Strength::Absent, why),
    };
    let evidence = match status.evidence {
        Evidence::Observed => "observed",
        Evidence::Reported => "reported",
    };
    WallRow {
        wall: status.wall.name().to_owned(),
        strength,
        by: by.clone(),
        evidence: evidence.to_owned(),
        remedy: None,
        required: false,
    }
}

/// The walls that hosts will get on this machine, for the start-up report and `doctor`.
pub fn forecast(walls: &[(WallStatus, Option<String>)], require: &[Wall]) -> Vec<WallRow> {
    let of = |(status, remedy): &(WallStatus, Option<String>)| WallRow {
        remedy: remedy.clone(),
        required: require.contains(&status.wall),
        ..row(status)
    };
    walls.iter().map(of).collect()
}
