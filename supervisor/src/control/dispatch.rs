//! `/v1/dispatch`: asking for a session.
//!
//! Owns: the answer's shape. Never: admits, or starts anything.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use openrtc_control_api::{Admitted, DispatchRequest, DispatchResponse};
use openrtc_policy::Answer;

use super::peer::Peer;
use super::refusal::Refusal;
use super::request::Asked;
use super::session;
use super::world::World;
use crate::dispatch::local;

pub(super) async fn dispatch(
    State(world): State<World>,
    peer: Peer,
    Asked(request): Asked<DispatchRequest>,
) -> Result<Json<DispatchResponse>, Refusal> {
    if !peer.is_owner() && (request.input.is_some() || request.output.is_some()) {
        // We would open them with our own rights, whoever asks.
        let detail = "input, output: only the supervisor's own user and root may name files for it to open";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "permission_denied", detail));
    }
    let wait = request.wait;
    let admitted = match local::dispatch(&world.handle, request).await? {
        Answer::Admitted(admitted) => admitted,
        Answer::Rejected(rejection) => return Err(rejection.into()),
    };
    let ended = if wait { world.ended_within(admitted.session, None).await } else { None };
    Ok(Json(DispatchResponse {
        admitted: Admitted {
            session: admitted.session.to_string(),
            tenant: admitted.tenant.to_string(),
            agent: admitted.agent.to_string(),
            routed_by: admitted.routed_by.to_owned(),
        },
        ended: ended.map(|entry| session::ended(&entry)),
    }))
}
