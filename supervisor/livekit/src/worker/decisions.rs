//! What the owner decides, and what follows.
//!
//! Owns: answers, ends, drain and shutdown. Never: takes a decision about a job that is no longer there for an error; the
//! server may have been faster.

use std::time::Instant;

use crate::proto;
use crate::worker::event::{Acceptance, Answer, Decision, JobEnd, JobId, Lapse, Notice, Output, Simulation, SocketId};
use crate::worker::jobs::{Job, JobState};
use crate::worker::link::Link;
use crate::worker::{Drain, Message, Worker};

impl Worker {
    pub(super) fn decided(&mut self, now: Instant, decision: Decision, out: &mut Vec<Output>) {
        match decision {
            Decision::Answer(id, answer) => self.answer(now, id, answer, out),
            Decision::Running(id) => self.running(id, out),
            Decision::Ended(id, end) => self.ended(now, id, end, out),
            Decision::Capacity(capacity) => self.capacity = capacity,
            Decision::Simulate(simulation) => self.simulate(*simulation, out),
            Decision::Drain if self.drain.is_none() => {
                self.drain = Some(Drain::Busy);
                self.report_now(now, out);
            }
            Decision::Drain => {}
            Decision::Shutdown => self.shut_down(now, out),
        }
    }

    fn answer(&mut self, now: Instant, id: JobId, answer: Answer, out: &mut Vec<Output>) {
        let Some(&Job { home: Some(home), state: JobState::Offered { explicit, .. } }) = self.jobs.get(&id) else {
            self.counters.decisions_stale += 1;
            return;
        };
        match answer {
            Answer::Accept(acceptance) => self.accept(now, id, home, *acceptance, out),
            Answer::Refuse { terminate } => {
                self.jobs.take(&id);
                self.counters.terminate_withheld += u64::from(terminate && !explicit);
                self.refuse(home, &id, terminate && explicit, out);
            }
        }
    }

    fn accept(&mut self, now: Instant, id: JobId, home: SocketId, acceptance: Acceptance, out: &mut Vec<Output>) {
        let Acceptance { identity, name, metadata, attributes } = acceptance;
        let answer = proto::AvailabilityResponse {
            job_id: id.0.clone(),
            available: true,
            supports_resume: false,
            terminate: false,
            participant_name: name,
            participant_identity: if identity.is_empty() { format!("agent-{id}") } else { identity },
            participant_metadata: metadata,
            participant_attributes: attributes,
        };
        if self.send(home, Message::Availability(answer), out) {
            self.counters.accepted += 1;
            self.jobs.accept(&id, now);
        } else {
            self.jobs.take(&id);
            self.refuse(home, &id, false, out);
            self.lapsed(id, Lapse::TooLarge, out);
        }
    }

    /// Without a connection nobody is told: the server learns of live jobs by their migration.
    fn running(&mut self, id: JobId, out: &mut Vec<Output>) {
        match self.jobs.get(&id) {
            Some(Job { home: Some(home), state: JobState::Live { .. } }) => {
                let (home, status) = (*home, proto::JobStatus::JsRunning.into());
                let update = proto::UpdateJobStatus { job_id: id.0, status, error: String::new() };
                self.send(home, Message::UpdateJob(update), out);
            }
            Some(Job { home: None, state: JobState::Live { .. } }) => {}
            Some(Job { state: JobState::Offered { .. } | JobState::Accepted { .. }, .. }) | None => {
                self.counters.decisions_stale += 1;
            }
        }
    }

    fn ended(&mut self, now: Instant, id: JobId, end: JobEnd, out: &mut Vec<Output>) {
        match self.jobs.get(&id).map(|job| (&job.state, job.home)) {
            Some((&JobState::Live { known }, home)) => {
                self.jobs.take(&id);
                self.conclude(now, id, home, known, end, out);
            }
            Some((JobState::Accepted { .. }, _)) => self.jobs.end_early(&id, end),
            Some((JobState::Offered { .. }, _)) | None => self.counters.decisions_stale += 1,
        }
    }

    fn simulate(&mut self, simulation: Simulation, out: &mut Vec<Output>) {
        let Link::Registered { socket, .. } = self.link else {
            out.push(Output::Notice(Notice::NotSimulated { room: simulation.room.name }));
            return;
        };
        let Simulation { room, participant } = simulation;
        let request = proto::SimulateJobRequest { room: Some(room), participant, ..Default::default() };
        self.send(socket, Message::SimulateJob(request), out);
    }

    /// What is offered is refused, what runs is reported as failed, and everything is closed.
    fn shut_down(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.tell_early_ends(out);
        for id in self.jobs.ids() {
            let Some(Job { home, state }) = self.jobs.take(&id) else { continue };
            match state {
                JobState::Live { .. } => {
                    let error = "the worker was shut down".to_owned();
                    self.conclude(now, id, home, now, JobEnd::Failed { error }, out);
                }
                JobState::Offered { .. } => {
                    if let Some(home) = home {
                        self.refuse(home, &id, false, out);
                    }
                    self.lapsed(id, Lapse::Stopped, out);
                }
                JobState::Accepted { ended: None, .. } => self.lapsed(id, Lapse::Stopped, out),
                JobState::Accepted { ended: Some(_), .. } => {}
            }
        }
        let link = std::mem::replace(&mut self.link, Link::Stopped);
        let leaving = self.leaving.drain(..).map(|leaving| leaving.socket);
        out.extend(leaving.chain(link.socket()).map(|socket| Output::Close { socket }));
        self.drain = self.drain.map(|_| Drain::Told);
        out.push(Output::Notice(Notice::Stopped));
    }
}
