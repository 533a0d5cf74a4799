//! What the log has been told of versions, tenants and limits, kept in the state directory: what changes is recorded, also
//! when a file was edited while no supervisor ran.
//!
//! Owns: that file, and what counts as a limit. Never: an agent's instructions, a variable's value or a key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actor::Actor;
use super::entry::Entry;
use super::head::replace;
use crate::config::Config;

const FILE: &str = "audit.known.json";
/// Versions remembered, the newest last.
const VERSIONS_MAX: usize = 32;
/// Below `[tenants.NAME]`; below these everything.
const OF_TENANT: [&str; 9] = [
    "status",
    "max_sessions",
    "allowed_agents",
    "host_scope",
    "fallback_keys",
    "api_keys",
    "circuit_breaker",
    "wall",
    "tenant_config",
];
/// Of a tenant, but no limit.
const NO_LIMIT: [&str; 4] = ["status", "fallback_keys", "api_keys", "tenant_config"];
/// Below `[supervisor]`.
const OF_SUPERVISOR: [&str; 11] = [
    "host_scope",
    "max_concurrent_sessions",
    "default_max_sessions",
    "unknown_tenant",
    "missing_tenant",
    "max_concurrent_spawns",
    "max_hosts",
    "max_unregistered_hosts",
    "max_sessions_per_host",
    "recycle_after_sessions",
    "shared_keys",
];

/// What the log has been told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    versions: Vec<String>,
    /// By the path of their keys.
    settings: Option<BTreeMap<String, Value>>,
    #[serde(skip)]
    path: PathBuf,
}

impl Known {
    /// What was kept; nothing, where nothing that can be read was.
    pub(super) fn read(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, ..kept.unwrap_or_default() }
    }

    /// A version starts: whether it is a step back is seen by what ran before.
    pub(super) fn deployed(&mut self, version: Option<&str>) -> Vec<Entry> {
        let mut entries = vec![Entry::new("deployment.started", Actor::System, "")];
        let Some(version) = version else { return entries };
        let last = self.versions.last().cloned();
        if last.as_deref() == Some(version) {
            return entries;
        }
        if let Some(last) = last.filter(|_| self.versions.iter().any(|other| other == version)) {
            let entry = Entry::new("deployment.rolled_back", Actor::System, "").with("from_version", last);
            entries.push(entry.with("reason", "a version that ran before was started again"));
        }
        self.versions.retain(|other| other != version);
        self.versions.push(version.to_owned());
        let excess = self.versions.len().saturating_sub(VERSIONS_MAX);
        self.versions.drain(..excess);
        entries
    }

    /// What changed of tenants and limits since the last time; nothing the first time.
    pub(super) fn configured(&mut self, config: &Config, actor: &Actor) -> Vec<Entry> {
        let now = settings(&config.redacted_json());
        let entries = self.settings.as_ref().map(|before| changes(before, &now, actor)).unwrap_or_default();
        self.settings = Some(now);
        self.keep();
        entries
    }

    /// If it fails, changes made until the next start are recorded again, or not.
    fn keep(&self) {
        let kept = serde_json::to_vec(self).map_err(Into::into).and_then(|bytes| replace(&self.path, &bytes));
        if let Err(error) = kept {
            tracing::warn!(target: "openrtc.audit", path = %self.path.display(), %error, "keep what the audit log knows");
        }
    }
}

/// The settings that are recorded when they change.
fn settings(config: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut take = |path: &str, value: &Value| flatten(path, value, &mut found);
    for key in OF_SUPERVISOR {
        take(&format!("supervisor.{key}"), &config["supervisor"][key]);
    }
    for section in ["wall", "circuit_breaker"] {
        take(section, &config[section]);
    }
    for (agent, table) in config["agents"].as_object().into_iter().flatten() {
        take(&format!("agents.{agent}.max_sessions"), &table["max_sessions"]);
    }
    for (tenant, table) in config["tenants"].as_object().into_iter().flatten() {
        for key in OF_TENANT {
            take(&format!("tenants.{tenant}.{key}"), &table[key]);
        }
    }
    found
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(table) => table.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, into)),
        value => _ = into.insert(path.to_owned(), value.clone()),
    }
}

/// The tenant of a key; tenants' ids have no dots.
fn tenant_of(key: &str) -> Option<&str> {
    key.strip_prefix("tenants.")?.split('.').next()
}

fn tenants(settings: &BTreeMap<String, Value>) -> BTreeSet<&str> {
    settings.keys().filter_map(|key| tenant_of(key)).collect()
}

fn changes(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>, actor: &Actor) -> Vec<Entry> {
    let (old, new) = (tenants(before), tenants(now));
    let tenant = |event, tenant: &&str| Entry::new(event, actor.clone(), tenant).with("tenant", *tenant);
    let mut entries: Vec<Entry> = new.difference(&old).map(|it| tenant("tenant.added", it)).collect();
    entries.extend(old.difference(&new).map(|it| tenant("tenant.removed", it)));
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for key in keys.into_iter().filter(|key| before.get(*key) != now.get(*key)) {
        let whose = tenant_of(key);
        if whose.is_some_and(|whose| !(old.contains(whose) && new.contains(whose))) {
            continue;
        }
        let no_limit = whose.is_some() && key.split('.').nth(2).is_some_and(|part| NO_LIMIT.contains(&part));
        let event = if no_limit { "tenant.changed" } else { "limit.changed" };
        let entry = Entry::new(event, actor.clone(), key).with_some("tenant", whose);
        entries.push(entry.with_some("from", before.get(key).cloned()).with_some("to", now.get(key).cloned()));
    }
    entries
}
