//! `/v1/admission`: what a dispatch would be answered, and why.
//!
//! Owns: the trace's shape. Never: a rule of its own; policy explains itself.

use axum::Json;
use axum::extract::State;
use openrtc_control_api::{AdmissionQuestion, AdmissionStep, AdmissionTrace, Expected};
use openrtc_policy::Explanation;
use openrtc_policy::trace::Destination;

use super::refusal::Refusal;
use super::request::Asked;
use super::world::World;
use crate::dispatch::local;

pub(super) async fn explain(
    State(world): State<World>,
    Asked(question): Asked<AdmissionQuestion>,
) -> Result<Json<AdmissionTrace>, Refusal> {
    Ok(Json(trace(local::explain(&world.handle, question).await?)))
}

/// An explanation as it is told.
pub fn trace(explanation: Explanation) -> AdmissionTrace {
    let Explanation { steps, verdict } = explanation;
    let steps = steps.into_iter().map(|step| AdmissionStep {
        rule: step.rule.name().to_owned(),
        said: step.said.name().to_owned(),
        saw: step.saw,
    });
    let steps = steps.collect();
    match verdict {
        Err(rejection) => {
            let refusal = Some(Refusal::from(rejection).into_problem());
            AdmissionTrace { admitted: false, expected: None, refusal, steps }
        }
        Ok(expected) => {
            let (host, evicts) = match expected.destination {
                Destination::Host(host) => (Some(host.to_string()), None),
                Destination::Fresh(idle) => (None, idle.map(|idle| idle.to_string())),
            };
            let expected = Expected {
                tenant: expected.tenant.to_string(),
                agent: expected.agent.to_string(),
                runtime: expected.runtime.to_string(),
                routed_by: expected.routed_by.to_owned(),
                host,
                evicts,
            };
            AdmissionTrace { admitted: true, expected: Some(expected), refusal: None, steps }
        }
    }
}
