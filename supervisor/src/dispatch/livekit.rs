//! Calls from a LiveKit server: the supervisor is an agent worker, and each accepted job a session.
//!
//! Owns: one connection per agent name and job type, all sharing one admission, and what operators ask of them. Never:
//! admits; never lets the API secret out of this process.
//!
//! ```text
//! offer ─► question (A2–A8) ─► policy ─► accept, refuse        from memory: the server waits less than 2.8 s
//! assigned ─► book ─► DispatchAssigned ─► effects take the call for the host
//! lapsed, taken back ─► DispatchLost
//! the room is closed, or the agent has left it ─► CallOver
//! session concluded ─► book ─► the job's end ─► then the agent may leave its room
//! ```

mod again;
mod calls;
mod desk;
mod families;
mod history;
mod offer;
mod operator;
mod origin;
mod rooms;
mod view;

use std::sync::Arc;
use std::time::Duration;

use openrtc_livekit::{
    ApiKey, Capacity, Client, ClientPlan, Decision, LinkView, Registration, Service, TlsError, TokenError, Trust,
};

pub use calls::{Assigned, Calls};
pub use operator::OperatorFault;

use crate::config::livekit::JobType;
use crate::config::{Config, Livekit as Settings};
use crate::sources::Handle;
use desk::{Desk, Office};

/// How long the connections may take to say what is left and goodbye.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(3);
/// Calls that lost their hosts and wait for another agent to be asked for; beyond, none is.
const BEREAVED_MAX: usize = 256;

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum LivekitError {
    /// The key or its secret cannot be had.
    #[error("resolve {0}")]
    Key(crate::secrets::SecretFault),
    /// The key or its secret signs nothing.
    #[error("use livekit.api_key and livekit.api_secret")]
    Token(#[from] TokenError),
    /// There are no certificates to trust.
    #[error("trust the LiveKit server")]
    Tls(#[from] TlsError),
}

/// The configuration in force whenever it is asked for: a reload may have replaced it.
pub type CurrentConfig = dyn Fn() -> Arc<Config> + Send + Sync;

/// One connection, as others see it.
struct Worker {
    client: Client,
    agent_name: String,
    job_type: JobType,
}

struct Shared {
    config: Arc<CurrentConfig>,
    settings: Settings,
    office: Arc<Office>,
    workers: Vec<Worker>,
}

/// The worker. Clones share it.
#[derive(Clone)]
pub struct Livekit {
    shared: Arc<Shared>,
}

impl Livekit {
    /// Connects, for ever. Needs a tokio runtime.
    pub fn start(
        config: Arc<CurrentConfig>,
        settings: Settings,
        key: ApiKey,
        handle: Handle,
        calls: Calls,
    ) -> Result<Self, LivekitError> {
        let key = Arc::new(key);
        // An empty one is found here, and not again and again by each connection.
        key.worker_token()?;
        let service = Service::new(settings.endpoint.clone(), Arc::clone(&key), &Trust::System)?;
        let office = Arc::new(Office {
            handle,
            calls,
            key: Arc::clone(&key),
            service,
            url: settings.endpoint.to_string(),
            trusted: settings.trusted_metadata.clone(),
            grants: settings.host_grants.clone(),
            answering: crate::metrics::answer_times(),
        });
        tokio::spawn(rooms::watch(Arc::clone(&office)));
        if let Some(most) = settings.redispatch_after_host_death {
            let (tell, bereaved) = tokio::sync::mpsc::channel(BEREAVED_MAX);
            office.calls.tell_bereaved(tell);
            tokio::spawn(again::run(Arc::clone(&office), most, bereaved));
        }
        let mut workers = Vec::new();
        for (agent_name, job_type) in pairs(&settings) {
            let (client, notices) = Client::start(ClientPlan {
                endpoint: settings.endpoint.clone(),
                key: Arc::clone(&key),
                trust: Trust::System,
                registration: Registration::rooms(&agent_name)
                    .of_type(job_type.proto())
                    .with_version(env!("CARGO_PKG_VERSION")),
                capacity: Capacity::IDLE,
            })?;
            let number = office.calls.enter(client.clone());
            let desk = Desk {
                office: Arc::clone(&office),
                client: client.clone(),
                number,
                agent_name: agent_name.clone(),
                job_type,
                told: None,
            };
            tokio::spawn(desk.run(notices));
            workers.push(Worker { client, agent_name, job_type });
        }
        Ok(Self { shared: Arc::new(Shared { config, settings, office, workers }) })
    }

    /// Says what is left to say, and goodbye.
    pub async fn shutdown(&self) {
        for worker in &self.shared.workers {
            // One that has stopped says nothing more.
            let _ = worker.client.decide(Decision::Shutdown);
        }
        let stopped = async {
            for worker in &self.shared.workers {
                let mut standing = worker.client.watch();
                // A closed channel is a stopped worker.
                let _ = standing.wait_for(|standing| standing.link == LinkView::Stopped).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_WITHIN, stopped).await.is_err() {
            tracing::warn!("livekit: a connection did not close in time");
        }
    }
}

fn pairs(settings: &Settings) -> impl Iterator<Item = (String, JobType)> {
    let types = settings.job_types.clone();
    settings.agent_names.iter().flat_map(move |name| {
        let pairs: Vec<_> = types.iter().map(|job_type| (name.clone(), *job_type)).collect();
        pairs
    })
}
