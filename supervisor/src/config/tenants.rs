//! `[tenants.NAME]`: who pays, and what is theirs.
//!
//! Owns: the section's keys and defaults. Never: resolves a secret.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, TenantId};
use openrtc_policy::rules::{HostScope, TenantStatus};
use serde_json::{Map, Value as Json};

use super::agents::AgentNames;
use super::breaker::BreakerFile;
use super::faults::Faults;
use super::providers::{self, ApiKeys, Providers};
use super::runtimes::global_only;
use super::section::{Limit, Section, Spot};
use super::supervisor::SCOPES;
use super::variables::{self, Variables};
use super::walls::WallLayer;

/// One tenant, beside its rules.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name for people.
    pub name: Option<String>,
    /// Its providers; steps that it does not name fall back to the agent's, then to `[defaults]`.
    pub providers: Providers,
    /// Whether it may run on `[defaults.api_keys]`.
    pub fallback_keys: bool,
    /// Handed to its sessions as it is.
    pub agent_config: Map<String, Json>,
    pub(super) api_keys: ApiKeys,
    pub(super) env: Variables,
    pub(super) wall: WallLayer,
    /// Whether it names a cap of its own.
    pub(super) capped: bool,
    /// What it names of its breaker.
    pub(super) breaker: BreakerFile,
}

/// What was written.
pub(super) struct TenantFile {
    pub(super) status: TenantStatus,
    pub(super) max_sessions: Option<Limit>,
    pub(super) allowed_agents: Option<Spot<Vec<Spot<String>>>>,
    pub(super) host_scope: Option<HostScope>,
    pub(super) breaker: BreakerFile,
    name: Option<String>,
    providers: Providers,
    api_keys: ApiKeys,
    fallback_keys: bool,
    agent_config: Map<String, Json>,
    env: Variables,
    pub(super) wall: WallLayer,
}

const STATUSES: [(&str, TenantStatus); 3] =
    [("active", TenantStatus::Active), ("suspended", TenantStatus::Suspended), ("archived", TenantStatus::Archived)];

impl TenantFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        section.later(&[
            ("tier", "remove it"),
            ("plan", "remove it"),
            ("budget", "remove it"),
            ("budgets", "remove it"),
            ("rate_limit", "remove it"),
            ("num_idle_hosts", "move it to [runtimes.NAME]: a host that waits belongs to no tenant yet"),
            ("voicegateway_api_key", "remove it"),
        ]);
        section.refuse_here(
            "tenants",
            "stands in a file of one tenant",
            "write the tenant's keys at the top of this file; the file's name is its id",
        );
        Self {
            status: section.choice("status", &STATUSES).unwrap_or(TenantStatus::Active),
            max_sessions: section.limit("max_sessions", 1..=100_000),
            allowed_agents: section.texts("allowed_agents"),
            host_scope: section.choice("host_scope", &SCOPES),
            breaker: section.table("circuit_breaker", BreakerFile::read),
            name: section.text_or_none("name").map(|spot| spot.value),
            providers: section.table("tenant_config", |config| {
                for key in ["prompt", "instructions", "system_prompt"] {
                    let remedy = "a different prompt is a different agent; or put it into [tenants.NAME.agent_config]";
                    config.refuse_here(key, "is no provider", remedy);
                }
                Providers::read(config)
            }),
            api_keys: providers::api_keys(section),
            fallback_keys: section.flag("fallback_keys").unwrap_or(true),
            agent_config: providers::agent_config(section),
            env: variables::read(section),
            wall: section.table("wall", |wall| {
                global_only(wall);
                let remedy = "set it in [wall] or [runtimes.NAME.wall]";
                wall.refuse_here("session_seconds_max", "is not built for one tenant in this version", remedy);
                WallLayer::read(wall)
            }),
        }
    }

    pub(super) fn keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    pub(super) fn env(&self) -> &Variables {
        &self.env
    }

    /// Agents it may use: those that exist.
    pub(super) fn agents(&self, agents: &mut AgentNames, faults: &mut Faults) -> Option<Vec<AgentName>> {
        let list = self.allowed_agents.as_ref()?;
        if list.value.is_empty() {
            faults.warn(format!("{} = []: every session of this tenant is refused", list.key));
        }
        Some(list.value.iter().filter_map(|spot| agents.find(spot, faults)).collect())
    }

    pub(super) fn valid(self, id: TenantId) -> Tenant {
        Tenant {
            id,
            name: self.name,
            providers: self.providers,
            fallback_keys: self.fallback_keys,
            agent_config: self.agent_config,
            api_keys: self.api_keys,
            env: self.env,
            wall: self.wall,
            capped: self.max_sessions.is_some(),
            breaker: self.breaker,
        }
    }
}

/// Parses the ids of tenants; a second spelling of one is a fault.
pub(super) fn ids(
    named: Vec<(Spot<String>, TenantFile)>,
    faults: &mut Faults,
) -> BTreeMap<TenantId, (Spot<String>, TenantFile)> {
    let mut tenants: BTreeMap<TenantId, (Spot<String>, TenantFile)> = BTreeMap::new();
    for (name, file) in named {
        let id = match TenantId::parse(&name.value) {
            Ok(id) => id,
            Err(error) => {
                faults.add(&name.origin, &name.key, None, "is no tenant id", error.to_string());
                continue;
            }
        };
        if let Some((first, _)) = tenants.get(&id) {
            let line = first.origin.line.map(|line| format!(":{line}")).unwrap_or_default();
            let problem = format!("tenant {id} is configured twice, first in {}{line}", first.origin.source.name);
            faults.add(&name.origin, &name.key, None, problem, "keep one of the two");
            continue;
        }
        tenants.insert(id, (name, file));
    }
    tenants
}

/// Tenants whose rooms could be another's: `acme` and `acme_corp` under the separator `_` (semantics V9).
pub(super) fn colliding<'a>(
    ids: impl Iterator<Item = &'a TenantId> + Clone,
    separator: &str,
) -> Vec<(&'a TenantId, &'a TenantId)> {
    let mut sorted: Vec<(String, &TenantId)> = ids.map(|id| (format!("{id}{separator}"), id)).collect();
    sorted.sort();
    let mut colliding = Vec::new();
    for (at, (short, owner)) in sorted.iter().enumerate() {
        let longer = sorted[at + 1..].iter().take_while(|(long, _)| long.starts_with(short.as_str()));
        colliding.extend(longer.map(|(_, other)| (*owner, *other)));
    }
    colliding
}
