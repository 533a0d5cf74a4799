//! What one host is told: agents, environment and the keys of its own tenant.
//!
//! Owns: which rung gives which key (semantics B4, B10, V14). Never: gives a tenant another's secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use openrtc_ipc::{AgentSpec, Application, Configure, RuntimeName, Secret, SecretText, TenantId};
use serde_json::Value as Json;

use super::fetch::is_service_account;
use super::{Given, Held, SecretError, SecretFault, Vault};
use crate::config::plugins::{GOOGLE_CREDENTIALS_VARIABLE, key_variable, key_variables};
use crate::config::{Agent, Config, LoadApp, SecretRef, Variable};

/// Stands for every key while an application is asked what it is made of.
pub const PLACEHOLDER: &str = "openrtc-placeholder";

/// What a variable is set to.
pub(super) enum Setting<'a> {
    Text(String),
    Secret(&'a Held, &'a SecretText),
    /// The file of a secret that plugins read from a file.
    Path(&'a Held, String),
}

impl Vault {
    /// What a host of this tenant and runtime is to serve, and with which keys.
    pub fn configure(
        &self,
        config: &Config,
        tenant: &TenantId,
        runtime: &RuntimeName,
        work_dir: &Path,
    ) -> Result<Configure, SecretError> {
        if config.runtime(runtime).is_none() {
            return Err(SecretError::UnknownRuntime { runtime: runtime.clone() });
        }
        if let Some(fault) = self.denied.get(tenant).cloned().or_else(|| self.first_unreadable(config, tenant, runtime))
        {
            return Err(SecretError::Unreadable { fault });
        }
        let (mut env, mut secrets) = (Vec::new(), Vec::new());
        for (variable, setting) in self.variables(config, tenant, runtime, work_dir) {
            match setting {
                Setting::Text(text) | Setting::Path(_, text) => env.push((variable, text)),
                Setting::Secret(_, value) => secrets.push(Secret { variable, value: value.clone() }),
            }
        }
        let agent_config = config.tenants.get(tenant).map(|tenant| tenant.agent_config.clone()).unwrap_or_default();
        let agents = config.agents_of(tenant, runtime);
        Ok(Configure {
            agents: agents
                .map(|agent| agent_spec(config, Some(tenant), agent, agent_config.get("tools_enabled")))
                .collect(),
            agent_config_json: Json::Object(agent_config).to_string(),
            env,
            secrets,
            work_dir: work_dir.to_owned(),
            terminate_grace_ms: config.rules.terminate_grace_ms,
            application: application(config, runtime, None),
        })
    }

    /// What a host is told that only says which agents a runtime's application has: no key of anybody's, a placeholder for
    /// each that a known plugin reads, so that its objects can be made, and likewise for the runtime's own secrets.
    pub fn configure_inspection(
        &self,
        config: &Config,
        runtime: &RuntimeName,
        work_dir: &Path,
    ) -> Result<Configure, SecretError> {
        if config.runtime(runtime).is_none() {
            return Err(SecretError::UnknownRuntime { runtime: runtime.clone() });
        }
        let placeholder = || PLACEHOLDER.to_owned();
        let mut env: BTreeMap<String, String> = config.environment(work_dir).into_iter().collect();
        env.extend(key_variables().map(|(_, variable)| (variable, placeholder())));
        env.extend(config.default_keys().map(|(plugin, ..)| (key_variable(plugin), placeholder())));
        for tenant in config.tenants.keys() {
            env.extend(config.keys_of(tenant).map(|(plugin, ..)| (key_variable(plugin), placeholder())));
        }
        env.extend(config.env_of_runtime(runtime).map(|(name, _, variable)| match variable {
            Variable::Text(text) => (name.to_owned(), text.clone()),
            Variable::Secret(_) => (name.to_owned(), placeholder()),
        }));
        let agents = config.agents.iter().filter(|agent| agent.rules.runtime == *runtime);
        Ok(Configure {
            agents: agents.map(|agent| agent_spec(config, None, agent, None)).collect(),
            agent_config_json: Json::Object(serde_json::Map::new()).to_string(),
            env: env.into_iter().collect(),
            secrets: Vec::new(),
            work_dir: work_dir.to_owned(),
            terminate_grace_ms: config.rules.terminate_grace_ms,
            application: application(config, runtime, Some(config.in_force(runtime).to_string())),
        })
    }

    /// The secrets that a host of this tenant and runtime is given: where each is, and never what.
    pub fn given(&self, config: &Config, tenant: &TenantId, runtime: &RuntimeName) -> Vec<Given> {
        let told = |(variable, setting): (String, Setting<'_>)| match setting {
            Setting::Text(_) => None,
            Setting::Secret(held, _) | Setting::Path(held, _) => {
                let (key, source) = (held.wanted.key.clone(), held.wanted.reference.to_string());
                Some(Given { variable, key, source })
            }
        };
        self.variables(config, tenant, runtime, Path::new("/")).into_iter().filter_map(told).collect()
    }

    /// Whether a host of this tenant and runtime has this variable in its environment.
    pub fn gives(&self, config: &Config, tenant: &TenantId, runtime: &RuntimeName, variable: &str) -> bool {
        self.variables(config, tenant, runtime, Path::new("/")).contains_key(variable)
    }

    /// The first secret that this host needs and that could not be had.
    pub(super) fn first_unreadable(
        &self,
        config: &Config,
        tenant: &TenantId,
        runtime: &RuntimeName,
    ) -> Option<SecretFault> {
        let secret = |(_, key, variable): (_, &str, &Variable)| match variable {
            Variable::Secret(_) => self.held.get(key)?.value.as_ref().err().cloned(),
            Variable::Text(_) => None,
        };
        let mut own = config.keys_of(tenant);
        own.find_map(|(_, key, _)| self.held.get(key)?.value.as_ref().err().cloned())
            .or_else(|| config.env_of_tenant(tenant).find_map(secret))
            .or_else(|| config.env_of_runtime(runtime).find_map(secret))
            .or_else(|| self.unreadable_default(config, tenant, runtime))
    }

    /// A fallback key matters only where a provider in use would fall back to it.
    fn unreadable_default(&self, config: &Config, tenant: &TenantId, runtime: &RuntimeName) -> Option<SecretFault> {
        let used: BTreeSet<String> = config
            .agents_of(tenant, runtime)
            .flat_map(|agent| {
                let providers = providers(config, Some(tenant), agent);
                providers.named().map(|(_, provider)| provider.plugin.clone()).collect::<Vec<_>>()
            })
            .collect();
        let mut fallback = self.fallback_keys(config, tenant).into_iter().filter(|(plugin, ..)| used.contains(*plugin));
        fallback.find_map(|(_, key, _)| self.held.get(key)?.value.as_ref().err().cloned())
    }

    /// `[defaults.api_keys]` that this tenant falls back to.
    fn fallback_keys<'c>(&self, config: &'c Config, tenant: &TenantId) -> Vec<(&'c str, &'c str, &'c SecretRef)> {
        if !config.falls_back(tenant) {
            return Vec::new();
        }
        let own: BTreeSet<&str> = config.keys_of(tenant).map(|(plugin, ..)| plugin).collect();
        config.default_keys().filter(|(plugin, ..)| !own.contains(plugin)).collect()
    }

    /// Every variable of the agents' programs. Later rungs win: the base, the runtime's, fallback keys, the tenant's
    /// keys, the tenant's variables.
    pub(super) fn variables<'v>(
        &'v self,
        config: &Config,
        tenant: &TenantId,
        runtime: &RuntimeName,
        work_dir: &Path,
    ) -> BTreeMap<String, Setting<'v>> {
        let mut variables: BTreeMap<String, Setting<'v>> =
            config.environment(work_dir).into_iter().map(|(name, value)| (name, Setting::Text(value))).collect();
        self.add_env(&mut variables, config.env_of_runtime(runtime));
        self.add_keys(&mut variables, config, self.fallback_keys(config, tenant).into_iter());
        self.add_keys(&mut variables, config, config.keys_of(tenant));
        self.add_env(&mut variables, config.env_of_tenant(tenant));
        variables
    }

    fn secret(&self, key: &str) -> Option<(&Held, &SecretText)> {
        let held = self.held.get(key)?;
        Some((held, held.value.as_ref().ok()?))
    }

    fn add_env<'v, 'c>(
        &'v self,
        variables: &mut BTreeMap<String, Setting<'v>>,
        env: impl Iterator<Item = (&'c str, &'c str, &'c Variable)>,
    ) {
        for (name, key, variable) in env {
            let setting = match variable {
                Variable::Text(text) => Some(Setting::Text(text.clone())),
                Variable::Secret(_) => self.secret(key).map(|(held, value)| Setting::Secret(held, value)),
            };
            if let Some(setting) = setting {
                variables.insert(name.to_owned(), setting);
            }
        }
    }

    fn add_keys<'v, 'c>(
        &'v self,
        variables: &mut BTreeMap<String, Setting<'v>>,
        config: &Config,
        keys: impl Iterator<Item = (&'c str, &'c str, &'c SecretRef)>,
    ) {
        for (plugin, key, reference) in keys {
            let Some((held, value)) = self.secret(key) else { continue };
            match config.path_of(reference).filter(|_| is_service_account(Some(plugin), value)) {
                Some(path) => {
                    let path = Setting::Path(held, path.display().to_string());
                    variables.insert(GOOGLE_CREDENTIALS_VARIABLE.to_owned(), path);
                }
                None => {
                    variables.insert(key_variable(plugin), Setting::Secret(held, value));
                }
            }
        }
    }
}

/// The application of a Python runtime.
fn application(config: &Config, runtime: &RuntimeName, inspect: Option<String>) -> Option<Application> {
    let python = config.runtime(runtime)?.python()?;
    Some(Application { target: python.target.clone(), loaded: python.load_app == LoadApp::Zygote, inspect })
}

/// Step by step: the tenant's, the agent's, the defaults.
fn providers(config: &Config, tenant: Option<&TenantId>, agent: &Agent) -> crate::config::Providers {
    let below = agent.providers.over(&config.defaults);
    let tenant = tenant.and_then(|tenant| config.tenants.get(tenant));
    tenant.map_or(below.clone(), |tenant| tenant.providers.over(&below))
}

/// Steps that only `[defaults]` names.
fn defaulted(config: &Config, tenant: Option<&TenantId>, agent: &Agent) -> Vec<String> {
    let own =
        tenant.and_then(|tenant| config.tenants.get(tenant)).map(|tenant| tenant.providers.over(&agent.providers));
    let own = own.unwrap_or_else(|| agent.providers.clone());
    let named: BTreeSet<&str> = own.named().map(|(step, _)| step).collect();
    config.defaults.named().map(|(step, _)| step).filter(|step| !named.contains(step)).map(str::to_owned).collect()
}

fn agent_spec(config: &Config, tenant: Option<&TenantId>, agent: &Agent, enabled: Option<&Json>) -> AgentSpec {
    let enabled = enabled.and_then(Json::as_array);
    let allowed = |tool: &&String| enabled.is_none_or(|list| list.iter().any(|name| name.as_str() == Some(tool)));
    AgentSpec {
        name: agent.name.clone(),
        command: agent.command.clone(),
        providers_json: providers(config, tenant, agent).json().to_string(),
        defaulted: defaulted(config, tenant, agent),
        tools: agent.tools.iter().filter(allowed).cloned().collect(),
    }
}
