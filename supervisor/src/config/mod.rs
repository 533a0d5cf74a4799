//! Configuration: what the user wrote, made valid or refused with every fault at once.
//!
//! Owns: the two types `file::ConfigFile` (as written) and [`Config`] (valid), and the way from one to the other:
//! text → `tree` → aliases and overrides → `ConfigFile` → `build` and `checks` → `Config`. Never: resolves a
//! secret, makes a directory, or opens a socket.

mod agents;
mod aliases;
mod breaker;
mod build;
mod checks;
mod documents;
mod dotenv;
mod faults;
mod file;
mod hosts;
pub mod livekit;
mod load;
mod observers;
pub mod orders;
mod overrides;
mod page;
pub mod paths;
pub mod plugins;
mod programs;
mod providers;
mod python;
mod reference;
mod reload;
mod routing;
mod runtimes;
mod schema;
mod section;
mod shape;
mod show;
mod suggest;
mod supervisor;
mod template;
mod tenants;
mod tree;
mod variables;
pub mod wall;
mod walls;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openrtc_ipc::{AgentName, Program, RuntimeName, TenantId, Wall, WallSpec};
use openrtc_policy::Rules;
use openrtc_policy::rules::HostScope;

pub use faults::{ConfigFaults, Fault};
pub use hosts::Liveness;
pub use livekit::Livekit;
pub use observers::{AuditSettings, Logs, Metrics, Observers, Traces};
pub use overrides::{CONFIG_VARIABLE, LoadRequest, Overrides};
pub use providers::{INFERENCE, Provider, Providers};
pub use python::{LoadApp, Preload, PythonRuntime};
pub use reference::SecretRef;
pub use runtimes::{Agent, COMMAND_RUNTIME, Runtime, RuntimeKind};
pub use schema::schema;
pub use show::Setting;
pub use supervisor::{Group, SharedKeys, Supervisor};
pub use template::{SCHEMA_FILE, template};
pub use tenants::Tenant;
pub use variables::{PROGRAM_PATH, Variable};
pub use wall::{CgroupMode, CgroupSettings, UidSettings};

use agents::Awaited;
use providers::ApiKeys;
use reload::Registered;
use section::Spot;
use tree::Origin;
use walls::WallLayer;

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from, absolute; `None` for defaults and embedded ones.
    pub source: Option<PathBuf>,
    /// Where tenants' own files lie, if anywhere.
    pub tenants_dir: Option<PathBuf>,
    /// The supervisor's own places and names.
    pub supervisor: Supervisor,
    /// What policy needs to know. Unreadable secrets are added by [`crate::secrets::Vault::rules`].
    pub rules: Rules,
    /// Cgroups.
    pub cgroup: CgroupSettings,
    /// User ids of tenants' hosts.
    pub uids: UidSettings,
    /// How a host is known to live.
    pub liveness: Liveness,
    /// Providers of last resort.
    pub defaults: Providers,
    /// Runtimes, the built-in one among them.
    pub runtimes: BTreeMap<RuntimeName, Runtime>,
    /// Agents, in the order of the file.
    pub agents: Vec<Agent>,
    /// Configured tenants.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// The LiveKit server that calls come from, if there is one.
    pub livekit: Option<Livekit>,
    /// Observers.
    pub observers: Observers,
    /// Metrics.
    pub metrics: Metrics,
    /// Sessions as traces.
    pub traces: Traces,
    /// The audit log.
    pub audit: AuditSettings,
    /// Logs.
    pub logs: Logs,
    /// What is suspicious, one sentence each, `NO MEMORY WALL` and its kin among them; to be printed at start.
    pub warnings: Vec<String>,
    default_keys: ApiKeys,
    wall: WallLayer,
    base_env: Vec<(String, String)>,
    found: FoundVariables,
    keys_here: BTreeMap<String, String>,
    origin: Origin,
    awaited: Awaited,
    registered: Registered,
}

/// The variables of the supervisor's environment that references name. Shows names only.
#[derive(Clone, Default)]
struct FoundVariables(BTreeMap<String, String>);

impl std::fmt::Debug for FoundVariables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// Loads file, environment and flags. Every fault at once.
    pub fn load(request: &LoadRequest) -> Result<Self, ConfigFaults> {
        load::load(request)
    }

    /// Loads a text whose relative paths are below `dir`; sockets and state are below it too. Heeds no environment.
    pub fn embedded(text: &str, dir: &Path) -> Result<Self, ConfigFaults> {
        load::embedded(text, dir)
    }

    /// Loads a text that was made, shown as `name`, whose relative paths are below `dir`; environment and flags are heeded
    /// as for a file, and the request's own file is not.
    pub fn generated(text: &str, name: &str, dir: &Path, request: &LoadRequest) -> Result<Self, ConfigFaults> {
        load::generated(text, name, dir, request)
    }

    /// Where it came from, for a person: a path, or the application it was made for.
    pub fn name(&self) -> &str {
        &self.origin.source.name
    }

    /// The walls asked for around a host: `[wall]`, over it the runtime's, over that the tenant's. A tenant that is not
    /// configured has none of its own.
    pub fn wall(&self, tenant: &TenantId, runtime: &RuntimeName) -> WallSpec {
        let mut layer = self.wall.clone();
        if let Some(runtime) = self.runtimes.get(runtime) {
            layer = runtime.wall.over(&layer);
        }
        if let Some(tenant) = self.tenants.get(tenant) {
            layer = tenant.wall.over(&layer);
        }
        let mut spec = layer.spec();
        spec.read_paths.extend(self.credential_files(tenant));
        if self.host_scope(tenant) == HostScope::Tenant {
            spec.cpu_seconds_max = None;
        }
        spec
    }

    /// `[wall]` alone: the walls of a tenant and a runtime that name none of their own.
    pub fn default_wall(&self) -> WallSpec {
        self.wall.spec()
    }

    /// Whether a host that is forked from this zygote must be: that of a runtime of its own, or the built-in one, which
    /// serves every other runtime.
    pub fn requires_zygote(&self, zygote: &RuntimeName) -> bool {
        let own = |runtime: &&Runtime| runtime.python().is_some();
        let served = self.runtimes.values().filter(|runtime| match own(runtime) {
            true => runtime.name == *zygote,
            false => zygote.as_str() == COMMAND_RUNTIME,
        });
        // Of the runtimes that nothing runs on, the requirements are nobody's.
        let used = served.filter(|runtime| {
            let agents = self.agents.iter().any(|agent| agent.rules.runtime == runtime.name);
            agents || self.awaited.runtimes.contains(&runtime.name)
        });
        let requires = |layer: &WallLayer| layer.require.contains(&Wall::Zygote);
        let tenants = || self.tenants.values().any(|tenant| requires(&tenant.wall));
        used.into_iter().any(|runtime| requires(&runtime.wall.over(&self.wall)) || tenants())
    }

    /// One host per tenant or per session, for this tenant.
    pub fn host_scope(&self, tenant: &TenantId) -> HostScope {
        self.rules.tenants.get(tenant).and_then(|rules| rules.host_scope).unwrap_or(self.rules.host_scope)
    }

    /// An agent by its name.
    pub fn agent(&self, name: &AgentName) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == *name)
    }

    /// A runtime by its name.
    pub fn runtime(&self, name: &RuntimeName) -> Option<&Runtime> {
        self.runtimes.get(name)
    }

    /// The runtimes whose hosts are Python.
    pub fn python_runtimes(&self) -> impl Iterator<Item = (&RuntimeName, &PythonRuntime)> {
        self.runtimes.iter().filter_map(|(name, runtime)| Some((name, runtime.python()?)))
    }

    /// The agents that a tenant may use on a runtime.
    pub fn agents_of(&self, tenant: &TenantId, runtime: &RuntimeName) -> impl Iterator<Item = &Agent> {
        let allowed = self.rules.tenants.get(tenant).and_then(|rules| rules.allowed_agents.clone());
        let runtime = runtime.clone();
        self.agents.iter().filter(move |agent| {
            agent.rules.runtime == runtime && allowed.as_ref().is_none_or(|allowed| allowed.contains(&agent.name))
        })
    }

    /// The foreign program of a runtime of `kind = "program"`, with an environment that holds no secret. `None` for
    /// runtimes whose hosts are our own.
    pub fn program(&self, runtime: &RuntimeName, work_dir: &Path) -> Option<Program> {
        let runtime = self.runtimes.get(runtime)?;
        let RuntimeKind::Program(argv) = &runtime.kind else { return None };
        let mut env = self.environment(work_dir);
        for (name, variable) in &runtime.env {
            if let Variable::Text(text) = &variable.value {
                env.retain(|(other, _)| other != name);
                env.push((name.clone(), text.clone()));
            }
        }
        Some(Program { argv: argv.clone(), env })
    }

    /// What every agent's environment begins with, in a host that works in `work_dir`.
    pub fn environment(&self, work_dir: &Path) -> Vec<(String, String)> {
        let dir = work_dir.display().to_string();
        let own = [("HOME".to_owned(), dir.clone()), ("TMPDIR".to_owned(), dir)];
        self.base_env.iter().cloned().chain(own).collect()
    }

    /// What no host may ever read, whatever else it is granted: our own files and directories, and files of keys.
    pub fn hidden_paths(&self) -> Vec<PathBuf> {
        let own = [self.supervisor.runtime_dir.clone(), self.supervisor.state_dir.clone()];
        let keys = self.tenants.keys().flat_map(|tenant| self.keys_of(tenant)).chain(self.default_keys());
        let keys = keys.filter(|(plugin, ..)| !plugins::takes_credentials_file(plugin));
        let keys = keys.map(|(_, _, reference)| reference).chain(self.own_keys().map(|(_, reference)| reference));
        let keys = keys.filter_map(|reference| self.path_of(reference));
        self.source.iter().chain(&self.tenants_dir).chain(&self.audit.path).cloned().chain(own).chain(keys).collect()
    }

    /// Files of service accounts, which a tenant's agents read by path.
    fn credential_files(&self, tenant: &TenantId) -> Vec<PathBuf> {
        let own = self.keys_of(tenant).map(|(plugin, _, reference)| (plugin, reference));
        let fallback = self.default_keys().filter(|_| self.falls_back(tenant));
        let keys = own.chain(fallback.map(|(plugin, _, reference)| (plugin, reference)));
        let keys = keys.filter(|(plugin, _)| plugins::takes_credentials_file(plugin));
        keys.filter_map(|(_, reference)| self.path_of(reference)).collect()
    }

    /// The file that a reference names.
    pub(crate) fn path_of(&self, reference: &SecretRef) -> Option<PathBuf> {
        match reference {
            SecretRef::File(path) => Some(path.clone()),
            SecretRef::Credential(name) => Some(Path::new(self.found_variable("CREDENTIALS_DIRECTORY")?).join(name)),
            SecretRef::Env(_) | SecretRef::Exec(_) | SecretRef::Literal(_) => None,
        }
    }

    /// Whether a tenant may run on `[defaults.api_keys]`.
    pub(crate) fn falls_back(&self, tenant: &TenantId) -> bool {
        self.tenants.get(tenant).is_none_or(|tenant| tenant.fallback_keys)
    }

    /// A tenant's own keys, by provider.
    pub(crate) fn keys_of(&self, tenant: &TenantId) -> impl Iterator<Item = (&str, &str, &SecretRef)> {
        self.tenants.get(tenant).into_iter().flat_map(|tenant| references(&tenant.api_keys))
    }

    /// `[defaults.api_keys]`: provider, key path and reference.
    pub(crate) fn default_keys(&self) -> impl Iterator<Item = (&str, &str, &SecretRef)> {
        references(&self.default_keys)
    }

    /// `[tenants.X.env]`: name, key path and value.
    pub(crate) fn env_of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = (&str, &str, &Variable)> {
        self.tenants.get(tenant).into_iter().flat_map(|tenant| references(&tenant.env))
    }

    /// `[livekit]`'s key and secret: key path and reference.
    pub(crate) fn livekit_keys(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        let keys = self.livekit.iter().flat_map(|livekit| [&livekit.api_key, &livekit.api_secret]);
        keys.map(|spot| (spot.key.as_str(), &spot.value))
    }

    /// What who asks over TCP must give: key path and reference.
    pub(crate) fn control_token(&self) -> Option<(&str, &SecretRef)> {
        self.supervisor.control_token.as_ref().map(|spot| (spot.key.as_str(), &spot.value))
    }

    /// The supervisor's own secrets, which no host is ever told: key path and reference.
    pub(crate) fn own_keys(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        self.livekit_keys().chain(self.control_token())
    }

    /// `[runtimes.X.env]`: name, key path and value.
    pub(crate) fn env_of_runtime(&self, runtime: &RuntimeName) -> impl Iterator<Item = (&str, &str, &Variable)> {
        self.runtimes.get(runtime).into_iter().flat_map(|runtime| references(&runtime.env))
    }

    /// Variables of the supervisor's environment that a plugin reads a key from, by name, with the plugin; given to hosts
    /// or not.
    pub(crate) fn keys_here(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys_here.iter().map(|(variable, plugin)| (variable.as_str(), plugin.as_str()))
    }

    /// A variable of the supervisor's environment that a reference names.
    pub(crate) fn found_variable(&self, name: &str) -> Option<&str> {
        self.found.0.get(name).map(String::as_str)
    }
}

fn references<T>(table: &BTreeMap<String, Spot<T>>) -> impl Iterator<Item = (&str, &str, &T)> {
    table.iter().map(|(name, spot)| (name.as_str(), spot.key.as_str(), &spot.value))
}
