//! From what was written to what is valid.
//!
//! Owns: the defaults of policy's numbers, and which names know each other. Never: reads a value's type; that is done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use openrtc_ipc::{AgentName, RuntimeName, TenantId};
use openrtc_policy::Rules;
use openrtc_policy::rules::{
    BreakerRules, HostScope, MissingTenant, RoomRules, RoutingRules, RuntimeRules, TenantRules, UnknownTenant,
};

use super::agents::{AgentNames, Awaited};
use super::faults::Faults;
use super::file::ConfigFile;
use super::hosts::HostsFile;
use super::paths::Environment;
use super::runtimes::{Agent, AgentFile, Runtime, RuntimeFile};
use super::section::{Limit, Spot};
use super::supervisor::SupervisorFile;
use super::tenants::{self, Tenant, TenantFile};
use super::tree::Origin;
use super::walls::WallLayer;
use super::{Config, FoundVariables, livekit, plugins, python, variables};

/// Names known, rules and the rest. `None` where a fault leaves nothing to go on with.
pub(super) fn build(
    file: ConfigFile,
    source: Option<PathBuf>,
    environment: &Environment,
    origin: &Origin,
    faults: &mut Faults,
) -> Option<Config> {
    let supervisor = file.supervisor.places(environment, origin, faults);
    let names: Vec<AgentName> = file.agents.iter().filter_map(|(name, _)| AgentName::parse(&name.value).ok()).collect();
    let places = agent_places(&file.agents);
    let written: Vec<RuntimeName> = file.runtimes.iter().filter_map(|(name, _)| runtime_name(name)).collect();
    let python_written = file.runtimes.iter().filter(|(_, runtime)| runtime.is_python()).count();
    let runtimes = runtimes(file.runtimes, environment, &file.wall, sessions_per_host(&file.supervisor), faults)?;
    let agents = agents(file.agents, runtimes.keys().cloned().chain(written).collect(), faults);
    let asked = asked(&runtimes, &agents);
    // A fault in a runtime must not make names unknown that its application may bring.
    let broken = runtimes.values().filter(|runtime| runtime.python().is_some()).count() < python_written;
    if names.is_empty() && python_written == 0 {
        let remedy = "add [agents.NAME] with command = [\"./program\"], or [runtimes.NAME] with kind = \"python\" and \
                      app = \"main.py\", or see `openrtc-supervisor demo`";
        faults.add(origin, "agents", None, "no agent is configured", remedy);
    }
    let mut names = AgentNames::new(names, !asked.is_empty() || broken);
    let livekit = file.livekit.valid(environment, origin, faults);
    let tenants = tenants::ids(file.tenants, faults);
    let ids: Vec<&TenantId> = tenants.keys().collect();
    let first_is_fallback = file.routing.first_is_fallback();
    let routing = file.routing.valid(&mut names, &ids, faults);
    let tenant_place = |id: &TenantId| Some(tenants.get(id)?.0.clone());
    let rooms = file.rooms.valid(&ids, &tenant_place, faults);
    let parts = Parts { wall: &file.wall, hosts: &file.hosts, breaker: file.breaker.over_defaults(), routing, rooms };
    let default_cap = file.supervisor.default_max_sessions.unwrap_or(Limit::Off);
    let (tenants, tenant_rules) = split(tenants, &mut names, &parts.breaker, default_cap, faults);
    let awaited = Awaited { runtimes: asked, configured: places, used: names.used(), first_is_fallback };
    let mut rules = rules(&file.supervisor, parts, &runtimes, &agents, tenant_rules)?;
    if livekit.is_some() && file.supervisor.drain_timeout_ms.is_none() {
        rules.drain_timeout_ms = livekit::DRAIN_TIMEOUT_MS;
    }
    let mut config = Config {
        source,
        tenants_dir: None,
        supervisor,
        rules,
        cgroup: file.hosts.cgroup(),
        uids: file.hosts.uids(),
        liveness: file.hosts.liveness(),
        defaults: file.defaults,
        runtimes,
        agents,
        tenants,
        livekit,
        observers: file.observers,
        metrics: file.metrics,
        traces: file.traces,
        audit: file.audit,
        logs: file.logs,
        warnings: Vec::new(),
        default_keys: file.default_keys,
        wall: file.wall,
        base_env: variables::base(environment),
        found: FoundVariables::default(),
        keys_here: BTreeMap::new(),
        origin: origin.clone(),
        awaited,
        registered: BTreeMap::new(),
    };
    config.found = found(&config, environment);
    config.keys_here = keys_here(&config, environment);
    Some(config)
}

/// The variables that references name, of those that are set.
fn found(config: &Config, environment: &Environment) -> FoundVariables {
    let named = config.variables_named();
    let found = environment.iter().filter(|(name, _)| named.contains(*name));
    FoundVariables(found.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The variables of keys that are set: of the plugins known, and of those that the file names.
fn keys_here(config: &Config, environment: &Environment) -> BTreeMap<String, String> {
    let named = config.tenants.values().flat_map(|tenant| tenant.api_keys.keys()).chain(config.default_keys.keys());
    let named = named.map(|plugin| (plugins::key_variable(plugin), plugin.clone()));
    let known = plugins::key_variables().map(|(plugin, variable)| (variable, plugin.to_owned()));
    let is_set = |variable: &str| environment.get(variable).is_some_and(|value| !value.is_empty());
    named.chain(known).filter(|(variable, _)| is_set(variable)).collect()
}

fn runtime_name(name: &Spot<String>) -> Option<RuntimeName> {
    RuntimeName::parse(&name.value).ok()
}

/// Where each agent of the file stands.
fn agent_places(named: &[(Spot<String>, AgentFile)]) -> Vec<Spot<AgentName>> {
    let place = |(name, _): &(Spot<String>, AgentFile)| {
        let value = AgentName::parse(&name.value).ok()?;
        Some(Spot { value, key: name.key.clone(), origin: name.origin.clone() })
    };
    named.iter().filter_map(place).collect()
}

/// Runtimes whose application is asked for its agents: those without a configured one.
fn asked(runtimes: &BTreeMap<RuntimeName, Runtime>, agents: &[Agent]) -> BTreeSet<RuntimeName> {
    let without = |runtime: &&Runtime| !agents.iter().any(|agent| agent.rules.runtime == runtime.name);
    let python = runtimes.values().filter(|runtime| runtime.python().is_some());
    python.filter(without).map(|runtime| runtime.name.clone()).collect()
}

/// How many sessions a Python host may come to have at once.
fn sessions_per_host(file: &SupervisorFile) -> u64 {
    let sessions = file.max_sessions_per_host.unwrap_or(Limit::At(python::MAX_SESSIONS_PER_HOST));
    sessions.number().unwrap_or_else(|| max_concurrent_sessions(file))
}

fn max_concurrent_sessions(file: &SupervisorFile) -> u64 {
    file.max_concurrent_sessions.unwrap_or(50)
}

fn runtimes(
    named: Vec<(Spot<String>, RuntimeFile)>,
    environment: &Environment,
    wall: &WallLayer,
    sessions_per_host: u64,
    faults: &mut Faults,
) -> Option<BTreeMap<RuntimeName, Runtime>> {
    let command = Runtime::command()?;
    let mut runtimes = BTreeMap::from([(command.name.clone(), command)]);
    for (name, file) in named {
        let Some(mut runtime) = file.valid(&name, environment, faults) else { continue };
        if runtime.python().is_some() {
            let (pids, open_files) = (python::PIDS_PER_SESSION, python::OPEN_FILES_PER_SESSION);
            runtime.wall.with_room_for(sessions_per_host, pids, open_files, wall);
        }
        if runtimes.contains_key(&runtime.name) {
            faults.add(&name.origin, &name.key, None, "stands here twice", "keep one of the two");
        }
        runtimes.insert(runtime.name.clone(), runtime);
    }
    Some(runtimes)
}

fn agents(named: Vec<(Spot<String>, AgentFile)>, mut runtimes: Vec<RuntimeName>, faults: &mut Faults) -> Vec<Agent> {
    runtimes.sort();
    runtimes.dedup();
    let mut agents: Vec<Agent> = Vec::new();
    for (name, file) in named {
        let Some(agent) = file.valid(&name, &runtimes, faults) else { continue };
        if agents.iter().any(|other| other.name == agent.name) {
            faults.add(&name.origin, &name.key, None, "stands here twice", "keep one of the two");
            continue;
        }
        agents.push(agent);
    }
    agents
}

type Split = (BTreeMap<TenantId, Tenant>, BTreeMap<TenantId, TenantRules>);

fn split(
    files: BTreeMap<TenantId, (Spot<String>, TenantFile)>,
    agents: &mut AgentNames,
    breaker: &BreakerRules,
    default_cap: Limit,
    faults: &mut Faults,
) -> Split {
    let mut split = Split::default();
    for (id, (_, file)) in files {
        let rules = TenantRules {
            status: file.status,
            max_sessions: file.max_sessions.unwrap_or(default_cap).number().map(|sessions| sessions as u32),
            allowed_agents: file.agents(agents, faults),
            host_scope: file.host_scope,
            breaker: file.breaker.over(breaker),
            unusable: None,
        };
        split.1.insert(id.clone(), rules);
        split.0.insert(id.clone(), file.valid(id));
    }
    split
}

/// What the rules are made of beside `[supervisor]`, agents and tenants.
struct Parts<'a> {
    wall: &'a WallLayer,
    hosts: &'a HostsFile,
    breaker: BreakerRules,
    routing: RoutingRules,
    rooms: RoomRules,
}

fn rules(
    file: &SupervisorFile,
    parts: Parts<'_>,
    runtimes: &BTreeMap<RuntimeName, Runtime>,
    agents: &[Agent],
    tenants: BTreeMap<TenantId, TenantRules>,
) -> Option<Rules> {
    let or_for_python = |limit: Option<Limit>, runtime: &Runtime, sessions: u64| {
        let python = runtime.python().map(|_| Limit::At(sessions));
        limit.or(python)?.number().map(|sessions| sessions as u32)
    };
    let runtime_rules = |runtime: &Runtime| RuntimeRules {
        max_sessions_per_host: or_for_python(file.max_sessions_per_host, runtime, python::MAX_SESSIONS_PER_HOST),
        recycle_after_sessions: or_for_python(file.recycle_after_sessions, runtime, python::RECYCLE_AFTER_SESSIONS),
        session_ms_max: runtime.wall.over(parts.wall).session_ms_max(),
    };
    Some(Rules {
        max_concurrent_sessions: max_concurrent_sessions(file) as u32,
        default_max_sessions: file.default_max_sessions.and_then(Limit::number).map(|sessions| sessions as u32),
        unknown_tenant: file.unknown_tenant.unwrap_or(UnknownTenant::DefaultConfig),
        missing_tenant: file.missing_tenant.unwrap_or(MissingTenant::Default),
        default_tenant: file.default_tenant.clone().or_else(|| TenantId::parse("default").ok())?,
        accept_only_registered_rooms: file.accept_only_registered_rooms.unwrap_or(false),
        drain_timeout_ms: file.drain_timeout_ms.unwrap_or(30_000),
        terminate_grace_ms: file.terminate_grace_ms.unwrap_or(10_000),
        initialize_timeout_ms: file.initialize_timeout_ms.unwrap_or(10_000),
        max_concurrent_spawns: file.max_concurrent_spawns.unwrap_or(4) as u32,
        spawn_attempts: file.spawn_attempts.unwrap_or(3) as u32,
        restart_backoff_ms: file
            .restart_backoff_ms
            .clone()
            .unwrap_or_else(|| [1, 2, 5, 15, 60].map(|seconds| seconds * 1_000).to_vec()),
        max_hosts: file.max_hosts.unwrap_or(256) as u32,
        max_unregistered_hosts: file.max_unregistered_hosts.unwrap_or(16) as u32,
        host_idle_timeout_ms: file.host_idle_timeout_ms.unwrap_or(300_000),
        host_scope: file.host_scope.unwrap_or(HostScope::Tenant),
        breaker: parts.breaker,
        unresponsive_warn_ms: parts.hosts.unresponsive_warn_ms(),
        unresponsive_kill_ms: parts.hosts.unresponsive_kill_ms(),
        routing: parts.routing,
        rooms: parts.rooms,
        tenants,
        agents: agents.iter().map(|agent| (agent.name.clone(), agent.rules.clone())).collect(),
        runtimes: runtimes.iter().map(|(name, runtime)| (name.clone(), runtime_rules(runtime))).collect(),
    })
}
