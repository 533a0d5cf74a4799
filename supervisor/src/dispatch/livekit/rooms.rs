//! Calls that are over although their hosts do not say so: the room is closed, or the server ends the job.
//!
//! Owns: telling a dispatch that was taken back from a call that is over, and looking after rooms that close without a
//! word: the server ends the jobs only of agents that have joined. Never: ends a call because the server is away.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::SessionId;
use openrtc_livekit::Service;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::desk::Office;
use super::origin::Origin;
use crate::host::chain;
use crate::sources::Stopping;

/// Between two looks; a room that is missing twice is closed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The server makes the room before the job, and a host joins within this.
const YOUNG: Duration = Duration::from_secs(5);
/// After a lost connection, callers and agents make their rooms anew: a restarted server knows none.
const REJOIN_WITHIN: Duration = Duration::from_secs(60);
/// Looks in a row that find no room.
const LOOKS: u32 = 2;

/// Ends the session of a job that the server ends: as taken back if its dispatch is gone, else as over, because then its
/// agent has left the room or the room is closed, which the host finds out by itself, sooner or later than we do.
pub(super) async fn terminated(office: &Office, session: SessionId, origin: &Origin) -> Result<(), Stopping> {
    let taken_back = match office.service.list_dispatch(&origin.room).await {
        Ok(dispatches) => !dispatches.iter().any(|dispatch| dispatch.id == origin.dispatch_id),
        Err(error) => {
            tracing::debug!(%session, "livekit: the job's room is gone: {}", chain(&error));
            false
        }
    };
    if taken_back { office.handle.lost(session).await } else { office.handle.over(session).await }
}

/// Ends calls whose rooms are closed, until the supervisor stops.
pub(super) async fn watch(office: Arc<Office>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut missed, mut lost) = (BTreeMap::new(), (0, None::<Instant>));
    loop {
        ticks.tick().await;
        let disconnections = office.calls.disconnections();
        if disconnections != lost.0 {
            lost = (disconnections, Some(Instant::now()));
        }
        let calls = office.calls.older_than(YOUNG);
        if calls.is_empty() || lost.1.is_some_and(|at| at.elapsed() < REJOIN_WITHIN) {
            missed.clear();
            continue;
        }
        let Some(rooms) = present(&office.service, &calls).await else { continue };
        for session in closed(&mut missed, &calls, &rooms) {
            tracing::info!(%session, "livekit: the room is closed, its call is over");
            if office.handle.over(session).await.is_err() {
                return;
            }
        }
    }
}

/// The rooms of these calls that there are; `None` if the server does not say.
async fn present(service: &Service, calls: &[(SessionId, Arc<Origin>)]) -> Option<HashSet<String>> {
    let names = calls.iter().map(|(_, origin)| origin.room.clone()).collect();
    match service.list_rooms(names).await {
        Ok(rooms) => Some(rooms.into_iter().map(|room| room.name).collect()),
        Err(error) => {
            tracing::debug!("livekit: the rooms of calls are unknown: {}", chain(&error));
            None
        }
    }
}

/// Counts looks that found no room; gives the calls that have had enough of them.
fn closed(
    missed: &mut BTreeMap<SessionId, u32>,
    calls: &[(SessionId, Arc<Origin>)],
    rooms: &HashSet<String>,
) -> Vec<SessionId> {
    let gone: Vec<SessionId> =
        calls.iter().filter(|(_, origin)| !rooms.contains(&origin.room)).map(|(session, _)| *session).collect();
    missed.retain(|session, _| gone.contains(session));
    for session in gone {
        *missed.entry(session).or_default() += 1;
    }
    missed.iter().filter(|(_, looks)| **looks == LOOKS).map(|(session, _)| *session).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_is_missing_twice_in_a_row_is_closed_and_told_once() {
        let origin = Origin {
            room: "room-1".into(),
            dispatch_id: String::new(),
            agent_name: String::new(),
            deployment: String::new(),
            metadata: String::new(),
            attributes: Default::default(),
            sole: true,
        };
        let session = SessionId { run: 1, seq: 1 };
        let calls = [(session, Arc::new(origin))];
        let (none, there) = (HashSet::new(), HashSet::from(["room-1".to_owned()]));
        let mut missed = BTreeMap::new();
        assert_eq!(closed(&mut missed, &calls, &none), []);
        assert_eq!(closed(&mut missed, &calls, &there), []);
        assert_eq!(closed(&mut missed, &calls, &none), []);
        assert_eq!(closed(&mut missed, &calls, &none), [session]);
        assert_eq!(closed(&mut missed, &calls, &none), []);
        assert_eq!(closed(&mut missed, &[], &none), []);
        assert!(missed.is_empty());
    }
}
