//! `run`: from a configuration to a supervisor that serves, and back.
//!
//! Owns: the order of starting and of finishing, and the start-up report. Never: decides.

mod finish;
mod notify;
mod observers;
mod report;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use openrtc_control_api::DoctorReport;
use openrtc_policy::bounds::ZYGOTE_WARM_MS;
use openrtc_policy::{Event, Moment, Policy, Rules};
use rustix::process::DumpableBehavior;
use tokio::sync::watch;
use tokio::time::timeout;

use finish::Running;
use notify::Manager;
use observers::{all_observers, snapshots};
use report::{demand_walls, tell_orders, tell_ready, tell_start};

use crate::audit::{Audit, AuditError};
use crate::changes::{Changes, Reread, Standing, StandingFault, Store, under_orders};
use crate::config::{Config, ConfigFaults};
use crate::control::{self, About, Control, World};
use crate::dispatch::livekit::{Calls, Livekit, LivekitError};
use crate::driver::{self, Clock};
use crate::effects::Effects;
use crate::host::morgue::Morgue;
use crate::host::probe::{self, ProbeFault};
use crate::host::{HostContext, InForce, Registry, tree, work_dir};
use crate::ledger::Ledger;
use crate::observer::RecentLines;
use crate::preflight::Preflight;
use crate::secrets::{SecretFault, Vault, run_program};
use crate::shutdown::Signals;
use crate::sources::Handle;
use crate::spawn::{HostProgram, Interpreter, InterpreterError, Spawner, ZygoteRow, ZygoteState};
use crate::wall::Walls;

/// Threads that serve hosts and the control API; more would only fight the hosts for the cores.
const SERVING_THREADS: usize = 2;
/// Threads that raise, read and sample walls (decision P9).
const POOL_THREADS: usize = 4;
/// How long the start may wait for the built-in zygote to be warm.
const ZYGOTE_LIMIT: Duration = Duration::from_secs(2);
/// How long it may wait for those of Python runtimes: their own bound, and a little for the spawner to notice.
const RUNTIME_ZYGOTE_LIMIT: Duration = Duration::from_millis(ZYGOTE_WARM_MS + 1_000);
/// How long `host kill` waits until the host is gone, in milliseconds.
const KILL_WAIT_MS: u64 = 10_000;

/// Why a supervisor did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime could not be made.
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    /// Orphans could not be adopted, or signals not be listened to.
    #[error("prepare the process")]
    Process(#[source] std::io::Error),
    /// No process can be made.
    #[error("start the spawner")]
    Spawner(#[from] crate::spawn::SpawnError),
    /// Who asks over TCP cannot be told from others.
    #[error("{0}")]
    ControlToken(SecretFault),
    /// Who asks over TCP could guess it.
    #[error(
        "use supervisor.control_token: it has {bytes} bytes; give at least {}, as `openssl rand -hex 32` makes",
        crate::control::REMOTE_TOKEN_BYTES_MIN
    )]
    ControlTokenShort {
        /// How many.
        bytes: usize,
    },
    /// The control socket could not be opened.
    #[error("open the control socket")]
    Control(#[from] crate::control::ControlError),
    /// A directory of ours could not be made.
    #[error("make {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operators' orders cannot be used.
    #[error(transparent)]
    Standing(#[from] StandingFault),
    /// An observer could not be started.
    #[error("start an observer")]
    Observer(#[from] crate::observer::ObserverError),
    /// Traces could not be made.
    #[error("prepare traces")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The audit log could not be begun.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An observer's thread could not be started.
    #[error("start an observer")]
    ObserverThread(#[from] crate::observer::fanout::AddError),
    /// A runtime's interpreter cannot be a host.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// An application cannot be loaded.
    #[error(transparent)]
    Application(#[from] ProbeFault),
    /// The worker cannot be one.
    #[error("start the LiveKit worker")]
    Livekit(#[from] LivekitError),
    /// The file names agents that no application registers.
    #[error(transparent)]
    Agents(#[from] ConfigFaults),
    /// A wall that `[wall] require` names cannot stand here.
    #[error("wall.require names {walls}: {detail}")]
    Required {
        /// Their names.
        walls: String,
        /// Why, and what to do.
        detail: String,
    },
}

/// Runs a supervisor until it has finished.
pub fn run(config: Config, program: HostProgram, reread: Reread) -> Result<(), RunError> {
    tree::become_subreaper().map_err(RunError::Process)?;
    // It holds every key: no core, and no reading of its memory or environment by an equal (law 8).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| RunError::Process(error.into()))?;
    // Before the runtime: it is the one thread that makes processes, and it outlives everything else.
    let spawner = Spawner::start(program)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .max_blocking_threads(POOL_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(serve(config, spawner, reread));
    // What is left on the pool is a sample at most.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(file: Config, spawner: Spawner, reread: Reread) -> Result<(), RunError> {
    let signals = Signals::listen().map_err(RunError::Process)?;
    let manager = Manager::find();
    let mut control = Control::open(&sockets(&file))?;
    let now = answer_probes(&mut control);
    let work_root = file.supervisor.state_dir.join("hosts");
    make_work_root(&file.supervisor.state_dir, &work_root)?;
    let store = Store::new(&file.supervisor.state_dir);
    let standing = store.read()?;
    let config = under_orders(&file, &standing)
        .map_err(|faults| StandingFault::Faulty { path: store.path().to_owned(), faults })?;
    tell_orders(&file, &standing);
    let walls = Walls::detect(&config.cgroup, &config.uids);
    let zygotes = settled_zygotes(&config, &spawner).await?;
    let report = crate::doctor::report(&config, &walls, &zygotes, Some(&control));
    demand_walls(&report)?;
    let (vault, faults) = Vault::resolve(&config, |argv| run_program(spawner.clone(), argv)).await;
    tell_start(&report, &config, &vault, &faults);
    admit_remote(&mut control, &vault, &config)?;
    let clock = Clock::start();
    let run = random_run();
    let recent = RecentLines::default();
    let (fanout, events) = all_observers(&config, run, &recent)?;
    let (handle, queue) = Handle::new();
    let audit = Audit::start(&config, &vault, &fanout)?;
    let changes = Arc::new(OnceLock::new());
    let listening = tokio::spawn(signals.obey(handle.clone(), audit.clone(), Arc::clone(&changes)));
    let context = Arc::new(HostContext {
        handle: handle.clone(),
        spawner,
        walls,
        registry: Registry::default(),
        ledger: Ledger::default(),
        morgue: Morgue::default(),
        fanout: fanout.clone(),
        audit: audit.clone(),
        work_root,
        current: RwLock::new(InForce::new(config, vault)),
    });
    let config = know_agents(&context).await?;
    tell_ready(&report, &config);
    audit.ready();
    let mut file = file;
    file.take_registered(&config)?;
    let changes =
        changes.get_or_init(|| Changes::new(Arc::clone(&context), file, standing.clone(), store, reread)).clone();
    let rules = context.in_force().vault.rules(&config);
    let world =
        World::of(&context, about(&config, report)).with_changes(changes).with_recent(recent).with_events(events);
    let calls = Calls::default();
    let (asked, end) = (handle.clone(), Duration::from_millis(rules.drain_timeout_ms + rules.terminate_grace_ms));
    let livekit = livekit(&context, &config, handle, &calls)?;
    let world = world.with_livekit(livekit.clone());
    now.send_replace(Some(world.clone()));
    let snapshots = snapshots(&config, world.clone(), fanout.clone());
    let effects = Effects::new(context, config.supervisor.deployment_version.clone(), calls);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(control.serve(world, async {
        // A word and a dropped sender both mean stop.
        let _ = stopped.await;
    }));
    manager.ready();
    let telling = tokio::spawn(manager.tell_on(asked, end));
    let running = Running { telling, listening, livekit, snapshots, audit, fanout, stop, server };
    driver::drive(policy(rules, run, &standing), queue, clock, effects).await;
    running.finish().await;
    tracing::info!("finished: no session and no host is left");
    Ok(())
}

/// Policy, under what operators ordered before the last restart.
fn policy(rules: Rules, run: u32, standing: &Standing) -> Policy {
    let mut policy = Policy::new(rules, run);
    // Of a tenant without hosts a status asks for nothing to be done.
    let mut none = Vec::new();
    for order in standing.statuses() {
        policy.handle(Moment::default(), Event::Operator(order), &mut none);
    }
    policy
}

/// Answers probes from now on and until the runtime goes; ready once it is told of a world.
fn answer_probes(control: &mut Control) -> watch::Sender<Option<World>> {
    let (now, world) = watch::channel(None);
    if let Some(probes) = control.take_health() {
        tokio::spawn(probes.serve(world));
    }
    now
}

/// Registers with the LiveKit server, if there is one.
fn livekit(
    context: &Arc<HostContext>,
    config: &Arc<Config>,
    handle: Handle,
    calls: &Calls,
) -> Result<Option<Livekit>, RunError> {
    let (Some(settings), Some(key)) = (config.livekit.clone(), context.in_force().vault.livekit_key(config)) else {
        return Ok(None);
    };
    let key = key.map_err(LivekitError::Key)?;
    let current = {
        let context = Arc::clone(context);
        move || context.config()
    };
    Ok(Some(Livekit::start(Arc::new(current), settings, key, handle, calls.clone())?))
}

/// Completes the configuration with the agents that applications register, each asked in a walled host of its own.
async fn know_agents(context: &Arc<HostContext>) -> Result<Arc<Config>, RunError> {
    let mut config = Config::clone(&context.config());
    let runtimes: Vec<_> = config.python_runtimes().map(|(name, _)| name.clone()).collect();
    for runtime in runtimes {
        let agents = probe::agents(context, &runtime).await?;
        config.take_agents(&runtime, agents)?;
    }
    let config = Arc::new(config);
    context.replace(InForce { config: Arc::clone(&config), vault: context.in_force().vault });
    Ok(config)
}

/// The zygotes' states once they are warm, or when that has failed or taken too long: the first hosts need not be made
/// cold. Those of Python runtimes are started only now, after their interpreters have said that they can be hosts.
async fn settled_zygotes(config: &Config, spawner: &Spawner) -> Result<Vec<ZygoteRow>, RunError> {
    let runtimes: Vec<_> = config.python_runtimes().collect();
    for (runtime, python) in &runtimes {
        let found = Interpreter::ask(spawner, runtime, &python.interpreter).await?;
        tracing::info!(
            %runtime,
            interpreter = %python.interpreter.display(),
            python = found.python,
            openrtc_host = found.openrtc_host,
            livekit_agents = found.livekit_agents,
            openrtc = found.openrtc,
            "runtime"
        );
    }
    spawner.warm_runtimes().await?;
    for row in spawner.zygote_states() {
        let mut changes = spawner.zygote_changes(&row.runtime);
        let (limit, built_in) = match runtimes.iter().any(|(runtime, _)| **runtime == row.runtime) {
            true => (RUNTIME_ZYGOTE_LIMIT, false),
            false => (ZYGOTE_LIMIT, true),
        };
        // A failed start of our own zygote is tried again within that time; one of Python's would take too long.
        let settled = |state: &ZygoteState| *state == ZygoteState::Warm || (!built_in && !state.is_starting());
        // Whatever came of it is in the states.
        let _ = timeout(limit, changes.wait_for(settled)).await;
    }
    Ok(spawner.zygote_states())
}

fn sockets(config: &Config) -> control::Settings {
    control::Settings {
        runtime_dir: config.supervisor.runtime_dir.clone(),
        control_socket: config.supervisor.control_socket.clone(),
        top_socket: config.supervisor.openrtc_top_socket.clone(),
        group: config.supervisor.control_group.as_ref().map(|group| group.gid),
        listen: config.supervisor.control_listen,
        health: config.supervisor.health_listen,
        health_metrics: config.metrics.without_token,
    }
}

/// Without its token the port is not opened at all.
fn admit_remote(control: &mut Control, vault: &Vault, config: &Config) -> Result<(), RunError> {
    let Some(address) = control.remote() else { return Ok(()) };
    let Some(token) = vault.control_token(config) else { return Ok(()) };
    let token = token.map_err(RunError::ControlToken)?;
    let bytes = token.expose_secret().len();
    if bytes < control::REMOTE_TOKEN_BYTES_MIN {
        return Err(RunError::ControlTokenShort { bytes });
    }
    control.admit_remote(&token);
    tracing::info!(%address, "the control API is served over TCP");
    Ok(())
}

fn about(config: &Config, doctor: DoctorReport) -> About {
    About {
        name: config.supervisor.worker_id.clone(),
        deployment_version: config.supervisor.deployment_version.clone(),
        slow_session_threshold_ms: config.liveness.slow_session_threshold_ms,
        kill_wait_ms: KILL_WAIT_MS,
        doctor,
        preflight: Preflight::of(config),
    }
}

/// The parent of the hosts' directories: tenants' uids pass through it and the state directory, and can list neither.
/// What a predecessor left is removed.
fn make_work_root(state_dir: &Path, work_root: &Path) -> Result<(), RunError> {
    let failed = |source| RunError::Directory { path: work_root.to_owned(), source };
    work_dir::remove(work_root).map_err(failed)?;
    for path in [state_dir, work_root] {
        std::fs::create_dir_all(path).map_err(failed)?;
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700 | 0o711)).map_err(failed)?;
    }
    Ok(())
}

fn random_run() -> u32 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        // The clock is as good: it must only differ from the last run's.
        Err(_) => crate::telemetry::unix_ms() as u32,
    }
}
