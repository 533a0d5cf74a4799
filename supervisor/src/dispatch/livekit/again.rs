//! Asking for another agent where a host died under a call (`[livekit] redispatch_after_host_death`).
//!
//! Owns: how often, and when not: nobody waits in the room, or the tenant's breaker is open. Never: places a call; the
//! server offers it to whoever has room.

use std::sync::Arc;
use std::time::Duration;

use openrtc_livekit::{Service, ServiceError, proto};
use tokio::sync::mpsc;

use super::desk::Office;
use super::origin::{Bereaved, Origin};
use crate::host::chain;
use crate::sources::Stopping;

/// Counts, in the new dispatch's attributes, how often its call was asked for again: whichever worker gets it goes on
/// counting.
const ATTRIBUTE: &str = "openrtc.redispatched";

/// Longest wait for a host that may be made again; then another worker may have one.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Beyond the back-off's end, which policy counts by its own clock.
const BEYOND: Duration = Duration::from_millis(50);

/// Asks again for each call that lost its host.
pub(super) async fn run(office: Arc<Office>, most: u32, mut bereaved: mpsc::Receiver<Bereaved>) {
    while let Some(call) = bereaved.recv().await {
        // Each waits for itself; there are no more of them than there were calls.
        tokio::spawn(serve(Arc::clone(&office), most, call));
    }
}

async fn serve(office: Arc<Office>, most: u32, call: Bereaved) {
    let (room, tenant) = (&call.origin.room, &call.tenant);
    match again(&office, most, &call).await {
        Ok(Ok(number)) => {
            office.calls.history(|history| history.redispatched += 1);
            tracing::info!(room, %tenant, number, most, "livekit: its host died, another agent is asked for");
        }
        Ok(Err(why)) => {
            tracing::warn!(room, %tenant, "livekit: its host died, no other agent is asked for: {why}");
        }
        Err(Stopping) => {}
    }
}

/// Gives which time it is, or why it is not done.
async fn again(office: &Office, most: u32, call: &Bereaved) -> Result<Result<u32, String>, Stopping> {
    let Bereaved { origin, tenant, agent } = call;
    let Some(number) = next(origin, most) else {
        return Ok(Err(format!("redispatch_after_host_death = {most} is used up")));
    };
    if !origin.sole {
        return Ok(Err("it was a participant's job, not the room's".to_owned()));
    }
    let (whose, which) = (tenant.clone(), agent.clone());
    let wait_ms = office.handle.inspect(move |policy| policy.back_off_ms(&whose, &which)).await?;
    if wait_ms > 0 {
        tokio::time::sleep((Duration::from_millis(wait_ms) + BEYOND).min(BACK_OFF_MAX)).await;
    }
    let whose = tenant.clone();
    let breaker = office.handle.inspect(move |policy| policy.breaker(&whose).state).await?;
    if breaker == "open" {
        return Ok(Err(format!("the circuit breaker of {tenant} is open")));
    }
    Ok(replace(&office.service, origin, number).await.unwrap_or_else(|error| Err(chain(&error))).map(|()| number))
}

/// The number of the next time, if there is one.
fn next(origin: &Origin, most: u32) -> Option<u32> {
    let before = origin.attributes.get(ATTRIBUTE).map_or(Some(0), |count| count.parse::<u32>().ok())?;
    (before < most).then_some(before + 1)
}

/// Another dispatch in the place of the one whose agent is lost. A dispatch would make a room anew: there must be somebody
/// in it.
async fn replace(service: &Service, origin: &Origin, number: u32) -> Result<Result<(), String>, ServiceError> {
    let agent = proto::participant_info::Kind::Agent;
    let present = service.list_participants(&origin.room).await?;
    if present.iter().all(|participant| participant.kind() == agent) {
        return Ok(Err("nobody is in its room".to_owned()));
    }
    if let Err(error) = service.delete_dispatch(&origin.room, &origin.dispatch_id).await {
        tracing::debug!(room = origin.room, "livekit: the lost agent's dispatch stays: {}", chain(&error));
    }
    let mut attributes = origin.attributes.clone();
    attributes.insert(ATTRIBUTE.to_owned(), number.to_string());
    let request = proto::CreateAgentDispatchRequest {
        agent_name: origin.agent_name.clone(),
        room: origin.room.clone(),
        metadata: origin.metadata.clone(),
        deployment: origin.deployment.clone(),
        attributes,
        ..Default::default()
    };
    service.create_dispatch(request).await?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_travels_with_the_dispatch_and_is_bounded() {
        let origin = |count: Option<&str>| Origin {
            room: "room-1".into(),
            dispatch_id: "AD_1".into(),
            agent_name: "clerk".into(),
            deployment: String::new(),
            metadata: String::new(),
            attributes: count.map(|count| (ATTRIBUTE.to_owned(), count.to_owned())).into_iter().collect(),
            sole: true,
        };
        assert_eq!(next(&origin(None), 2), Some(1));
        assert_eq!(next(&origin(Some("1")), 2), Some(2));
        assert_eq!(next(&origin(Some("2")), 2), None);
        // What is no count is nothing to go on from.
        assert_eq!(next(&origin(Some("many")), 2), None);
    }
}
