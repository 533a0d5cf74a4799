//! `/v1/doctor`: the start-up report, and the machine as it is now.
//!
//! Owns: nothing; it tells what was found at the start and what is found now. Never: changes anything.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::DoctorReport;

use super::world::World;

pub(super) async fn show(State(world): State<World>) -> Json<DoctorReport> {
    let mut report = world.about.doctor.clone();
    let about = world.about.clone();
    // A file system that does not answer must not hold up others.
    if let Ok(findings) = tokio::task::spawn_blocking(move || about.preflight.findings()).await {
        report.findings.extend(findings);
    }
    Json(report)
}
