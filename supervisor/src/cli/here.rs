//! Commands that need no supervisor: the way from the command line into the rest of this program.
//!
//! Owns: turning options into what each part takes. Never: does any of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openrtc_control_api::{
    AdmissionQuestion, AdmissionTrace, ConfigCheck, ConfigFault, DoctorReport, Finding, Verdict,
};
use openrtc_ipc::{ApplicationTarget, RunAs, RuntimeName};
use openrtc_policy::Policy;
use tracing::level_filters::LevelFilter;

use super::exit::CliError;
use super::output::Color;
use super::{DemoOptions, Global, HostArguments, LogLevel};
use crate::changes::Reread;
use crate::config::{Config, ConfigFaults, Fault, LoadRequest, Overrides, paths};
use crate::control;
use crate::demo::{self, DemoArgs};
use crate::dispatch::local;
use crate::host::chain;
use crate::preflight::{Preflight, finding};
use crate::run::RunError;
use crate::spawn::{HostProgram, Interpreter, LaunchArguments, Spawner};
use crate::telemetry;
use crate::wall::{self, Walls};
use crate::{doctor, run};

/// For `doctor` where no configuration is named: the defaults, which need an agent and directories to be valid.
const ANY_AGENCY: &str = "[agents.any]\ncommand = [\"/bin/true\"]\n";

/// `run`: the supervisor in the foreground, until it ends.
pub fn run_with(config: Config, global: &Global, hosts: HostArguments, reread: Reread) -> Result<ExitCode, CliError> {
    let level = match (global.quiet, global.log_level) {
        (_, Some(level)) => level_filter(level),
        (true, None) => LevelFilter::WARN,
        (false, None) => LevelFilter::INFO,
    };
    // Flushes when it is dropped, after the last line.
    let _telemetry = telemetry::start(config.logs.format, level, telemetry_color(global.color))?;
    let program = HostProgram {
        // The image that runs, also after the file was replaced by an upgrade.
        path: "/proc/self/exe".into(),
        built_in: LaunchArguments { host: vec![hosts.host.into()], zygote: vec![hosts.zygote.into()], idle_hosts: 0 },
        runtimes: python_arguments(&config, hosts),
    };
    run::run(config, program, reread)?;
    Ok(ExitCode::SUCCESS)
}

/// What makes the program a host of each Python runtime, and its zygote.
fn python_arguments(config: &Config, hosts: HostArguments) -> BTreeMap<RuntimeName, LaunchArguments> {
    let runtimes = config.python_runtimes().map(|(runtime, python)| {
        let arguments =
            |role: &str| vec![OsString::from(role), python.interpreter.clone().into(), python.plan_json().into()];
        let arguments = LaunchArguments {
            host: arguments(hosts.python_host),
            zygote: arguments(hosts.python_zygote),
            idle_hosts: python.num_idle_hosts,
        };
        (runtime.clone(), arguments)
    });
    runtimes.collect()
}

/// `demo`.
pub fn demo(global: &Global, options: &DemoOptions) -> Result<ExitCode, CliError> {
    let color = match global.color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(CliError::Start)?;
    let means = || demo::livekit::Means { server: options.server.clone(), python: options.python.clone() };
    let livekit = options.livekit.then(means);
    Ok(runtime.block_on(demo::run(DemoArgs { json: global.json, keep: options.keep.clone(), livekit, color })))
}

/// `doctor` while no supervisor runs: what one would find here under this configuration.
pub fn doctor(global: &Global) -> Result<DoctorReport, CliError> {
    let (config, found) = match global.config.is_some().then(|| Config::load(&request(global))) {
        None => (Config::generated(ANY_AGENCY, "defaults", Path::new("/"), &request(global)), no_configuration()),
        Some(Ok(config)) => {
            let verdict = if config.warnings.is_empty() { Verdict::Pass } else { Verdict::Warn };
            let detail = format!("{}: no fault, {} warnings", config.name(), config.warnings.len());
            let remedy = (verdict == Verdict::Warn).then(|| "`openrtc-supervisor config check` tells them".to_owned());
            (Ok(config), finding("config", verdict, detail, remedy))
        }
        Some(Err(faults)) => {
            let detail = faults.faults.first().map_or_else(String::new, ToString::to_string);
            let remedy = Some("`openrtc-supervisor config check` tells every fault".to_owned());
            (Config::embedded(ANY_AGENCY, Path::new("/")), finding("config", Verdict::Fail, detail, remedy))
        }
    };
    // Directories that have no default here are a fault of their own.
    let config = config.or_else(|_| Config::embedded(ANY_AGENCY, Path::new("/")))?;
    let walls = Walls::look(&config.cgroup, &config.uids);
    let mut report = doctor::report(&config, &walls, &[], None);
    report.findings.push(found);
    let unfit = unfit_interpreters(&config)?;
    report.findings.extend(config.python_runtimes().map(|(name, python)| {
        let key = format!("runtimes.{name}.python");
        match unfit.iter().find(|fault| fault.key == key) {
            Some(fault) => finding(&key, Verdict::Fail, fault.problem.clone(), Some(fault.remedy.clone())),
            None => finding(&key, Verdict::Pass, python.interpreter.display().to_string(), None),
        }
    }));
    report.findings.push(socket_finding(&config.supervisor.control_socket));
    report.findings.extend(Preflight::of(&config).findings());
    Ok(report)
}

fn no_configuration() -> Finding {
    let remedy = "name one by --config; `openrtc-supervisor config init` writes one".to_owned();
    finding("config", Verdict::Warn, "none was named: the defaults are looked at", Some(remedy))
}

/// A socket that nobody listens at is what a supervisor left that was killed.
fn socket_finding(path: &Path) -> Finding {
    let shown = path.display();
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => finding("control_socket", Verdict::Pass, format!("{shown}: a supervisor listens"), None),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            let remedy = "nothing to do: the next start replaces it".to_owned();
            finding("control_socket", Verdict::Warn, format!("{shown}: stale, nobody listens"), Some(remedy))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            finding("control_socket", Verdict::Pass, format!("{shown}: free"), None)
        }
        Err(error) => {
            let remedy = format!("run this as the user that owns {shown}");
            finding("control_socket", Verdict::Warn, format!("{shown}: {error}"), Some(remedy))
        }
    }
}

/// `route explain --offline`: what a supervisor that has just started with this configuration would answer.
pub fn explain(global: &Global, question: AdmissionQuestion) -> Result<AdmissionTrace, CliError> {
    let dispatch = local::asked(question)?;
    // The number tells runs apart; nothing that is explained bears it.
    Ok(control::trace(Policy::new(load(global)?.rules, 0).explain(&dispatch)))
}

/// The state directory of the configuration at hand; without one, where it is by default.
pub fn state_dir(global: &Global) -> Result<Option<PathBuf>, CliError> {
    match global.config {
        Some(_) => Ok(Some(load(global)?.supervisor.state_dir)),
        None => Ok(paths::state_dir(&request(global).environment, paths::is_root())),
    }
}

/// The socket of the configuration at hand, if there is one.
pub fn control_socket(global: &Global) -> Result<Option<PathBuf>, CliError> {
    global.config.as_ref().map(|_| Ok(load(global)?.supervisor.control_socket)).transpose()
}

/// `config check`.
pub fn config_check(global: &Global) -> Result<ConfigCheck, CliError> {
    let source = global.config.as_ref().map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
    Ok(match Config::load(&request(global)) {
        Ok(config) => {
            let faults = unfit_interpreters(&config)?;
            let unreachable = unreachable_programs(&config);
            let warnings = config.warnings.into_iter().chain(unreachable).collect();
            ConfigCheck { source, ok: faults.is_empty(), faults, warnings }
        }
        Err(ConfigFaults { faults, warnings }) => {
            ConfigCheck { source, ok: false, faults: faults.into_iter().map(fault).collect(), warnings }
        }
    })
}

/// Programs that a tenant's own uid could not reach: their hosts would share ours (decision W1).
fn unreachable_programs(config: &Config) -> Vec<String> {
    let uids = &config.uids;
    if config.default_wall().run_as != RunAs::Auto || !paths::is_root() {
        return Vec::new();
    }
    let agents = config.agents.iter().filter_map(|agent| {
        let program = PathBuf::from(agent.command.first()?);
        Some((format!("agents.{}.command", agent.name), program))
    });
    let runtimes = config.python_runtimes().flat_map(|(runtime, python)| {
        let app = match &python.target {
            ApplicationTarget::Script(script) => script.clone(),
            ApplicationTarget::Attribute { folder, .. } | ApplicationTarget::AgentsDir(folder) => folder.clone(),
        };
        let key = |key: &str| format!("runtimes.{runtime}.{key}");
        [(key("python"), python.interpreter.clone()), (key("app"), app)]
    });
    let blocked = agents.chain(runtimes).filter_map(|(key, program)| {
        let at = wall::reachable_by(uids.first, uids.first, &program).err()?;
        Some(format!(
            "{key} = {}: cannot be reached by a tenant's own uid: {} is closed to others; \
             its hosts would run under the supervisor's uid, behind the other walls. Open it, or move the program",
            program.display(),
            at.display()
        ))
    });
    blocked.collect()
}

/// Interpreters that no host can be made of.
fn unfit_interpreters(config: &Config) -> Result<Vec<ConfigFault>, CliError> {
    let runtimes: Vec<_> = config.python_runtimes().collect();
    if runtimes.is_empty() {
        return Ok(Vec::new());
    }
    let program =
        HostProgram { path: "/proc/self/exe".into(), built_in: LaunchArguments::default(), runtimes: BTreeMap::new() };
    let spawner = Spawner::start(program).map_err(RunError::Spawner)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
    let source = config.name().to_owned();
    let mut faults = Vec::new();
    for (name, python) in runtimes {
        let Err(error) = runtime.block_on(Interpreter::ask(&spawner, name, &python.interpreter)) else { continue };
        faults.push(ConfigFault {
            source: source.clone(),
            line: None,
            key: format!("runtimes.{name}.python"),
            value: Some(format!("{:?}", python.interpreter.display().to_string())),
            remedy: error.remedy(),
            problem: chain(&error.flaw),
        });
    }
    Ok(faults)
}

/// `config init --from demo`: the demo's agency, whose agents this executable is.
pub fn demo_agency() -> Result<String, CliError> {
    let program = std::env::current_exe().map_err(CliError::Start)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(demo::config::of_starting_agency(&program, cores))
}

/// `config show`: the configuration in force, as JSON, with `***(source)` for each secret.
pub fn config_show(global: &Global) -> Result<serde_json::Value, CliError> {
    Ok(load(global)?.redacted_json())
}

pub(super) fn load(global: &Global) -> Result<Config, CliError> {
    Ok(Config::load(&request(global))?)
}

pub(super) fn request(global: &Global) -> LoadRequest {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        // What is not text cannot be one of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    LoadRequest {
        path: global.config.clone(),
        environment: environment.collect(),
        overrides: Overrides { control_socket: global.control_socket.clone(), ..Overrides::default() },
    }
}

fn fault(fault: Fault) -> ConfigFault {
    let Fault { source, line, key, value, problem, remedy } = fault;
    ConfigFault { source, line, key, value, problem, remedy }
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn telemetry_color(color: Color) -> telemetry::Color {
    match color {
        Color::Auto => telemetry::Color::Auto,
        Color::Always => telemetry::Color::Always,
        Color::Never => telemetry::Color::Never,
    }
}
