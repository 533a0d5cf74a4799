//! One connection to the server, served: offers answered, assignments booked, what happens told in the log.
//!
//! Owns: the order in which a connection's notices are dealt with. Never: decides on a job; policy does, from memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::{Call, SecretText, SessionId};
use openrtc_livekit::{
    Acceptance, Answer as Reply, ApiKey, Assignment, Client, Declined, Grant, JobEnd, JobId, Lapse, NotDispatchable,
    Notice, Offer, Service, Standing,
};
use openrtc_policy::{Admitted, Answer};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::mpsc;

use super::calls::{Assigned, Calls};
use super::history::Answered;
use super::offer::{self, Question};
use super::origin::Origin;
use super::rooms;
use crate::config::livekit::{HostGrant, JobType, TrustedMetadata};
use crate::host::chain;
use crate::host::order::Recordings;
use crate::sources::{Handle, Stopping};

/// Validity of what hosts get by `host_grants`; as long as the job's own token.
const GRANTS_TTL: Duration = Duration::from_secs(3600);
/// The attribute that livekit-agents gives its participants.
const AGENT_NAME_ATTRIBUTE: &str = "lk.agent.name";

/// What all connections have in common.
pub(super) struct Office {
    pub(super) handle: Handle,
    pub(super) calls: Calls,
    pub(super) key: Arc<ApiKey>,
    pub(super) service: Service,
    /// As agents get it.
    pub(super) url: String,
    pub(super) trusted: BTreeSet<TrustedMetadata>,
    pub(super) grants: BTreeSet<HostGrant>,
    /// From an offer's arrival to its answer.
    pub(super) answering: Histogram,
}

/// One connection.
pub(super) struct Desk {
    pub(super) office: Arc<Office>,
    pub(super) client: Client,
    pub(super) number: usize,
    pub(super) agent_name: String,
    pub(super) job_type: JobType,
    pub(super) told: Option<Result<(), NotDispatchable>>,
}

impl Desk {
    /// Serves until the connection was shut down.
    pub(super) async fn run(mut self, mut notices: mpsc::Receiver<Notice>) {
        let mut standing = self.client.watch();
        loop {
            tokio::select! {
                // Offers first: a caller waits.
                biased;
                notice = notices.recv() => match notice {
                    None | Some(Notice::Stopped) => return,
                    // Whatever stops us shuts the connection down.
                    Some(notice) => if self.hear(notice).await.is_err() {
                        tracing::debug!("livekit: the supervisor is stopping");
                    },
                },
                Ok(()) = standing.changed() => {
                    let now = standing.borrow_and_update().clone();
                    self.tell(&now);
                }
            }
        }
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), Stopping> {
        match notice {
            Notice::Offer(offer) => {
                let came = offer.came;
                let outcome = self.answer(*offer).await;
                self.office.answering.observe(came.elapsed().as_secs_f64());
                outcome
            }
            Notice::Declined { offer, why } => {
                self.declined(*offer, why);
                Ok(())
            }
            Notice::Assigned(assignment) => self.assigned(*assignment).await,
            Notice::Lapsed { job, why } => self.lapsed(job, why).await,
            Notice::Terminate { job } => self.terminate(job).await,
            notice @ (Notice::Registered { .. }
            | Notice::Disconnected { .. }
            | Notice::Moving { .. }
            | Notice::NotSimulated { .. }
            | Notice::Drained
            | Notice::Stopped) => {
                self.log(notice);
                Ok(())
            }
        }
    }

    async fn terminate(&mut self, job: JobId) -> Result<(), Stopping> {
        let Some((session, origin)) = self.office.calls.session(&job) else { return Ok(()) };
        tracing::info!(%job, %session, "livekit: the server ends the job");
        let Some(origin) = origin else { return self.office.handle.lost(session).await };
        let office = Arc::clone(&self.office);
        // Offers must not wait for what the server says to that; at shutdown nobody asks any more.
        tokio::spawn(async move { rooms::terminated(&office, session, &origin).await });
        Ok(())
    }

    async fn answer(&mut self, offer: Offer) -> Result<(), Stopping> {
        let Question { mut dispatch, ignored } = offer::question(&offer.job, &self.office.trusted);
        let room = offer.job.room.as_ref();
        if room.is_some_and(|room| room.sid.is_empty())
            && let Some(tenant) = self.office.calls.simulated(&dispatch.room)
        {
            dispatch.tenant = Some(tenant);
        }
        if !ignored.is_empty() {
            self.office.calls.history(|history| history.tenants_ignored += 1);
            tracing::warn!(
                job = %offer.id,
                room = dispatch.room,
                "livekit: a tenant named only in {} is ignored; name it in the dispatch, or see [livekit] trusted_metadata",
                ignored.join(" and ")
            );
        }
        let room = dispatch.room.clone();
        let answer = match self.office.handle.dispatch(dispatch, Recordings::default()).await {
            Ok(answer) => answer,
            Err(stopping) => {
                self.refuse(offer, room, "draining", stopping.to_string(), false);
                return Err(stopping);
            }
        };
        match answer {
            Answer::Admitted(admitted) => self.accept(offer, room, admitted).await,
            Answer::Rejected(rejection) => {
                let terminate = offer::is_final(rejection.reason);
                self.refuse(offer, room, rejection.reason.name(), rejection.detail, terminate);
                Ok(())
            }
        }
    }

    async fn accept(&mut self, offer: Offer, room: String, admitted: Admitted) -> Result<(), Stopping> {
        let Admitted { session, tenant, agent, .. } = admitted;
        let calls = &self.office.calls;
        calls.reserve(offer.id.clone(), self.number, session);
        let acceptance = Acceptance {
            identity: identity(&offer.id),
            attributes: HashMap::from([(AGENT_NAME_ATTRIBUTE.to_owned(), self.agent_name.clone())]),
            ..Acceptance::default()
        };
        let answered =
            Answered::Accepted { session: session.to_string(), tenant: tenant.to_string(), agent: agent.to_string() };
        calls.history(|history| history.answered(offer.id.clone(), room, self.agent_name.clone(), answered));
        match self.client.answer(offer.id.clone(), Reply::Accept(Box::new(acceptance))) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, job = %offer.id, "livekit: an answer was not given");
                calls.lapse(&offer.id, error.to_string());
                self.office.handle.lost(session).await
            }
        }
    }

    fn refuse(&self, offer: Offer, room: String, reason: &str, detail: String, terminate: bool) {
        tracing::info!(job = %offer.id, room, reason, "livekit: refused: {detail}");
        if let Err(error) = self.client.answer(offer.id.clone(), Reply::Refuse { terminate }) {
            tracing::warn!(%error, job = %offer.id, "livekit: a refusal was not given");
        }
        let terminate = terminate && offer.explicit;
        let answered = Answered::Refused { reason: reason.to_owned(), detail, terminate };
        self.office.calls.history(|history| history.answered(offer.id, room, self.agent_name.clone(), answered));
    }

    fn declined(&self, offer: Offer, why: Declined) {
        let (reason, detail) = match why {
            Declined::Draining => ("draining", "the supervisor is draining"),
            Declined::Known => ("known", "the job is or was ours already"),
            Declined::TooMany => ("too_many_offers", "too many offers wait for an answer"),
        };
        let room = offer.job.room.map(|room| room.name).unwrap_or_default();
        let answered = Answered::Refused { reason: reason.to_owned(), detail: detail.to_owned(), terminate: false };
        self.office.calls.history(|history| history.answered(offer.id, room, self.agent_name.clone(), answered));
    }

    async fn assigned(&mut self, assignment: Assignment) -> Result<(), Stopping> {
        let Assignment { id, job, raw, token, url } = assignment;
        let origin = Origin::of(&job).map(Arc::new);
        let room = job.room.unwrap_or_default();
        let call = Call {
            url: url.filter(|url| !url.is_empty()).unwrap_or_else(|| self.office.url.clone()),
            token: SecretText::new(token.expose().to_owned()),
            identity: identity(&id),
            job: raw.to_vec(),
            grants: self.grants(&room.name),
        };
        let assigned = Assigned { call, job_metadata: job.metadata, room_metadata: room.metadata };
        let Some((session, late)) = self.office.calls.assign(&id, assigned, origin) else {
            // Its place was given up; the server must not wait for an agent that never comes.
            self.give_up(id);
            return Ok(());
        };
        self.office.handle.assigned(session).await?;
        if late && !self.is_there(session).await? {
            let error = "it was assigned after its place had been given up".to_owned();
            self.office.calls.end(session, JobEnd::Failed { error });
        }
        Ok(())
    }

    async fn is_there(&self, session: SessionId) -> Result<bool, Stopping> {
        let there = move |policy: &openrtc_policy::Policy| policy.sessions().any(|view| view.plan.session == session);
        self.office.handle.inspect(there).await
    }

    fn give_up(&self, job: JobId) {
        let error = "it was assigned after its place had been given up".to_owned();
        if let Err(error) = self.client.ended(job, JobEnd::Failed { error }) {
            tracing::warn!(%error, "livekit: an end was not told");
        }
    }

    fn grants(&self, room: &str) -> Option<SecretText> {
        let HostGrant::RoomAdmin = *self.office.grants.first()?;
        let grant = Grant::RoomAdmin { room: room.to_owned() };
        match self.office.key.grant_token(&grant, GRANTS_TTL) {
            Ok(token) => Some(SecretText::new(token.expose().to_owned())),
            Err(error) => {
                tracing::warn!("livekit: no token by host_grants: {}", chain(&error));
                None
            }
        }
    }

    async fn lapsed(&mut self, job: JobId, why: Lapse) -> Result<(), Stopping> {
        let why = match why {
            Lapse::Unanswered => "it was not answered in time",
            Lapse::NotAssigned => "the server did not assign it",
            Lapse::Disconnected => "the connection ended",
            Lapse::Terminated => "the server took it back",
            Lapse::TooLarge => "the acceptance would not have fitted into a message",
            Lapse::Stopped => "the worker was shut down",
        };
        match self.office.calls.lapse(&job, why.to_owned()) {
            None => Ok(()),
            Some(session) => {
                tracing::warn!(%job, %session, "livekit: an accepted job did not come: {why}");
                self.office.handle.lost(session).await
            }
        }
    }

    fn log(&self, notice: Notice) {
        let (agent_name, url) = (&self.agent_name, &self.office.url);
        let job_type = self.job_type.name();
        match notice {
            Notice::Registered { worker_id, server, resumed } => {
                let version = server.version;
                tracing::info!(worker_id, url, agent_name, job_type, server = version, resumed, "livekit: registered");
            }
            Notice::Disconnected { why, attempt, retry_after } => {
                let retry_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(url, agent_name, job_type, attempt, retry_ms, "livekit: not connected: {}", chain(&why));
            }
            Notice::Moving { reason } => {
                tracing::info!(url, agent_name, "livekit: the server leaves, connecting anew: {reason}");
            }
            Notice::NotSimulated { room } => {
                tracing::warn!(room, "livekit: no job was simulated: the worker is not registered");
            }
            Notice::Drained => tracing::info!(agent_name, job_type, "livekit: the last call has ended"),
            Notice::Offer(_)
            | Notice::Declined { .. }
            | Notice::Assigned(_)
            | Notice::Lapsed { .. }
            | Notice::Terminate { .. }
            | Notice::Stopped => {}
        }
    }

    /// Says whether calls can come, when that changes.
    fn tell(&mut self, standing: &Standing) {
        let now = standing.dispatchable();
        if self.told.replace(now) == Some(now) {
            return;
        }
        let (agent_name, job_type) = (&self.agent_name, self.job_type.name());
        match now {
            Ok(()) => tracing::info!(agent_name, job_type, "livekit: dispatchable: yes"),
            Err(why) => tracing::info!(agent_name, job_type, "livekit: dispatchable: no: {why}"),
        }
    }
}

/// As livekit-agents names its participants.
fn identity(job: &JobId) -> String {
    format!("agent-{job}")
}
