//! What the user wrote, key by key: types and ranges checked, nothing else.
//!
//! Owns: the list of sections. Never: compares two sections.

use super::breaker::BreakerFile;
use super::hosts::HostsFile;
use super::livekit::LivekitFile;
use super::observers::{AuditSettings, Logs, Metrics, Observers, Traces};
use super::providers::{self, ApiKeys, Providers};
use super::routing::{RoomsFile, RoutingFile};
use super::runtimes::{AgentFile, RuntimeFile};
use super::section::{Section, Spot};
use super::supervisor::SupervisorFile;
use super::tenants::TenantFile;
use super::walls::WallLayer;

/// The whole file. Every key optional.
pub(super) struct ConfigFile {
    pub(super) supervisor: SupervisorFile,
    pub(super) wall: WallLayer,
    pub(super) hosts: HostsFile,
    pub(super) breaker: BreakerFile,
    pub(super) defaults: Providers,
    pub(super) default_keys: ApiKeys,
    pub(super) runtimes: Vec<(Spot<String>, RuntimeFile)>,
    pub(super) agents: Vec<(Spot<String>, AgentFile)>,
    pub(super) routing: RoutingFile,
    pub(super) rooms: RoomsFile,
    pub(super) tenants: Vec<(Spot<String>, TenantFile)>,
    pub(super) livekit: LivekitFile,
    pub(super) observers: Observers,
    pub(super) metrics: Metrics,
    pub(super) traces: Traces,
    pub(super) audit: AuditSettings,
    pub(super) logs: Logs,
}

/// Sections that a later version builds.
const LATER: [(&str, &str); 11] = [
    ("tiers", "set the numbers in each [tenants.NAME]"),
    ("rate_limit", "use max_sessions"),
    ("budgets", "remove it"),
    ("usage", "remove it"),
    ("membership", "remove it"),
    ("alerts", "use [observers.jsonl]"),
    ("tenant_resolver", "list tenants under [tenants.NAME] or in tenants.d"),
    ("providers", "keys are passed under the built-in names; see docs/configuration.md"),
    ("worker", "remove it"),
    ("console", "remove it"),
    ("fleet", "remove it"),
];

impl ConfigFile {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        root.later(&LATER);
        root.whole("config_version", 1..=1);
        // Its files were read before; here only its keys are checked.
        root.table("include", |include| include.path_or_none("tenants_dir"));
        let (wall, hosts) = root.table("wall", |wall| (WallLayer::read(wall), HostsFile::read(wall)));
        let (defaults, default_keys) =
            root.table("defaults", |defaults| (Providers::read(defaults), providers::api_keys(defaults)));
        Self {
            supervisor: root.table("supervisor", SupervisorFile::read),
            wall,
            hosts,
            breaker: root.table("circuit_breaker", BreakerFile::read),
            defaults,
            default_keys,
            runtimes: root.named("runtimes", "runtimes.NAME", RuntimeFile::read),
            agents: root.named("agents", "agents.NAME", AgentFile::read),
            routing: root.table("routing", RoutingFile::read),
            rooms: root.table("rooms", RoomsFile::read),
            tenants: root.named("tenants", "tenants.NAME", TenantFile::read),
            livekit: root.table("livekit", LivekitFile::read),
            observers: root.table("observers", Observers::read),
            metrics: root.table("metrics", Metrics::read),
            traces: root.table("traces", Traces::read),
            audit: root.table("audit", AuditSettings::read),
            logs: root.table("logs", Logs::read),
        }
    }
}
