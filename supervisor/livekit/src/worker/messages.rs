//! What the server says, and what follows.
//!
//! Owns: offers, assignments, terminations. Never: ends a connection because of a message that it does not know.

use std::time::Instant;

use crate::bounds::{END_AFTER_ASSIGNMENT, OFFERS_MAX};
use crate::message::ServerMessage;
use crate::proto;
use crate::worker::event::{Assignment, Declined, JobEnd, JobId, Lapse, Notice, Offer, Output, SocketId};
use crate::worker::jobs::{Job, JobState};
use crate::worker::{Message, Worker};

impl Worker {
    pub(super) fn received(
        &mut self,
        now: Instant,
        chance: &mut dyn FnMut() -> f64,
        from: SocketId,
        message: ServerMessage,
        out: &mut Vec<Output>,
    ) {
        match message {
            ServerMessage::Registered { worker_id, server } => self.registered(now, from, worker_id, server, out),
            ServerMessage::Unknown => self.counters.messages_unknown += 1,
            ServerMessage::Unreadable => self.counters.messages_unreadable += 1,
            ServerMessage::GoAway { reason } => self.move_on(now, chance, from, reason, out),
            ServerMessage::Offer { .. }
            | ServerMessage::Assigned { .. }
            | ServerMessage::Pong { .. }
            | ServerMessage::Terminate(_)
                if !self.is_open(from) =>
            {
                self.counters.messages_unexpected += 1;
            }
            ServerMessage::Offer { id, job, raw, resuming } => {
                let explicit = self.registration.is_meant_by(&job.agent_name);
                let offer = Offer { id, job: *job, raw, resuming, explicit, came: now };
                self.offered(now, from, Box::new(offer), out);
            }
            ServerMessage::Assigned { id, job, raw, token, url } => {
                self.assigned(now, from, Box::new(Assignment { id, job: *job, raw, token, url }), out);
            }
            ServerMessage::Pong { sent } => self.ponged(now, sent),
            ServerMessage::Terminate(id) => self.terminated(id, out),
        }
    }

    /// Passed on, unless the answer can only be no.
    fn offered(&mut self, now: Instant, from: SocketId, offer: Box<Offer>, out: &mut Vec<Output>) {
        self.counters.offers += 1;
        let declined = if self.drain.is_some() {
            Some(Declined::Draining)
        } else if self.jobs.get(&offer.id).is_some() || self.jobs.was_ended(&offer.id) {
            Some(Declined::Known)
        } else if self.jobs.pending() >= OFFERS_MAX {
            Some(Declined::TooMany)
        } else {
            None
        };
        if let Some(why) = declined {
            self.refuse(from, &offer.id, false, out);
            out.push(Output::Notice(Notice::Declined { offer, why }));
        } else {
            self.jobs.offer(offer.id.clone(), from, offer.explicit, now);
            out.push(Output::Notice(Notice::Offer(offer)));
        }
    }

    pub(super) fn refuse(&mut self, socket: SocketId, id: &JobId, terminate: bool, out: &mut Vec<Output>) {
        self.counters.refused += 1;
        let answer =
            proto::AvailabilityResponse { job_id: id.0.clone(), available: false, terminate, ..Default::default() };
        self.send(socket, Message::Availability(answer), out);
    }

    fn assigned(&mut self, now: Instant, from: SocketId, assignment: Box<Assignment>, out: &mut Vec<Output>) {
        let id = assignment.id.clone();
        match self.jobs.get(&id).map(|job| job.state.clone()) {
            Some(JobState::Accepted { ended: None, .. }) => {
                self.counters.assigned += 1;
                self.jobs.assign(&id, from, now);
                out.push(Output::Notice(Notice::Assigned(assignment)));
            }
            Some(JobState::Accepted { ended: Some(end), .. }) => {
                self.counters.assigned += 1;
                self.jobs.take(&id);
                self.conclude(now, id, Some(from), now + END_AFTER_ASSIGNMENT, end, out);
            }
            Some(JobState::Live { .. }) => self.counters.messages_unexpected += 1,
            None if self.jobs.was_ended(&id) => self.counters.messages_unexpected += 1,
            Some(JobState::Offered { .. }) => {
                self.jobs.take(&id);
                self.lapsed(id.clone(), Lapse::NotAssigned, out);
                self.fail_late(now, id, from, out);
            }
            None => self.fail_late(now, id, from, out),
        }
    }

    /// The server believes that this job runs here, and nothing is reserved for it.
    fn fail_late(&mut self, now: Instant, id: JobId, from: SocketId, out: &mut Vec<Output>) {
        self.counters.assigned_late += 1;
        let error = "the assignment came after the worker had stopped waiting for it".to_owned();
        self.conclude(now, id, Some(from), now + END_AFTER_ASSIGNMENT, JobEnd::Failed { error }, out);
    }

    fn terminated(&mut self, id: JobId, out: &mut Vec<Output>) {
        let Some(job) = self.jobs.get(&id) else {
            self.counters.messages_unexpected += 1;
            return;
        };
        self.counters.terminations += 1;
        match &job.state {
            JobState::Live { .. } => out.push(Output::Notice(Notice::Terminate { job: id })),
            JobState::Accepted { ended: Some(_), .. } => {
                self.jobs.take(&id);
            }
            JobState::Offered { .. } | JobState::Accepted { ended: None, .. } => {
                self.jobs.take(&id);
                self.lapsed(id, Lapse::Terminated, out);
            }
        }
    }

    /// Nobody answered an offer, or nobody assigned what was accepted.
    pub(super) fn lapse_in_time(&mut self, id: JobId, job: Job, out: &mut Vec<Output>) {
        match job.state {
            JobState::Offered { .. } => {
                if let Some(home) = job.home {
                    self.refuse(home, &id, false, out);
                }
                self.lapsed(id, Lapse::Unanswered, out);
            }
            JobState::Accepted { ended: None, .. } => self.lapsed(id, Lapse::NotAssigned, out),
            JobState::Accepted { ended: Some(_), .. } | JobState::Live { .. } => {}
        }
    }
}
