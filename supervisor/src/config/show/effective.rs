//! One tenant's configuration in force, with the rung that gave each value.
//!
//! Owns: which of tenant, agent, script, defaults, `[wall]` and runtime named a value. Never: a secret; a reference is
//! shown as `***(env:X)`.

use openrtc_ipc::{RuntimeName, TenantId};
use openrtc_policy::rules::{BreakerRules, HostScope};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{breaker, env, hidden, or_off, scope, tenant_rules, walls};
use crate::config::{Agent, Config, Provider, Runtime};

/// Where a value comes from that nobody wrote.
const DEFAULT: &str = "default";

/// One value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `tenant`, `breaker`, `provider`, `key`, `env` or `wall`.
    pub section: &'static str,
    /// Its name; of a provider `<agent>.<step>`, of a wall `<runtime>.<key>`.
    pub name: String,
    /// The value; of a secret where it is.
    pub value: Json,
    /// The section of the file that gave it, or `default`.
    pub from: String,
}

impl Setting {
    fn new(section: &'static str, name: impl Into<String>, value: impl Into<Value>, from: impl Into<String>) -> Self {
        let value = serde_json::to_value(value.into()).unwrap_or(Json::Null);
        Self { section, name: name.into(), value, from: from.into() }
    }
}

impl Config {
    /// What holds for one tenant, and which rung gave it. A tenant that is not configured has the defaults.
    pub fn effective(&self, tenant: &TenantId) -> Vec<Setting> {
        let mut settings = self.effective_rules(tenant);
        settings.extend(self.effective_breaker(tenant));
        for agent in self.agents.iter().filter(|agent| self.rules.allows(tenant, &agent.name)) {
            settings.extend(self.effective_providers(tenant, agent));
        }
        settings.extend(self.effective_keys(tenant));
        for (name, runtime) in &self.runtimes {
            if self.agents_of(tenant, name).next().is_some() {
                settings.extend(self.effective_walls(tenant, name, runtime));
            }
        }
        settings
    }

    fn effective_rules(&self, tenant: &TenantId) -> Vec<Setting> {
        let section = format!("[tenants.{tenant}]");
        let (file, rules) = (self.tenants.get(tenant), self.rules.tenants.get(tenant));
        let mut own = Table::new();
        if let Some(rules) = rules {
            tenant_rules(rules, &mut own);
        }
        let status = own.remove("status").unwrap_or_else(|| Value::from("active"));
        let status_from = if status.as_str() == Some("active") { DEFAULT } else { &section };
        let capped = file.is_some_and(|file| file.capped);
        let cap = rules.map_or(self.rules.default_max_sessions, |rules| rules.max_sessions);
        let cap_from = match (capped, cap) {
            (true, _) => section.as_str(),
            (false, Some(_)) => "[supervisor] default_max_sessions",
            (false, None) => DEFAULT,
        };
        let agents = own.remove("allowed_agents");
        let agents_from = if agents.is_some() { section.as_str() } else { DEFAULT };
        let scope_from = match rules.and_then(|rules| rules.host_scope) {
            Some(_) => section.as_str(),
            None if self.rules.host_scope == HostScope::Tenant => DEFAULT,
            None => "[supervisor]",
        };
        vec![
            Setting::new("tenant", "status", status, status_from),
            Setting::new("tenant", "max_sessions", or_off(cap), cap_from),
            Setting::new("tenant", "allowed_agents", agents.unwrap_or_else(|| Value::from("all")), agents_from),
            Setting::new("tenant", "host_scope", scope(self.host_scope(tenant)), scope_from),
        ]
    }

    /// A number that all tenants share counts as the default where it is the built-in one.
    fn effective_breaker(&self, tenant: &TenantId) -> Vec<Setting> {
        let rules = |rules: &BreakerRules| breaker(rules);
        let in_force = rules(self.rules.tenants.get(tenant).map_or(&self.rules.breaker, |own| &own.breaker));
        let built_in = rules(&crate::config::breaker::DEFAULTS);
        let written = self.tenants.get(tenant).map(|file| file.breaker.written()).unwrap_or_default();
        let from = |key: &str, value: &Value| {
            if written.contains(&key) {
                return format!("[tenants.{tenant}.circuit_breaker]");
            }
            if built_in.get(key) == Some(value) { DEFAULT.to_owned() } else { "[circuit_breaker]".to_owned() }
        };
        let settings = in_force.into_iter().map(|(key, value)| {
            let from = from(&key, &value);
            Setting::new("breaker", key, value, from)
        });
        settings.collect()
    }

    /// Step by step: the tenant's, the agent's, the script's, the defaults.
    fn effective_providers(&self, tenant: &TenantId, agent: &Agent) -> Vec<Setting> {
        let scripted = self.runtime(&agent.rules.runtime).is_some_and(|runtime| runtime.python().is_some());
        let below = match scripted {
            true => "[defaults], where the script names none",
            false => "[defaults]",
        };
        let rungs = [
            (self.tenants.get(tenant).map(|file| &file.providers), format!("[tenants.{tenant}.tenant_config]")),
            (Some(&agent.providers), format!("[agents.{}]", agent.name)),
            (Some(&self.defaults), below.to_owned()),
        ];
        let step = |step: &str| {
            let name = format!("{}.{step}", agent.name);
            let named = rungs.iter().find_map(|(providers, from)| {
                let (_, provider) = providers.as_ref()?.named().find(|(named, _)| *named == step)?;
                Some((provider, from))
            });
            match named {
                Some((provider, from)) => Some(Setting::new("provider", name, shown(provider), from.clone())),
                None if scripted => Some(Setting::new("provider", name, "as the script says", "the script")),
                None => None,
            }
        };
        ["stt", "llm", "tts"].into_iter().filter_map(step).collect()
    }

    fn effective_keys(&self, tenant: &TenantId) -> Vec<Setting> {
        let own: Vec<_> = self.keys_of(tenant).collect();
        let told = |plugin: &str, reference: &crate::config::SecretRef, from: String| {
            Setting::new("key", plugin, format!("***({reference})"), from)
        };
        let of_tenant = own.iter().map(|(plugin, _, it)| told(plugin, it, format!("[tenants.{tenant}.api_keys]")));
        let mut settings: Vec<_> = of_tenant.collect();
        let fallback = self.default_keys().filter(|_| self.falls_back(tenant));
        let fallback = fallback.filter(|(plugin, ..)| own.iter().all(|(other, ..)| other != plugin));
        settings.extend(fallback.map(|(plugin, _, it)| told(plugin, it, "[defaults.api_keys]".to_owned())));
        let variables = self.tenants.get(tenant).map(|file| env(&file.env)).unwrap_or_default();
        let from = format!("[tenants.{tenant}.env]");
        settings.extend(variables.into_iter().map(|(name, value)| Setting::new("env", name, value, from.clone())));
        settings
    }

    /// `[wall]`, over it the runtime's, over that the tenant's: numbers replace, lists add up.
    fn effective_walls(&self, tenant: &TenantId, name: &RuntimeName, runtime: &Runtime) -> Vec<Setting> {
        let own = self.tenants.get(tenant).map(|file| walls::from_layer(&file.wall)).unwrap_or_default();
        let layers = [
            (own, format!("[tenants.{tenant}.wall]")),
            (walls::from_layer(&runtime.wall), format!("[runtimes.{name}.wall]")),
            (walls::from_layer(&self.wall), "[wall]".to_owned()),
        ];
        let from = |key: &str, value: &Value| {
            let other = if key == "memory_warn_pct" { "memory_warn_mb" } else { key };
            let named = layers.iter().filter(|(layer, _)| layer.contains_key(key) || layer.contains_key(other));
            let named: Vec<&str> = named.map(|(_, from)| from.as_str()).collect();
            match named.split_first() {
                None => DEFAULT.to_owned(),
                Some(_) if value.is_array() => named.join(" + "),
                Some((first, _)) => (*first).to_owned(),
            }
        };
        let settings = walls::from_spec(&self.wall(tenant, name)).into_iter().map(|(key, value)| {
            let from = from(&key, &value);
            Setting::new("wall", format!("{name}.{key}"), value, from)
        });
        settings.collect()
    }
}

/// `plugin/model` where that is all, else everything that is no secret.
fn shown(provider: &Provider) -> Value {
    match (&provider.model, provider.arguments.is_empty()) {
        (Some(model), true) => Value::from(format!("{}/{model}", provider.plugin)),
        _ => hidden(provider.json()),
    }
}
