//! `/v1/livekit`: how we stand with the LiveKit server, and what operators ask of it.
//!
//! Owns: the routes. Never: decides, or keeps a token.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{Livekit, LivekitCheck, LivekitOffer, SimulateRequest, TokenRequest, TokenResponse};
use schemars::JsonSchema;
use serde::Deserialize;

use super::refusal::Refusal;
use super::request::{Asked, With};
use super::world::World;
use crate::dispatch::livekit;

fn worker(world: &World) -> Result<&livekit::Livekit, Refusal> {
    let detail = "no LiveKit server is configured; set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or \
                  [livekit], and start again";
    world.livekit().ok_or_else(|| Refusal::not_found(detail))
}

pub(super) async fn show(State(world): State<World>) -> Result<Json<Livekit>, Refusal> {
    Ok(Json(worker(&world)?.view()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckQuery {
    /// Which room.
    room: String,
}

pub(super) async fn check(
    State(world): State<World>,
    With(query): With<CheckQuery>,
) -> Result<Json<LivekitCheck>, Refusal> {
    Ok(Json(worker(&world)?.check(&query.room).await?))
}

pub(super) async fn simulate(
    State(world): State<World>,
    Asked(request): Asked<SimulateRequest>,
) -> Result<Json<LivekitOffer>, Refusal> {
    Ok(Json(worker(&world)?.simulate(request).await?))
}

pub(super) async fn mint(
    State(world): State<World>,
    Asked(request): Asked<TokenRequest>,
) -> Result<Json<TokenResponse>, Refusal> {
    Ok(Json(worker(&world)?.mint(request)?))
}
