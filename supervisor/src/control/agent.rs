//! `/v1/agents`: the agents that can be dispatched.
//!
//! Owns: an agent at a glance. Never: its command.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use openrtc_control_api::Agent;

use super::facts::Facts;
use super::refusal::Refusal;
use super::world::World;

/// All agents.
pub(super) fn agents(facts: &Facts) -> Vec<Agent> {
    let sessions = facts.sessions();
    let mut active = BTreeMap::<&str, u32>::new();
    sessions.iter().for_each(|session| *active.entry(session.agent()).or_default() += 1);
    let of = |view: &super::view::AgentView| Agent {
        agent: view.agent.to_string(),
        runtime: view.runtime.to_string(),
        active_sessions: active.get(view.agent.as_str()).copied().unwrap_or(0),
        max_sessions: view.max_sessions,
    };
    facts.view.agents.iter().map(of).collect()
}

pub(super) async fn list(State(world): State<World>) -> Result<Json<Vec<Agent>>, Refusal> {
    Ok(Json(agents(&Facts::gather(&world).await?)))
}
