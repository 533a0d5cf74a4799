//! A worker under test and whoever looks at what it is told.
//!
//! Owns: starting it against the real server, waiting for notices with a deadline. Never: answers on its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openrtc_livekit::{
    Acceptance, Answer, ApiKey, Assignment, Capacity, Client, ClientPlan, JobId, Notice, Offer, Registration, Service,
    Standing, Trust, proto,
};
use tokio::sync::mpsc;

use crate::livekit_server::{KEY, LivekitServer, SECRET};

/// Longest wait for a notice.
const PATIENCE: Duration = Duration::from_secs(30);

/// One worker.
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

/// A name that no other test has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn key() -> Arc<ApiKey> {
    Arc::new(ApiKey::new(KEY, SECRET))
}

pub(crate) fn service(server: &LivekitServer) -> Service {
    Service::new(server.url().parse().expect("a URL"), key(), &Trust::System).expect("a client")
}

pub(crate) fn dispatch(agent: &str, room: &str) -> proto::CreateAgentDispatchRequest {
    proto::CreateAgentDispatchRequest { agent_name: agent.into(), room: room.into(), ..Default::default() }
}

impl Desk {
    pub(crate) fn start(url: &str, key: Arc<ApiKey>, registration: Registration, capacity: Capacity) -> Self {
        let plan =
            ClientPlan { endpoint: url.parse().expect("a URL"), key, trust: Trust::System, registration, capacity };
        let (client, notices) = Client::start(plan).expect("a client");
        Self { client, notices }
    }

    /// One that is registered under this agent name.
    pub(crate) async fn registered(server: &LivekitServer, agent: &str) -> Self {
        Self::with_capacity(server, agent, Capacity::IDLE).await
    }

    pub(crate) async fn with_capacity(server: &LivekitServer, agent: &str, capacity: Capacity) -> Self {
        let mut desk = Self::start(&server.url(), key(), Registration::rooms(agent), capacity);
        desk.wait("registration", |notice| matches!(notice, Notice::Registered { .. }).then_some(())).await;
        desk
    }

    /// The next notice that `wanted` takes; the others are passed over.
    #[track_caller]
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(Notice) -> Option<T>,
    ) -> impl Future<Output = T> {
        let notices = &mut self.notices;
        async move {
            let search = async {
                loop {
                    let notice = notices.recv().await.unwrap_or_else(|| panic!("the worker ended before: {what}"));
                    let text = format!("{notice:?}");
                    if let Some(found) = wanted(notice) {
                        break found;
                    }
                    println!("  while waiting for {what}: {}", text.chars().take(200).collect::<String>());
                }
            };
            tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
        }
    }

    pub(crate) async fn offer(&mut self) -> Offer {
        self.wait("an offer", |notice| if let Notice::Offer(offer) = notice { Some(*offer) } else { None }).await
    }

    pub(crate) async fn assigned(&mut self) -> Assignment {
        self.wait("an assignment", |notice| if let Notice::Assigned(job) = notice { Some(*job) } else { None }).await
    }

    pub(crate) fn accept(&self, job: &JobId) {
        self.client.answer(job.clone(), Answer::Accept(Box::<Acceptance>::default())).expect("a live worker");
    }

    pub(crate) fn refuse(&self, job: &JobId, terminate: bool) {
        self.client.answer(job.clone(), Answer::Refuse { terminate }).expect("a live worker");
    }

    /// Waits until the standing is as wanted.
    pub(crate) async fn standing(&self, wanted: impl FnMut(&Standing) -> bool) -> Standing {
        let mut watch = self.client.watch();
        let seen = tokio::time::timeout(PATIENCE, watch.wait_for(wanted)).await;
        seen.unwrap_or_else(|_| panic!("{:?}", self.client.standing())).expect("a live worker").clone()
    }
}
