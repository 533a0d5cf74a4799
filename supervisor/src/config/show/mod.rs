//! The configuration in force, as `config show` prints it: every key with its value, no secret.
//!
//! Owns: the way back from [`Config`] to keys and units of the file. Never: prints a secret; a reference is shown as
//! `***(env:X)`, a field whose name looks like a secret's as `***`.

mod effective;
mod in_force;
mod runtimes;
mod walls;

use openrtc_ipc::TenantId;
use openrtc_policy::rules::{
    BreakerRules, Fallback, HostScope, MissingTenant, Rules, RuntimeRules, TenantRules, TenantStatus, UnknownTenant,
};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::providers::{ApiKeys, Providers, is_secret_name};
use super::section::Spot;
use super::tenants::Tenant;
use super::variables::{Variable, Variables};
use super::{CgroupMode, Config, SharedKeys};
use crate::telemetry::Format;

pub use effective::Setting;
pub(super) use runtimes::same as same_runtime;

impl Config {
    /// The configuration in force, as TOML.
    pub fn redacted_toml(&self) -> String {
        // Tables of plain values always serialise; were that to change, the reason is what to show.
        toml::to_string(&self.table()).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    /// The configuration in force, as JSON.
    pub fn redacted_json(&self) -> Json {
        serde_json::to_value(self.table()).unwrap_or(Json::Null)
    }

    /// One tenant as in [`Config::redacted_json`].
    pub fn redacted_tenant(&self, tenant: &TenantId) -> Option<Json> {
        serde_json::to_value(self.tenant(self.tenants.get(tenant)?)).ok()
    }

    fn table(&self) -> Table {
        let mut root = Table::new();
        put(&mut root, "config_version", 1);
        put(&mut root, "supervisor", self.supervisor_table());
        let mut wall = walls::from_spec(&self.wall.spec());
        self.hosts_into(&mut wall);
        put(&mut root, "wall", wall);
        put(&mut root, "circuit_breaker", breaker(&self.rules.breaker));
        let mut defaults = providers(&self.defaults);
        put(&mut defaults, "api_keys", keys(&self.default_keys));
        put(&mut root, "defaults", defaults);
        let named = self.runtimes.values().filter_map(|it| Some((it.name.to_string(), runtimes::runtime(it)?)));
        put(&mut root, "runtimes", named.collect::<Table>());
        put(&mut root, "agents", self.agents_table());
        put(&mut root, "routing", self.routing_table());
        put(&mut root, "rooms", self.rooms_table());
        let tenants = self.tenants.values().map(|it| (it.id.to_string(), self.tenant(it)));
        put(&mut root, "tenants", tenants.collect::<Table>());
        self.livekit_into(&mut root);
        self.observers_into(&mut root);
        root
    }

    fn supervisor_table(&self) -> Table {
        let (rules, own) = (&self.rules, &self.supervisor);
        let mut table = Table::new();
        put(&mut table, "isolation", "process");
        put(&mut table, "host_scope", scope(rules.host_scope));
        put(&mut table, "max_concurrent_sessions", rules.max_concurrent_sessions);
        put(&mut table, "default_max_sessions", or_off(rules.default_max_sessions));
        put(
            &mut table,
            "unknown_tenant",
            match rules.unknown_tenant {
                UnknownTenant::DefaultConfig => "default-config",
                UnknownTenant::Reject => "reject",
            },
        );
        put(
            &mut table,
            "missing_tenant",
            match rules.missing_tenant {
                MissingTenant::Default => "default",
                MissingTenant::Reject => "reject",
            },
        );
        put(&mut table, "default_tenant", rules.default_tenant.as_str());
        timings(rules, &mut table);
        put(&mut table, "max_concurrent_spawns", rules.max_concurrent_spawns);
        put(&mut table, "spawn_attempts", rules.spawn_attempts);
        put(&mut table, "max_hosts", rules.max_hosts);
        put(&mut table, "max_unregistered_hosts", rules.max_unregistered_hosts);
        // Where it differs between runtimes, none was written.
        let mut of_runtimes = |key, limit: fn(&RuntimeRules) -> Option<u32>| {
            let mut limits = rules.runtimes.values().map(limit);
            if let Some(first) = limits.next().filter(|first| limits.all(|other| other == *first)) {
                put(&mut table, key, or_off(first));
            }
        };
        of_runtimes("max_sessions_per_host", |runtime| runtime.max_sessions_per_host);
        of_runtimes("recycle_after_sessions", |runtime| runtime.recycle_after_sessions);
        put(&mut table, "accept_only_registered_rooms", rules.accept_only_registered_rooms);
        put(&mut table, "deployment_version", own.deployment_version.clone().unwrap_or_default());
        put(&mut table, "worker_id", own.worker_id.as_str());
        put(&mut table, "runtime_dir", own.runtime_dir.display().to_string());
        put(&mut table, "state_dir", own.state_dir.display().to_string());
        put(&mut table, "control_socket", own.control_socket.display().to_string());
        put(&mut table, "control_group", own.control_group.as_ref().map_or("off", |group| &group.name));
        let address = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |it| it.to_string());
        put(&mut table, "control_listen", address(own.control_listen));
        put(&mut table, "control_listen_public", own.control_listen.is_some_and(|it| !it.ip().is_loopback()));
        if let Some(token) = &own.control_token {
            put(&mut table, "control_token", format!("***({})", token.value));
        }
        put(&mut table, "health_listen", address(own.health_listen));
        let top = own.openrtc_top_socket.as_ref().map(|path| path.display().to_string());
        put(&mut table, "openrtc_top_socket", top.unwrap_or_else(|| "off".to_owned()));
        put(
            &mut table,
            "shared_keys",
            match own.shared_keys {
                SharedKeys::Warn => "warn",
                SharedKeys::Deny => "deny",
            },
        );
        table
    }

    fn hosts_into(&self, wall: &mut Table) {
        put(wall, "heartbeat_interval_s", seconds(self.liveness.heartbeat_interval_ms));
        put(wall, "slow_session_threshold_ms", whole(self.liveness.slow_session_threshold_ms));
        put(wall, "unresponsive_warn_ms", whole(self.rules.unresponsive_warn_ms));
        put(wall, "unresponsive_kill_s", seconds(self.rules.unresponsive_kill_ms));
        put(wall, "uid_range", vec![self.uids.first, self.uids.last]);
        let mut cgroup = Table::new();
        put(
            &mut cgroup,
            "mode",
            match self.cgroup.mode {
                CgroupMode::Auto => "auto",
                CgroupMode::Off => "off",
                CgroupMode::Require => "require",
            },
        );
        let parent = self.cgroup.parent.as_ref().map(|path| path.display().to_string());
        put(&mut cgroup, "parent", parent.unwrap_or_default());
        put(wall, "cgroup", cgroup);
    }

    fn agents_table(&self) -> Table {
        let agents = self.agents.iter().map(|agent| {
            let mut table = providers(&agent.providers);
            put(&mut table, "runtime", agent.rules.runtime.as_str());
            put(&mut table, "max_sessions", or_off(agent.rules.max_sessions));
            if !agent.command.is_empty() {
                put(&mut table, "command", agent.command.clone());
            }
            put(&mut table, "tools", agent.tools.clone());
            (agent.name.to_string(), table)
        });
        agents.map(|(name, table)| (name, Value::Table(table))).collect()
    }

    fn routing_table(&self) -> Table {
        let routing = &self.rules.routing;
        let mut table = Table::new();
        put(&mut table, "metadata_agent_keys", routing.metadata_agent_keys.clone());
        put(&mut table, "room_prefix", routing.room_prefix);
        put(
            &mut table,
            "fallback",
            match &routing.fallback {
                Fallback::Agent(agent) => agent.as_str(),
                Fallback::Reject => "reject",
            },
        );
        let rules = routing.rules.iter().map(|rule| {
            let mut table = Table::new();
            if let Some(tenant) = &rule.tenant {
                put(&mut table, "tenant", tenant.as_str());
            }
            let metadata = rule.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            put(&mut table, "metadata", metadata.collect::<Table>());
            put(&mut table, "agent", rule.agent.as_str());
            Value::Table(table)
        });
        put(&mut table, "rule", rules.collect::<Vec<_>>());
        table
    }

    fn rooms_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "namespace_mode", if self.rules.rooms.tenant_prefix { "tenant_prefix" } else { "off" });
        put(&mut table, "separator", self.rules.rooms.separator.as_str());
        table
    }

    fn tenant(&self, tenant: &Tenant) -> Value {
        let mut table = Table::new();
        if let Some(name) = &tenant.name {
            put(&mut table, "name", name.as_str());
        }
        if let Some(rules) = self.rules.tenants.get(&tenant.id) {
            tenant_rules(rules, &mut table);
        }
        put(&mut table, "tenant_config", providers(&tenant.providers));
        put(&mut table, "api_keys", keys(&tenant.api_keys));
        put(&mut table, "fallback_keys", tenant.fallback_keys);
        let config = Json::Object(tenant.agent_config.clone());
        put(&mut table, "agent_config", hidden(config));
        put(&mut table, "env", env(&tenant.env));
        put(&mut table, "wall", walls::from_layer(&tenant.wall));
        Value::Table(table)
    }

    fn livekit_into(&self, root: &mut Table) {
        let Some(livekit) = &self.livekit else { return };
        let mut table = Table::new();
        put(&mut table, "url", livekit.endpoint.to_string());
        put(&mut table, "api_key", format!("***({})", livekit.api_key.value));
        put(&mut table, "api_secret", format!("***({})", livekit.api_secret.value));
        put(&mut table, "agent_names", livekit.agent_names.clone());
        put(&mut table, "job_types", livekit.job_types.iter().map(|it| it.name()).collect::<Vec<_>>());
        put(&mut table, "trusted_metadata", livekit.trusted_metadata.iter().map(|it| it.name()).collect::<Vec<_>>());
        put(&mut table, "host_grants", livekit.host_grants.iter().map(|it| it.name()).collect::<Vec<_>>());
        let again = livekit.redispatch_after_host_death.map_or(Value::from("off"), |most| Value::from(i64::from(most)));
        put(&mut table, "redispatch_after_host_death", again);
        put(root, "livekit", table);
    }

    fn observers_into(&self, root: &mut Table) {
        let path =
            |path: &Option<std::path::PathBuf>| path.as_ref().map(|it| it.display().to_string()).unwrap_or_default();
        let (mut jsonl, mut timeouts) = (Table::new(), Table::new());
        put(&mut jsonl, "path", path(&self.observers.jsonl));
        put(&mut timeouts, "start_s", seconds(self.observers.start_timeout_ms));
        put(&mut timeouts, "end_s", seconds(self.observers.end_timeout_ms));
        let mut observers = Table::new();
        put(&mut observers, "jsonl", jsonl);
        put(&mut observers, "timeouts", timeouts);
        put(root, "observers", observers);
        let mut metrics = Table::new();
        put(&mut metrics, "jsonl", path(&self.metrics.jsonl));
        put(&mut metrics, "jsonl_interval_s", seconds(self.metrics.jsonl_interval_ms));
        put(&mut metrics, "stream_events_max", whole(self.metrics.stream_events_max as u64));
        put(&mut metrics, "without_token", self.metrics.without_token);
        put(root, "metrics", metrics);
        let mut traces = Table::new();
        put(&mut traces, "otlp_endpoint", self.traces.otlp_endpoint.as_deref().unwrap_or("off"));
        put(root, "traces", traces);
        let mut audit = Table::new();
        put(&mut audit, "path", path(&self.audit.path));
        put(&mut audit, "refusals_interval_s", seconds(self.audit.refusals_interval_ms));
        put(root, "audit", audit);
        let mut logs = Table::new();
        put(
            &mut logs,
            "format",
            match self.logs.format {
                Format::Auto => "auto",
                Format::Text => "text",
                Format::Json => "json",
            },
        );
        put(root, "logs", logs);
    }
}

fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn seconds(ms: u64) -> Value {
    match ms % 1000 {
        0 => Value::from(whole(ms / 1000)),
        _ => Value::from(ms as f64 / 1000.0),
    }
}

fn or_off(limit: Option<u32>) -> Value {
    limit.map_or_else(|| Value::from("off"), Value::from)
}

fn scope(scope: HostScope) -> &'static str {
    match scope {
        HostScope::Tenant => "tenant",
        HostScope::Session => "session",
    }
}

fn timings(rules: &Rules, table: &mut Table) {
    put(table, "drain_timeout_s", seconds(rules.drain_timeout_ms));
    put(table, "terminate_grace_s", seconds(rules.terminate_grace_ms));
    put(table, "initialize_timeout_s", seconds(rules.initialize_timeout_ms));
    put(table, "host_idle_timeout_s", seconds(rules.host_idle_timeout_ms));
    let waits: Vec<Value> = rules.restart_backoff_ms.iter().map(|ms| seconds(*ms)).collect();
    put(table, "restart_backoff_s", waits);
}

fn breaker(rules: &BreakerRules) -> Table {
    let mut table = Table::new();
    put(&mut table, "enabled", rules.enabled);
    put(&mut table, "cooldown_s", seconds(rules.cooldown_ms));
    put(&mut table, "failure_ratio", rules.failure_ratio);
    put(&mut table, "min_samples", rules.min_samples);
    put(&mut table, "window_s", seconds(rules.window_ms));
    put(&mut table, "half_open_max_sessions", or_off(rules.half_open_max_sessions));
    put(&mut table, "half_open_success_after_s", seconds(rules.half_open_success_after_ms));
    put(&mut table, "count_operator_kills", rules.count_operator_kills);
    table
}

fn tenant_rules(rules: &TenantRules, table: &mut Table) {
    put(
        table,
        "status",
        match rules.status {
            TenantStatus::Active => "active",
            TenantStatus::Suspended => "suspended",
            TenantStatus::Archived => "archived",
        },
    );
    put(table, "max_sessions", or_off(rules.max_sessions));
    if let Some(agents) = &rules.allowed_agents {
        put(table, "allowed_agents", agents.iter().map(|agent| agent.to_string()).collect::<Vec<_>>());
    }
    if let Some(host_scope) = rules.host_scope {
        put(table, "host_scope", scope(host_scope));
    }
    put(table, "circuit_breaker", breaker(&rules.breaker));
}

fn providers(providers: &Providers) -> Table {
    providers.named().map(|(step, provider)| (step.to_owned(), hidden(provider.json()))).collect()
}

fn keys(keys: &ApiKeys) -> Table {
    keys.iter().map(|(plugin, spot)| (plugin.clone(), Value::from(format!("***({})", spot.value)))).collect()
}

fn env(variables: &Variables) -> Table {
    let shown = |name: &str, spot: &Spot<Variable>| match &spot.value {
        Variable::Secret(reference) => format!("***({reference})"),
        Variable::Text(_) if is_secret_name(name) => "***".to_owned(),
        Variable::Text(text) => without_password(text),
    };
    variables.iter().map(|(name, spot)| (name.clone(), Value::from(shown(name, spot)))).collect()
}

/// `scheme://user:password@host` without the password.
fn without_password(text: &str) -> String {
    let hidden = text.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.split_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    });
    hidden.unwrap_or_else(|| text.to_owned())
}

/// JSON as TOML, secrets hidden by their names; null is left out.
fn hidden(json: Json) -> Value {
    match json {
        Json::Object(map) => {
            let shown = |(key, value): (String, Json)| {
                let value = if is_secret_name(&key) { Value::from("***") } else { hidden(value) };
                (key, value)
            };
            Value::Table(map.into_iter().filter(|(_, value)| !value.is_null()).map(shown).collect())
        }
        Json::Array(list) => Value::Array(list.into_iter().map(hidden).collect()),
        Json::String(text) => Value::from(text),
        Json::Bool(flag) => Value::from(flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::from(whole),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Null => Value::from(""),
    }
}
