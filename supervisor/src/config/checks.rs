//! What is wrong, or suspicious, between keys.
//!
//! Owns: checks that need more than one key. Never: changes a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use openrtc_policy::rules::{HostScope, MissingTenant, TenantStatus, UnknownTenant};

use super::faults::Faults;
use super::file::ConfigFile;
use super::plugins;
use super::reference::SecretRef;
use super::section::{Limit, Spot};
use super::supervisor::SharedKeys;
use super::tenants::Tenant;
use super::tree::Source;
use super::variables::Variable;
use super::{Config, RuntimeKind};

/// Sources that more than their owner can read.
#[derive(Default)]
pub(super) struct Exposed(pub(super) Vec<Arc<Source>>);

/// Checks that need the places of what was written.
pub(super) fn check_file(file: &ConfigFile, exposed: &Exposed, faults: &mut Faults) {
    let allowed = file.supervisor.allow_literal_secrets.unwrap_or(false);
    let mut literals: Vec<&Spot<SecretRef>> = file.default_keys.values().collect();
    let mut secrets: Vec<(&str, &Spot<Variable>)> = Vec::new();
    for (_, tenant) in &file.tenants {
        literals.extend(tenant.keys().values());
        secrets.extend(tenant.env().iter().map(|(name, variable)| (name.as_str(), variable)));
    }
    literals.extend(&file.livekit.api_secret);
    for (_, runtime) in &file.runtimes {
        secrets.extend(runtime.env().iter().map(|(name, variable)| (name.as_str(), variable)));
    }
    for spot in literals.into_iter().filter(|spot| matches!(spot.value, SecretRef::Literal(_))) {
        literal(spot, allowed, exposed, faults);
    }
    for (name, spot) in secrets {
        if matches!(spot.value, Variable::Text(_)) && super::providers::is_secret_name(name) {
            faults.warn(format!("{} looks like a secret in plain text; write {}", spot.key, super::reference::FORMS));
        }
    }
    lifetime_cpu(file, faults);
    open_top_socket(file, faults);
    metrics_nowhere(file, faults);
}

/// Metrics without a token are served on the port of probes and nowhere else.
fn metrics_nowhere(file: &ConfigFile, faults: &mut Faults) {
    if file.metrics.without_token && !file.supervisor.has_health_port() {
        faults.warn(
            "metrics.without_token = true: has no port; set supervisor.health_listen, or scrape the control API"
                .to_owned(),
        );
    }
}

/// OpenRTC's socket asks for no token: it is served only where no host may connect to a socket at all (decision W2).
fn open_top_socket(file: &ConfigFile, faults: &mut Faults) {
    let Some(spot) = &file.supervisor.openrtc_top_socket else { return };
    let runtimes = file.runtimes.iter().map(|(_, runtime)| runtime.wall());
    let tenants = file.tenants.iter().map(|(_, tenant)| &tenant.wall);
    if std::iter::once(&file.wall).chain(runtimes).chain(tenants).any(|wall| wall.unix_sockets == Some(true)) {
        let problem = "can be read by hosts that have unix_sockets = true: it asks for no token";
        let remedy = "remove one of the two, or use `openrtc-supervisor snapshot`";
        faults.add(&spot.origin, &spot.key, Some(format!("{:?}", spot.value)), problem, remedy);
    }
}

fn literal(spot: &Spot<SecretRef>, allowed: bool, exposed: &Exposed, faults: &mut Faults) {
    if !allowed {
        let remedy = format!(
            "write {}; or set supervisor.allow_literal_secrets = true and chmod 600 the file",
            super::reference::FORMS
        );
        faults.add(&spot.origin, &spot.key, None, "is a secret in plain text", remedy);
    } else if exposed.0.contains(&spot.origin.source) {
        let remedy = format!("chmod 600 {}", spot.origin.source.name);
        faults.add(&spot.origin, &spot.key, None, "is a secret in a file that others can read", remedy);
    }
}

/// RLIMIT_CPU counts a host's whole life, so a tenant's host would die of age (semantics V25).
fn lifetime_cpu(file: &ConfigFile, faults: &mut Faults) {
    let global = file.supervisor.host_scope.unwrap_or(HostScope::Tenant);
    let set = |spot: &Option<Spot<Limit>>| spot.clone().filter(|spot| spot.value.number().is_some());
    let mut fault = |spot: &Spot<Limit>, whose: &str| {
        let value = spot.value.number().map(|seconds| seconds.to_string());
        let problem = format!("would kill {whose} after so much CPU in its whole life");
        let remedy = "use host_scope = \"session\", or cpu_max_pct to slow hosts down";
        faults.add(&spot.origin, &spot.key, value, problem, remedy);
    };
    let base = set(&file.wall.cpu_seconds_max);
    let runtimes: Vec<_> =
        file.runtimes.iter().filter_map(|(_, runtime)| set(&runtime.wall().cpu_seconds_max)).collect();
    if global == HostScope::Tenant {
        base.iter().chain(&runtimes).for_each(|spot| fault(spot, "a tenant's host"));
    }
    for (name, tenant) in &file.tenants {
        if tenant.host_scope.unwrap_or(global) == HostScope::Session {
            continue;
        }
        match &tenant.wall.cpu_seconds_max {
            Some(spot) if spot.value.number().is_some() => fault(spot, &format!("the host of tenant {}", name.value)),
            Some(_) => {}
            None if global == HostScope::Session => {
                let inherited = base.iter().chain(&runtimes);
                inherited.for_each(|spot| fault(spot, &format!("the host of tenant {}", name.value)));
            }
            None => {}
        }
    }
}

/// Checks of the whole.
pub(super) fn check(config: &Config, faults: &mut Faults) {
    walls_off(config, faults);
    numbers(config, faults);
    slips(config, faults);
    shared_references(config, faults);
    exposed_files(config, faults);
    super::dotenv::check(config, faults);
}

fn walls_off(config: &Config, faults: &mut Faults) {
    for wall in config.wall.turned_off() {
        faults.warn(format!("NO {wall} WALL: [wall] turns it off for every host"));
    }
    for (name, runtime) in &config.runtimes {
        for wall in runtime.wall.turned_off() {
            faults.warn(format!("NO {wall} WALL: [runtimes.{name}.wall] turns it off"));
        }
    }
    for (id, tenant) in &config.tenants {
        for wall in tenant.wall.turned_off() {
            faults.warn(format!("NO {wall} WALL: [tenants.{id}.wall] turns it off"));
        }
        for runtime in config.runtimes.values() {
            if tenant.wall.over(&runtime.wall.over(&config.wall)).warns_above_the_wall() {
                faults.warn(format!("memory_warn_mb of tenant {id} lies above memory_max_mb: it warns at 100 %"));
            }
        }
    }
    let layers = config.runtimes.values().map(|runtime| runtime.wall.over(&config.wall));
    if layers.into_iter().any(|layer| layer.warns_above_the_wall()) {
        faults.warn("wall.memory_warn_mb lies above memory_max_mb: it warns at 100 %");
    }
}

fn numbers(config: &Config, faults: &mut Faults) {
    let rules = &config.rules;
    if rules.max_unregistered_hosts > rules.max_hosts {
        faults.warn(format!(
            "supervisor.max_unregistered_hosts = {} is above max_hosts = {}",
            rules.max_unregistered_hosts, rules.max_hosts
        ));
    }
    for (id, tenant) in &rules.tenants {
        let cap = tenant.max_sessions.unwrap_or(0);
        if cap > rules.max_concurrent_sessions {
            faults.warn(format!(
                "tenants.{id}.max_sessions = {cap} is above supervisor.max_concurrent_sessions = {}, which holds on top",
                rules.max_concurrent_sessions
            ));
        }
    }
    let default = &rules.default_tenant;
    if rules.missing_tenant == MissingTenant::Default {
        let configured = rules.tenants.get(default);
        if configured.is_none() && rules.unknown_tenant == UnknownTenant::Reject {
            faults.warn(format!(
                "a dispatch without a tenant runs as {default:?}, which is not configured, and unknown_tenant = \"reject\": \
                 it is refused; add [tenants.{default}] or set missing_tenant = \"reject\"",
                default = default.as_str()
            ));
        }
        if configured.is_some_and(|tenant| tenant.status != TenantStatus::Active) {
            faults.warn(format!("default_tenant {default} is not active: a dispatch without a tenant is refused"));
        }
    }
    let empty = config.runtimes.values().filter(|runtime| matches!(runtime.kind, RuntimeKind::Program(_)));
    for runtime in empty {
        if !config.agents.iter().any(|agent| agent.rules.runtime == runtime.name) {
            faults.warn(format!("runtimes.{} runs no agent", runtime.name));
        }
    }
}

fn slips(config: &Config, faults: &mut Faults) {
    let mut places = vec![("defaults".to_owned(), &config.defaults)];
    places.extend(config.agents.iter().map(|agent| (format!("agents.{}", agent.name), &agent.providers)));
    places.extend(config.tenants.values().map(|t| (format!("tenants.{}.tenant_config", t.id), &t.providers)));
    for (place, providers) in places {
        for (step, provider) in providers.named() {
            if let Some(near) = plugins::slip_of(&provider.plugin) {
                faults.warn(format!("{place}.{step} = {:?}: did you mean {near:?}?", provider.plugin));
            }
        }
    }
    let keys = config.tenants.values().map(|tenant| &tenant.api_keys).chain([&config.default_keys]);
    for (plugin, spot) in keys.flatten() {
        if let Some(near) = plugins::slip_of(plugin) {
            faults.warn(format!("{}: did you mean {near:?}?", spot.key));
        }
    }
}

/// Two tenants that name one secret share it for sure; values are compared when they are resolved.
fn shared_references(config: &Config, faults: &mut Faults) {
    if config.supervisor.shared_keys != SharedKeys::Deny {
        return;
    }
    let mut first: BTreeMap<String, &Tenant> = BTreeMap::new();
    for tenant in config.tenants.values() {
        for spot in tenant.api_keys.values().filter(|spot| !matches!(spot.value, SecretRef::Literal(_))) {
            let identity = format!("{:?}", spot.value);
            let owner = *first.entry(identity).or_insert(tenant);
            if owner.id != tenant.id {
                let problem = format!("names the secret of tenant {}, and shared_keys = \"deny\"", owner.id);
                faults.add(&spot.origin, &spot.key, Some(spot.value.to_string()), problem, "give each tenant its own");
            }
        }
    }
}

fn exposed_files(config: &Config, faults: &mut Faults) {
    for path in config.secret_files() {
        if std::fs::metadata(&path).is_ok_and(|meta| meta.mode() & 0o007 != 0) {
            faults.warn(format!("{} holds a secret and everybody may use it; chmod o= it", path.display()));
        }
    }
}

impl Config {
    fn all_references(&self) -> impl Iterator<Item = &SecretRef> {
        let env = self.tenants.values().map(|t| &t.env).chain(self.runtimes.values().map(|runtime| &runtime.env));
        let secrets = env.flat_map(|env| env.values()).filter_map(|spot| match &spot.value {
            Variable::Secret(reference) => Some(reference),
            Variable::Text(_) => None,
        });
        let keys = self.tenants.values().map(|tenant| &tenant.api_keys).chain([&self.default_keys]);
        let livekit = self.own_keys().map(|(_, reference)| reference);
        keys.flat_map(|keys| keys.values().map(|spot| &spot.value)).chain(secrets).chain(livekit)
    }

    fn secret_files(&self) -> BTreeSet<PathBuf> {
        let files = self.all_references().filter_map(|reference| match reference {
            SecretRef::File(path) => Some(path.clone()),
            _ => None,
        });
        files.collect()
    }

    /// Variables of our environment that references need.
    pub(super) fn variables_named(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for reference in self.all_references() {
            match reference {
                SecretRef::Env(name) => {
                    names.insert(name.clone());
                }
                SecretRef::Credential(_) => {
                    names.insert("CREDENTIALS_DIRECTORY".to_owned());
                }
                SecretRef::File(_) | SecretRef::Exec(_) | SecretRef::Literal(_) => {}
            }
        }
        names
    }
}
