//! How we stand with the server, in the words of the control API.
//!
//! Owns: that translation. Never: a token, or the metadata of a job.

use openrtc_control_api as api;
use openrtc_livekit::{LinkView, NotDispatchable};

use super::history::{Answered, Fate, Remembered};
use super::{Livekit, Worker};

impl Livekit {
    /// How we stand.
    pub fn view(&self) -> api::Livekit {
        let shared = &self.shared;
        let workers: Vec<_> = shared.workers.iter().map(worker).collect();
        let expired = shared.workers.iter().map(|worker| worker.client.standing().counters.lapsed).sum();
        let dispatchable = workers.iter().any(|worker| worker.dispatchable);
        let why_not = if dispatchable { None } else { workers.iter().find_map(|worker| worker.why_not.clone()) };
        shared.office.calls.peek(|history| api::Livekit {
            url: shared.office.url.clone(),
            dispatchable,
            why_not,
            workers,
            offers: history.offers,
            accepted: history.accepted,
            refused: history.refused.clone(),
            assignments_expired: expired,
            tenants_ignored: history.tenants_ignored,
            redispatched: history.redispatched,
        })
    }
}

fn worker(worker: &Worker) -> api::LivekitWorker {
    let standing = worker.client.standing();
    let dispatchable = standing.dispatchable();
    let mut view = api::LivekitWorker {
        agent_name: worker.agent_name.clone(),
        job_type: worker.job_type.name().to_owned(),
        dispatchable: dispatchable.is_ok(),
        why_not: dispatchable.err().map(|why: NotDispatchable| why.to_string()),
        load: (f64::from(standing.report.load) * 1000.0).round() / 1000.0,
        live: standing.live,
        pending: standing.pending,
        round_trip_ms: standing.round_trip.map(|time| (time.as_secs_f64() * 1e4).round() / 10.0),
        ..api::LivekitWorker::default()
    };
    view.link = match standing.link {
        LinkView::Idle => "idle",
        LinkView::Connecting { attempt, why } => {
            (view.attempt, view.last_error) = (attempt, why.map(|why| why.to_string()));
            "connecting"
        }
        LinkView::Registering => "registering",
        LinkView::Registered { worker_id, server_version, .. } => {
            view.worker_id = Some(worker_id.to_string());
            view.server_version = Some(server_version.to_string());
            "registered"
        }
        LinkView::Stopped => "stopped",
    }
    .to_owned();
    view
}

/// An offer and what became of it.
pub(super) fn offer(remembered: &Remembered) -> api::LivekitOffer {
    let mut offer = api::LivekitOffer {
        job: remembered.job.to_string(),
        room: remembered.room.clone(),
        agent_name: remembered.agent_name.clone(),
        at_unix_ms: remembered.at_unix_ms,
        ..api::LivekitOffer::default()
    };
    let answered = match &remembered.answered {
        Answered::Accepted { session, tenant, agent } => {
            offer.accepted = true;
            (offer.session, offer.tenant) = (Some(session.clone()), Some(tenant.clone()));
            offer.agent = Some(agent.clone());
            "accepted"
        }
        Answered::Refused { reason, detail, terminate } => {
            (offer.reason, offer.detail) = (Some(reason.clone()), Some(detail.clone()));
            offer.terminate = *terminate;
            "refused"
        }
    };
    let (state, error) = match &remembered.fate {
        None => (answered, None),
        Some(Fate::Assigned) => ("assigned", None),
        Some(Fate::Lapsed(why)) => ("lapsed", Some(why.clone())),
        Some(Fate::Ended(None)) => ("ended", None),
        Some(Fate::Ended(Some(error))) => ("failed", Some(error.clone())),
    };
    (offer.state, offer.error) = (state.to_owned(), error);
    offer
}
