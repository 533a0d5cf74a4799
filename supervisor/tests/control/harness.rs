//! A control server with a driver behind it that answers by rote.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, SessionInfo, TenantId};
use openrtc_policy::Policy;
use openrtc_policy::outcome::{Blame, Outcome, Reason, Status};
use openrtc_policy::rules::{
    AgentRules, BreakerRules, Fallback, HostScope, MissingTenant, RoomRules, RoutingRules, Rules, RuntimeRules,
    TenantRules, TenantStatus, UnknownTenant,
};
use openrtc_policy::{
    Admitted, Answer, Conclusion, Dispatch, Event, HostPlan, OperatorEvent, RejectReason, Rejection, SessionPlan,
};
use openrtc_supervisor::cli::client::Client;
use openrtc_supervisor::cli::find::Candidate;
use openrtc_supervisor::control::{About, BreakerView, Control, PolicyView, Settings, TenantView, World};
use openrtc_supervisor::host::{HostRecord, Registry};
use openrtc_supervisor::ledger::Ledger;
use openrtc_supervisor::observer::Fanout;
use openrtc_supervisor::sources::{Handle, Input};
use tokio::sync::{mpsc, oneshot};

/// Long enough for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) const HOST: HostId = HostId { index: 3, generation: 1 };

pub(crate) struct Server {
    pub(crate) home: tempfile::TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) top: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) hosts: Registry,
    pub(crate) orders: Arc<Mutex<Vec<OperatorEvent>>>,
    pub(crate) recordings: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<()>>,
}

pub(crate) fn settings(home: &tempfile::TempDir) -> Settings {
    Settings {
        runtime_dir: home.path().join("run"),
        control_socket: "control.sock".into(),
        top_socket: Some("top.sock".into()),
        group: None,
        listen: None,
        health: None,
        health_metrics: false,
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let control = Control::open(&settings(&home)).unwrap();
        let (socket, top) = (control.socket(), control.top_socket().unwrap());
        let (handle, queue) = Handle::new();
        let (ledger, hosts) = (Ledger::default(), Registry::default());
        let (orders, recordings) = (Arc::default(), Arc::default());
        let driver = Driver {
            policy: policy(),
            ledger: ledger.clone(),
            hosts: hosts.clone(),
            orders: Arc::clone(&orders),
            recordings: Arc::clone(&recordings),
            admitted: 0,
        };
        tokio::spawn(driver.run(queue));
        let about = About {
            name: "test-1".into(),
            deployment_version: Some("v7".into()),
            slow_session_threshold_ms: 50,
            kill_wait_ms: 10_000,
            doctor: openrtc_control_api::DoctorReport::default(),
            preflight: openrtc_supervisor::preflight::Preflight::default(),
        };
        let world = World::new(handle, hosts.clone(), ledger.clone(), Fanout::default(), about).reading(view);
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(control.serve(world, async {
            let _ = stopped.await;
        }));
        Self { home, socket, top, ledger, hosts, orders, recordings, stop: Some(stop), done: Some(done) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::find(vec![Candidate { path: self.socket.clone(), why: "test" }]).unwrap()
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.socket.with_file_name("control.token")).unwrap().trim().to_owned()
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        tokio::time::timeout(DEADLINE, self.done.take().unwrap()).await.unwrap().unwrap();
    }

    /// Enters a host into the registry, as if it ran.
    pub(crate) fn enter_host(&self) {
        let plan = HostPlan {
            host: HOST,
            tenant: tenant("acme-corp"),
            runtime: RuntimeName::parse("command").unwrap(),
            scope: HostScope::Tenant,
        };
        let record = HostRecord::new(plan, 4711, openrtc_supervisor::spawn::How::Cold, 1);
        record.gauge(|gauges| gauges.memory_bytes = 10 * 1024 * 1024);
        self.hosts.enter(Arc::new(record));
    }

    pub(crate) fn ordered(&self) -> Vec<OperatorEvent> {
        self.orders.lock().unwrap().clone()
    }
}

/// A policy of the default rules; the driver here never tells it anything.
pub(crate) fn policy() -> Policy {
    Policy::new(rules(), 1)
}

/// An agency of `support` alone, with the tenants `acme-corp` and `initech`; the breaker of `initech` is on.
fn rules() -> Rules {
    let breaker = BreakerRules {
        enabled: false,
        cooldown_ms: 30_000,
        failure_ratio: 0.5,
        min_samples: 5,
        window_ms: 60_000,
        half_open_max_sessions: None,
        half_open_success_after_ms: 10_000,
        count_operator_kills: false,
    };
    let configured = |unusable: Option<&str>, enabled| TenantRules {
        status: TenantStatus::Active,
        max_sessions: Some(5),
        allowed_agents: None,
        host_scope: None,
        breaker: BreakerRules { enabled, ..breaker },
        unusable: unusable.map(str::to_owned),
    };
    let support = AgentName::parse("support").unwrap();
    let command = RuntimeName::parse("command").unwrap();
    Rules {
        max_concurrent_sessions: 50,
        default_max_sessions: None,
        unknown_tenant: UnknownTenant::DefaultConfig,
        missing_tenant: MissingTenant::Default,
        default_tenant: tenant("default"),
        accept_only_registered_rooms: false,
        drain_timeout_ms: 30_000,
        terminate_grace_ms: 10_000,
        initialize_timeout_ms: 10_000,
        max_concurrent_spawns: 4,
        spawn_attempts: 3,
        restart_backoff_ms: vec![1_000],
        max_hosts: 256,
        max_unregistered_hosts: 16,
        host_idle_timeout_ms: 300_000,
        host_scope: HostScope::Tenant,
        breaker,
        unresponsive_warn_ms: 500,
        unresponsive_kill_ms: 15_000,
        routing: RoutingRules {
            rules: Vec::new(),
            metadata_agent_keys: vec!["agent".to_owned()],
            room_prefix: true,
            fallback: Fallback::Agent(support.clone()),
        },
        rooms: RoomRules { tenant_prefix: false, separator: "_".to_owned() },
        tenants: [
            (tenant("acme-corp"), configured(Some("tenants.acme-corp.api_keys.openai: no such file"), false)),
            (tenant("initech"), configured(None, true)),
        ]
        .into(),
        agents: [(support, AgentRules { runtime: command.clone(), max_sessions: Some(7) })].into(),
        runtimes: [(
            command,
            RuntimeRules { max_sessions_per_host: None, recycle_after_sessions: None, session_ms_max: None },
        )]
        .into(),
    }
}

/// What is shown of policy, whatever it is.
fn view(_: &Policy) -> PolicyView {
    let known = |id: &str, status| TenantView {
        tenant: tenant(id),
        configured: true,
        status,
        max_sessions: Some(5),
        unusable: None,
    };
    let breaker = BreakerView {
        tenant: tenant("initech"),
        state: "open",
        failures: 6,
        samples: 11,
        closes_in_ms: Some(1_500),
        cooldown_ms: 3_000,
    };
    PolicyView {
        max_concurrent_sessions: Some(50),
        sessions_started: 9,
        tenants: vec![known("acme-corp", "active"), known("initech", "suspended")],
        breakers: vec![breaker],
        rejections: [(RejectReason::TenantCap, 4)].into(),
        ..PolicyView::default()
    }
}

struct Driver {
    policy: Policy,
    ledger: Ledger,
    hosts: Registry,
    orders: Arc<Mutex<Vec<OperatorEvent>>>,
    recordings: Arc<Mutex<Vec<String>>>,
    admitted: u64,
}

impl Driver {
    async fn run(mut self, mut queue: mpsc::Receiver<Input>) {
        while let Some(input) = queue.recv().await {
            match input {
                Input::Dispatch { dispatch, recordings, reply, .. } => {
                    self.recordings.lock().unwrap().extend(recordings.input.map(read));
                    let _ = reply.send(self.answer(&dispatch));
                }
                Input::Event(Event::Operator(order)) => self.obey(order),
                Input::Event(_) => {}
                Input::Question(question) => question(&self.policy),
            }
        }
    }

    /// Admits everybody but `full`.
    fn answer(&mut self, dispatch: &Dispatch) -> Answer {
        let id = tenant(dispatch.tenant.as_deref().unwrap_or("acme-corp"));
        if id.as_str() == "full" {
            return Answer::Rejected(Rejection {
                reason: RejectReason::TenantCap,
                detail: "tenant full: 2 of 2 sessions; raise max_sessions".into(),
                retry_after_ms: Some(2_500),
                tenant: Some(id),
            });
        }
        self.admitted += 1;
        let session = SessionId { run: 0x1a2b_3c4d, seq: self.admitted };
        let agent = AgentName::parse("support").unwrap();
        let info = SessionInfo {
            session,
            tenant: id.clone(),
            agent: agent.clone(),
            room_name: dispatch.room.clone(),
            job_id: session.to_string(),
            metadata: [("tenant".to_owned(), id.to_string())].into(),
            started_at_unix_ms: 1,
            deployment_version: None,
        };
        self.ledger.begin(info, HOST);
        Answer::Admitted(Admitted { session, tenant: id, agent, routed_by: "fallback" })
    }

    fn obey(&self, order: OperatorEvent) {
        match &order {
            OperatorEvent::EndSession(session) => end(&self.ledger, *session, Status::Cancelled, Reason::OperatorKill),
            OperatorEvent::KillHost(host) => self.hosts.leave(*host),
            _ => {}
        }
        self.orders.lock().unwrap().push(order);
    }
}

fn read(recording: OwnedFd) -> String {
    let mut text = String::new();
    std::fs::File::from(recording).read_to_string(&mut text).unwrap();
    text
}

/// Books the end of a session that the driver admitted.
pub(crate) fn end(ledger: &Ledger, session: SessionId, status: Status, reason: Reason) {
    let live = ledger.live(session).expect("the session runs");
    let plan = SessionPlan {
        session,
        tenant: live.info.tenant,
        agent: live.info.agent,
        runtime: RuntimeName::parse("command").unwrap(),
        room: live.info.room_name,
        job_id: None,
        metadata: live.info.metadata,
        job_metadata: String::new(),
        room_metadata: String::new(),
    };
    let conclusion = Conclusion {
        plan,
        host: Some(HOST),
        outcome: Outcome { status, reason, error: Some("the agent said so".into()), blame: Blame::Tenant },
        exit: None,
        duration_ms: 1_234,
        started: true,
    };
    ledger.end(conclusion, 2, None);
}

/// Waits for a condition, without sleeping longer than it takes.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
