//! `/v1/doctor`: the start-up report, asked for later.
//!
//! Owns: nothing; it tells what was found at the start. Never: looks again.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::DoctorReport;

use super::world::World;

pub(super) async fn show(State(world): State<World>) -> Json<DoctorReport> {
    Json(world.about.doctor.clone())
}
