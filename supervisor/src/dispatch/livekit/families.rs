//! How we stand with the server, for `/metrics`.
//!
//! Owns: these families. Never: a room, a job or a token.

use openrtc_livekit::NotDispatchable;
use prometheus_client::registry::{Registry, Unit};

use super::Livekit;
use crate::metrics::table::Family;

impl Livekit {
    /// What is a state, or counted elsewhere.
    pub(crate) fn families(&self) -> Vec<Family> {
        let view = self.view();
        let mut offers = Family::counter("livekit_offers", "Offers answered, by answer and reason");
        offers.push(&[("answer", "accepted"), ("reason", "")], view.accepted as f64);
        for (reason, times) in &view.refused {
            offers.push(&[("answer", "refused"), ("reason", reason)], *times as f64);
        }
        let count = |name, help, times: u64| Family::counter(name, help).with(&[], times as f64);
        let mut families = vec![
            offers,
            count("livekit_assignments_expired", "Acceptances that were never assigned", view.assignments_expired),
            count("livekit_tenants_ignored", "Tenants named only where it is not trusted", view.tenants_ignored),
            count("livekit_redispatched", "Calls that another agent was asked for", view.redispatched),
        ];
        families.extend(self.connections());
        families
    }

    fn connections(&self) -> [Family; 4] {
        let mut dispatchable =
            Family::gauge("livekit_dispatchable", "Whether the server can offer a connection calls, and why not");
        let mut jobs = Family::gauge("livekit_jobs", "Jobs of a connection: live ones, and offers that wait");
        let mut load = Family::gauge("livekit_load", "What the server was told: 0 to 0.69 while admitting, else 1");
        let mut ping = Family::gauge("livekit_ping", "Round trip to the server").in_unit(Unit::Seconds);
        for worker in &self.shared.workers {
            let standing = worker.client.standing();
            let (agent, kind) = (("agent_name", worker.agent_name.as_str()), ("job_type", worker.job_type.name()));
            let (yes, why) = match standing.dispatchable() {
                Ok(()) => (1.0, ""),
                Err(NotDispatchable::NotRegistered) => (0.0, "not_registered"),
                Err(NotDispatchable::Full) => (0.0, "full"),
                Err(NotDispatchable::Draining) => (0.0, "draining"),
                Err(NotDispatchable::Stopped) => (0.0, "stopped"),
            };
            dispatchable.push(&[agent, kind, ("why", why)], yes);
            jobs.push(&[agent, kind, ("state", "live")], standing.live as f64);
            jobs.push(&[agent, kind, ("state", "pending")], standing.pending as f64);
            load.push(&[agent, kind], f64::from(standing.report.load));
            // Not a number before the first answer.
            let round_trip = standing.round_trip.map_or(f64::NAN, |time| time.as_secs_f64());
            ping.push(&[agent, kind], round_trip);
        }
        [dispatchable, jobs, load, ping]
    }

    /// What is measured as it happens.
    pub(crate) fn register(&self, families: &mut Registry) {
        families.register_with_unit(
            "livekit_offer_answer",
            "From an offer's arrival to our answer",
            Unit::Seconds,
            self.shared.office.answering.clone(),
        );
    }
}
