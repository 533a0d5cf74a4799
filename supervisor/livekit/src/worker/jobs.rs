//! The jobs of a worker, from offer to end.
//!
//! Owns: each job's state, its connection, and the moments when an offer or an acceptance lapses. Never: talks.
//!
//! ```text
//! offered ──accept──► accepted ──assigned──► live ──ended──► (remembered as ended)
//!    └─refuse, lapse      └─lapse, or ended by its owner before it was assigned
//! ```

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Instant;

use crate::bounds::{ANSWER_WITHIN, ASSIGN_WITHIN, END_AFTER_ASSIGNMENT, ENDED_REMEMBERED_MAX};
use crate::worker::event::{JobEnd, JobId, SocketId};

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobState {
    /// The owner has to answer until `due`.
    Offered {
        /// See [`ANSWER_WITHIN`].
        due: Instant,
        /// Dispatched to our agent name.
        explicit: bool,
    },
    /// The server has to assign until `due`.
    Accepted {
        /// See [`ASSIGN_WITHIN`].
        due: Instant,
        /// The owner ended it already; told as soon as it is assigned, forgotten if it never is.
        ended: Option<JobEnd>,
    },
    /// It is ours until the owner ends it.
    Live {
        /// When the server is sure to know that; see [`END_AFTER_ASSIGNMENT`].
        known: Instant,
    },
}

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    /// The connection that it came over, unless that is gone.
    pub(crate) home: Option<SocketId>,
    /// Where it stands.
    pub(crate) state: JobState,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: HashMap<JobId, Job>,
    due: BTreeSet<(Instant, JobId)>,
    ended: VecDeque<JobId>,
    remembered: HashSet<JobId>,
    live: usize,
}

impl Jobs {
    pub(crate) fn get(&self, id: &JobId) -> Option<&Job> {
        self.jobs.get(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Jobs that are assigned.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Offers and acceptances that wait.
    pub(crate) fn pending(&self) -> usize {
        self.due.len()
    }

    /// Whether anything still needs this connection.
    pub(crate) fn has_home(&self, socket: SocketId) -> bool {
        self.jobs.values().any(|job| job.home == Some(socket))
    }

    /// A new offer.
    pub(crate) fn offer(&mut self, id: JobId, home: SocketId, explicit: bool, now: Instant) {
        self.put(id, Job { home: Some(home), state: JobState::Offered { due: now + ANSWER_WITHIN, explicit } });
    }

    /// The owner took it.
    pub(crate) fn accept(&mut self, id: &JobId, now: Instant) {
        if let Some(job) = self.take(id) {
            let state = JobState::Accepted { due: now + ASSIGN_WITHIN, ended: None };
            self.put(id.clone(), Job { state, ..job });
        }
    }

    /// The owner ended it before it was assigned. The first end counts.
    pub(crate) fn end_early(&mut self, id: &JobId, end: JobEnd) {
        if let Some(Job { state: JobState::Accepted { ended, .. }, .. }) = self.jobs.get_mut(id) {
            ended.get_or_insert(end);
        }
    }

    /// The server assigned it.
    pub(crate) fn assign(&mut self, id: &JobId, home: SocketId, now: Instant) {
        self.take(id);
        let state = JobState::Live { known: now + END_AFTER_ASSIGNMENT };
        self.put(id.clone(), Job { home: Some(home), state });
    }

    /// Takes a job out, whatever it is.
    pub(crate) fn take(&mut self, id: &JobId) -> Option<Job> {
        let job = self.jobs.remove(id)?;
        match &job.state {
            JobState::Offered { due, .. } | JobState::Accepted { due, .. } => {
                self.due.remove(&(*due, id.clone()));
            }
            JobState::Live { .. } => self.live -= 1,
        }
        Some(job)
    }

    fn put(&mut self, id: JobId, job: Job) {
        match &job.state {
            JobState::Offered { due, .. } | JobState::Accepted { due, .. } => {
                self.due.insert((*due, id.clone()));
            }
            JobState::Live { .. } => self.live += 1,
        }
        self.jobs.insert(id, job);
    }

    /// When the next offer or acceptance lapses.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes out one offer or acceptance that has lapsed.
    pub(crate) fn take_lapsed(&mut self, now: Instant) -> Option<(JobId, Job)> {
        let id = self.due.first().filter(|(due, _)| *due <= now)?.1.clone();
        self.take(&id).map(|job| (id, job))
    }

    /// A connection is gone: live jobs stay without it, the others are taken out.
    pub(crate) fn leave_home(&mut self, socket: SocketId) -> Vec<(JobId, Job)> {
        let mut lapsed = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.home == Some(socket) {
                match job.state {
                    JobState::Offered { .. } | JobState::Accepted { .. } => lapsed.push(id.clone()),
                    JobState::Live { .. } => job.home = None,
                }
            }
        }
        lapsed.sort();
        lapsed.into_iter().filter_map(|id| self.take(&id).map(|job| (id, job))).collect()
    }

    /// Live jobs without a connection move to this one. Their names.
    pub(crate) fn settle(&mut self, socket: SocketId) -> Vec<JobId> {
        let mut moved = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.home.is_none() {
                job.home = Some(socket);
                moved.push(id.clone());
            }
        }
        moved.sort();
        moved
    }

    /// Every name, in order.
    pub(crate) fn ids(&self) -> Vec<JobId> {
        let mut ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Remembers that a terminal status was given for this job.
    pub(crate) fn remember(&mut self, id: JobId) {
        if self.remembered.insert(id.clone()) {
            self.ended.push_back(id);
        }
        if self.ended.len() > ENDED_REMEMBERED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.remembered.remove(&oldest);
        }
    }

    /// Whether a terminal status was given for this job, as far as that is remembered.
    pub(crate) fn was_ended(&self, id: &JobId) -> bool {
        self.remembered.contains(id)
    }
}
