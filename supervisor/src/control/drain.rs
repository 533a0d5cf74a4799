//! `/v1/drain` and `/v1/shutdown`: finishing.
//!
//! Owns: the two orders that end the supervisor. Never: waits for the end; it would cut its own answer off.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::DrainStatus;
use openrtc_policy::OperatorEvent;

use super::facts::Facts;
use super::refusal::Refusal;
use super::world::World;

async fn status(world: &World) -> DrainStatus {
    match Facts::gather(world).await {
        Ok(facts) => DrainStatus {
            draining: facts.view.draining,
            active_sessions: facts.sessions().len() as u32,
            hosts: facts.hosts().len() as u32,
        },
        // It was quicker than our question.
        Err(crate::sources::Stopping) => DrainStatus { draining: true, active_sessions: 0, hosts: 0 },
    }
}

pub(super) async fn drain(State(world): State<World>) -> Result<Json<DrainStatus>, Refusal> {
    world.order(OperatorEvent::Drain).await?;
    Ok(Json(status(&world).await))
}

pub(super) async fn shutdown(State(world): State<World>) -> Result<Json<DrainStatus>, Refusal> {
    world.order(OperatorEvent::Shutdown).await?;
    Ok(Json(status(&world).await))
}
