//! The ends of jobs: each told once, not too early, and kept while there is nobody to tell.
//!
//! Owns: terminal updates from the owner's word to the server's socket. Never: decides how a job ended.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bounds::{ERROR_BYTES_MAX, UPDATES_QUEUED_MAX};
use crate::proto;
use crate::worker::event::{JobEnd, JobId, Output, SocketId};
use crate::worker::{Message, Worker};

/// Ends that were not told yet.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Too early to be told; see [`crate::bounds::END_AFTER_ASSIGNMENT`].
    early: Vec<Early>,
    /// Nobody to tell.
    homeless: VecDeque<proto::UpdateJobStatus>,
}

#[derive(Debug)]
struct Early {
    due: Instant,
    home: SocketId,
    update: proto::UpdateJobStatus,
}

impl Ends {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.early.len() + self.homeless.len()
    }

    /// When the next one may be told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.early.iter().map(|early| early.due).min()
    }

    /// Whether one waits for this connection.
    pub(crate) fn has_home(&self, socket: SocketId) -> bool {
        self.early.iter().any(|early| early.home == socket)
    }

    /// The jobs whose ends wait for a connection.
    pub(crate) fn homeless(&self) -> impl Iterator<Item = &str> {
        self.homeless.iter().map(|update| update.job_id.as_str())
    }

    /// Takes out those that may be told on any of the connections that `chosen` takes.
    fn take_early(&mut self, chosen: impl Fn(&Early) -> bool) -> Vec<Early> {
        self.early.extract_if(.., |early| chosen(early)).collect()
    }
}

impl Worker {
    /// Gives a job its one terminal status: on its home, which is an open connection, when the server is sure to know the
    /// job; or as soon as there is a connection.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        id: JobId,
        home: Option<SocketId>,
        due: Instant,
        end: JobEnd,
        out: &mut Vec<Output>,
    ) {
        let (status, error) = match end {
            JobEnd::Success => {
                self.counters.succeeded += 1;
                (proto::JobStatus::JsSuccess, String::new())
            }
            JobEnd::Failed { error } => {
                self.counters.failed += 1;
                (proto::JobStatus::JsFailed, cut(error))
            }
        };
        let update = proto::UpdateJobStatus { job_id: id.0.clone(), status: status.into(), error };
        self.jobs.remember(id);
        match home {
            Some(home) if now < due && self.ends.early.len() < UPDATES_QUEUED_MAX => {
                self.ends.early.push(Early { due, home, update });
            }
            Some(home) => {
                self.send(home, Message::UpdateJob(update), out);
            }
            None => self.keep(update),
        }
    }

    fn keep(&mut self, update: proto::UpdateJobStatus) {
        if self.ends.homeless.len() == UPDATES_QUEUED_MAX {
            self.ends.homeless.pop_front();
            self.counters.updates_lost += 1;
        }
        self.ends.homeless.push_back(update);
    }

    /// Tells what is no longer too early.
    pub(super) fn tell_due_ends(&mut self, now: Instant, out: &mut Vec<Output>) {
        for Early { home, update, .. } in self.ends.take_early(|early| early.due <= now) {
            self.send(home, Message::UpdateJob(update), out);
        }
    }

    /// Tells at once what is too early: there will be no later.
    pub(super) fn tell_early_ends(&mut self, out: &mut Vec<Output>) {
        for Early { home, update, .. } in self.ends.take_early(|_| true) {
            self.send(home, Message::UpdateJob(update), out);
        }
    }

    /// A connection is gone: what waited for it waits for another.
    pub(super) fn keep_ends_of(&mut self, socket: SocketId) {
        for Early { update, .. } in self.ends.take_early(|early| early.home == socket) {
            self.keep(update);
        }
    }

    /// There is a connection: tell what waited for one.
    pub(super) fn tell_homeless_ends(&mut self, socket: SocketId, out: &mut Vec<Output>) {
        while let Some(update) = self.ends.homeless.pop_front() {
            self.send(socket, Message::UpdateJob(update), out);
        }
    }
}

/// The beginning of an error text, as long as the server gets it.
fn cut(mut error: String) -> String {
    error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
    error
}
