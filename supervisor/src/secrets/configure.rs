//! What one host is told: agents, environment and the keys of its own tenant.
//!
//! Owns: which rung gives which key (semantics B4, B10, V14). Never: gives a tenant another's secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use openrtc_ipc::{AgentSpec, Configure, RuntimeName, Secret, SecretText, TenantId};
use serde_json::Value as Json;

use super::fetch::is_service_account;
use super::{SecretError, SecretFault, Vault};
use crate::config::plugins::{GOOGLE_CREDENTIALS_VARIABLE, key_variable};
use crate::config::{Agent, Config, SecretRef, Variable};

/// What a variable is set to.
enum Setting<'a> {
    Text(String),
    Secret(&'a SecretText),
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
                Setting::Text(text) => env.push((variable, text)),
                Setting::Secret(value) => secrets.push(Secret { variable, value: value.clone() }),
            }
        }
        let agent_config = config.tenants.get(tenant).map(|tenant| tenant.agent_config.clone()).unwrap_or_default();
        let agents = config.agents_of(tenant, runtime);
        Ok(Configure {
            agents: agents.map(|agent| agent_spec(config, tenant, agent, agent_config.get("tools_enabled"))).collect(),
            agent_config_json: Json::Object(agent_config).to_string(),
            env,
            secrets,
            work_dir: work_dir.to_owned(),
            terminate_grace_ms: config.rules.terminate_grace_ms,
            application: None,
        })
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
                let providers = providers(config, tenant, agent);
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
    fn variables<'v>(
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

    fn secret(&self, key: &str) -> Option<&SecretText> {
        self.held.get(key)?.value.as_ref().ok()
    }

    fn add_env<'v, 'c>(
        &'v self,
        variables: &mut BTreeMap<String, Setting<'v>>,
        env: impl Iterator<Item = (&'c str, &'c str, &'c Variable)>,
    ) {
        for (name, key, variable) in env {
            let setting = match variable {
                Variable::Text(text) => Some(Setting::Text(text.clone())),
                Variable::Secret(_) => self.secret(key).map(Setting::Secret),
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
            let Some(value) = self.secret(key) else { continue };
            match config.path_of(reference).filter(|_| is_service_account(Some(plugin), value)) {
                Some(path) => {
                    let path = Setting::Text(path.display().to_string());
                    variables.insert(GOOGLE_CREDENTIALS_VARIABLE.to_owned(), path);
                }
                None => {
                    variables.insert(key_variable(plugin), Setting::Secret(value));
                }
            }
        }
    }
}

/// Step by step: the tenant's, the agent's, the defaults.
fn providers(config: &Config, tenant: &TenantId, agent: &Agent) -> crate::config::Providers {
    let below = agent.providers.over(&config.defaults);
    config.tenants.get(tenant).map_or(below.clone(), |tenant| tenant.providers.over(&below))
}

/// Steps that only `[defaults]` names.
fn defaulted(config: &Config, tenant: &TenantId, agent: &Agent) -> Vec<String> {
    let own = config.tenants.get(tenant).map(|tenant| tenant.providers.over(&agent.providers));
    let own = own.unwrap_or_else(|| agent.providers.clone());
    let named: BTreeSet<&str> = own.named().map(|(step, _)| step).collect();
    config.defaults.named().map(|(step, _)| step).filter(|step| !named.contains(step)).map(str::to_owned).collect()
}

fn agent_spec(config: &Config, tenant: &TenantId, agent: &Agent, enabled: Option<&Json>) -> AgentSpec {
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
