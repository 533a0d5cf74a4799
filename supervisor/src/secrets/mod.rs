//! Resolves references to secrets. Owns every secret; shows none.
//!
//! Owns: the values behind the configuration's references, from load to load, and who gets which (law 8). Never: puts
//! one into a log, an error, a snapshot or `Debug`.

mod configure;
mod fault;
mod fetch;
mod program;
mod renewal;
mod shared;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use openrtc_ipc::{RuntimeName, SecretText, TenantId};
use openrtc_livekit::ApiKey;
use openrtc_policy::Rules;

use crate::config::{Config, SecretRef, SharedKeys, Variable};

pub use configure::PLACEHOLDER;
pub use fault::{SecretError, SecretFault};
pub use fetch::SECRET_BYTES_MAX;
pub use program::run_program;
pub use renewal::Fingerprint;

/// Shortest secret that is replaced in output, in bytes: a shorter one would blot out ordinary text.
pub const REDACTED_BYTES_MIN: usize = 4;
/// Shortest line of a secret of several lines that is replaced by itself, in bytes.
const REDACTED_LINE_BYTES_MIN: usize = 16;

/// Who may have a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// One tenant.
    Tenant(TenantId),
    /// Every tenant that falls back.
    Defaults,
    /// Every tenant on this runtime.
    Runtime(RuntimeName),
    /// The supervisor alone: never a host.
    Supervisor,
}

/// A reference of the configuration, and where it stands.
#[derive(Clone)]
struct Wanted {
    holder: Holder,
    /// Path of the key.
    key: String,
    /// The provider whose key it is; `None` for a variable.
    plugin: Option<String>,
    reference: SecretRef,
}

/// A reference as it may be told: where the secret is, whose, and whether it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Path of the key in the configuration.
    pub key: String,
    /// Where the secret is: `env:X`, `file:…`.
    pub source: String,
    /// `tenant`, `defaults`, `runtime` or `supervisor`.
    pub holder: &'static str,
    /// Which tenant, if one's.
    pub tenant: Option<String>,
    /// Whether a secret was there.
    pub resolved: bool,
}

/// A secret that a host is given, as it may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// In this variable.
    pub variable: String,
    /// Path of the key in the configuration.
    pub key: String,
    /// Where the secret is: `env:X`, `file:…`.
    pub source: String,
}

/// A reference and what is behind it.
#[derive(Clone)]
struct Held {
    wanted: Wanted,
    value: Result<SecretText, SecretFault>,
}

/// Every secret of a configuration.
pub struct Vault {
    /// By the path of its key.
    held: BTreeMap<String, Held>,
    /// Tenants that share a secret although they must not.
    denied: BTreeMap<TenantId, SecretFault>,
    warnings: Vec<String>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.held.values().map(|held| (&held.wanted.key, held.wanted.reference.to_string()));
        f.debug_map().entries(shown).finish()
    }
}

impl Vault {
    /// Resolves every reference, each once. `run` runs a program without a shell and gives its standard output, or what
    /// went wrong; a few run at once.
    ///
    /// A fault leaves only those tenants unusable that need the secret: see [`Vault::rules`].
    pub async fn resolve<F, R>(config: &Config, run: F) -> (Self, Vec<SecretFault>)
    where
        F: Fn(Vec<String>) -> R,
        R: Future<Output = Result<Vec<u8>, String>>,
    {
        Self::of(config, fetch::fetch(config, wanted(config), run).await)
    }

    /// What was fetched, checked for what is shared and what is too short.
    fn of(config: &Config, held: BTreeMap<String, Held>) -> (Self, Vec<SecretFault>) {
        let mut faults: Vec<SecretFault> =
            held.values().filter_map(|held| held.value.as_ref().err().cloned()).collect();
        let mut vault = Self { held, denied: BTreeMap::new(), warnings: Vec::new() };
        for shared in shared::pairs(&vault.held) {
            match config.supervisor.shared_keys {
                SharedKeys::Warn => vault.warnings.push(shared.warning()),
                SharedKeys::Deny => {
                    let fault = shared.fault();
                    for tenant in shared.tenants {
                        vault.denied.insert(tenant, fault.clone());
                    }
                    faults.push(fault);
                }
            }
        }
        let short = vault.held.values().filter(|held| {
            let length = held.value.as_ref().map_or(usize::MAX, |value| value.expose_secret().len());
            length < REDACTED_BYTES_MIN && held.wanted.holder != Holder::Supervisor
        });
        let short: Vec<String> = short
            .map(|held| format!("{} is too short a secret to be hidden in the output of agents", held.wanted.key))
            .collect();
        vault.warnings.extend(short);
        (vault, faults)
    }

    /// Every reference, and whether there was a secret behind it.
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        self.held.values().map(|held| {
            let (holder, tenant) = match &held.wanted.holder {
                Holder::Tenant(tenant) => ("tenant", Some(tenant.to_string())),
                Holder::Defaults => ("defaults", None),
                Holder::Runtime(_) => ("runtime", None),
                Holder::Supervisor => ("supervisor", None),
            };
            let (key, source) = (held.wanted.key.clone(), held.wanted.reference.to_string());
            Holding { key, source, holder, tenant, resolved: held.value.is_ok() }
        })
    }

    /// What is suspicious about the secrets, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The rules, with those tenants unusable that no host could be configured for.
    pub fn rules(&self, config: &Config) -> Rules {
        let mut rules = config.rules.clone();
        for (tenant, rules) in &mut rules.tenants {
            rules.unusable = self.unusable(config, tenant).map(|fault| fault.to_string());
        }
        rules
    }

    fn unusable(&self, config: &Config, tenant: &TenantId) -> Option<SecretFault> {
        let own = Holder::Tenant(tenant.clone());
        let mut held = self.held.values().filter(|held| held.wanted.holder == own);
        let unreadable = held.find_map(|held| held.value.as_ref().err().cloned());
        if let Some(fault) = self.denied.get(tenant).cloned().or(unreadable) {
            return Some(fault);
        }
        // Something that all share: it matters if no runtime is left that this tenant could use.
        let runtimes: BTreeSet<&RuntimeName> =
            config.runtimes.keys().filter(|runtime| config.agents_of(tenant, runtime).next().is_some()).collect();
        let mut first = None;
        for runtime in runtimes {
            match self.first_unreadable(config, tenant, runtime) {
                None => return None,
                fault => first = first.or(fault),
            }
        }
        first
    }

    /// The LiveKit server's key and secret, which the supervisor signs tokens with; `None` without `[livekit]`.
    pub fn livekit_key(&self, config: &Config) -> Option<Result<ApiKey, SecretFault>> {
        let mut keys = config.livekit_keys().map(|(key, _)| match self.held.get(key).map(|held| &held.value) {
            Some(Ok(value)) => Ok(value.expose_secret().to_owned()),
            Some(Err(fault)) => Err(fault.clone()),
            None => Ok(String::new()),
        });
        let (key, secret) = (keys.next()?, keys.next()?);
        Some(key.and_then(|key| Ok(ApiKey::new(key, secret?))))
    }

    /// What who asks over TCP must give; `None` where nobody is asked there.
    pub fn control_token(&self, config: &Config) -> Option<Result<SecretText, SecretFault>> {
        let (key, _) = config.control_token()?;
        self.held.get(key).map(|held| held.value.clone())
    }

    /// What is to be hidden in everything that a tenant's hosts write: source and value, the longest first.
    pub fn redactions(&self, tenant: &TenantId) -> Vec<(String, SecretText)> {
        // The supervisor's own never come to a host, so there is nothing to hide; `secret`, as a development server has
        // it, would blot out ordinary text.
        let others = |held: &&Held| match &held.wanted.holder {
            Holder::Tenant(other) => other == tenant,
            Holder::Defaults | Holder::Runtime(_) => true,
            Holder::Supervisor => false,
        };
        let mut redactions: Vec<(String, SecretText)> = Vec::new();
        for held in self.held.values().filter(others) {
            let Ok(value) = &held.value else { continue };
            let label = held.wanted.reference.to_string();
            let whole = value.expose_secret();
            let lines = whole.lines().map(str::trim).filter(|line| line.len() >= REDACTED_LINE_BYTES_MIN);
            let texts = std::iter::once(whole).chain(lines.filter(|line| *line != whole));
            for text in texts.filter(|text| text.len() >= REDACTED_BYTES_MIN) {
                redactions.push((label.clone(), SecretText::new(text.to_owned())));
            }
        }
        redactions.sort_by_key(|(_, text)| std::cmp::Reverse(text.expose_secret().len()));
        redactions
    }
}

/// Every reference of a configuration.
fn wanted(config: &Config) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut keys = |holder: Holder, found: &mut dyn Iterator<Item = (&str, &str, &SecretRef)>| {
        for (plugin, key, reference) in found {
            let (key, plugin) = (key.to_owned(), Some(plugin.to_owned()));
            wanted.push(Wanted { holder: holder.clone(), key, plugin, reference: reference.clone() });
        }
    };
    keys(Holder::Defaults, &mut config.default_keys());
    for tenant in config.tenants.keys() {
        keys(Holder::Tenant(tenant.clone()), &mut config.keys_of(tenant));
    }
    let mut env = |holder: Holder, found: &mut dyn Iterator<Item = (&str, &str, &Variable)>| {
        for (_, key, variable) in found {
            let Variable::Secret(reference) = variable else { continue };
            let key = key.to_owned();
            wanted.push(Wanted { holder: holder.clone(), key, plugin: None, reference: reference.clone() });
        }
    };
    for tenant in config.tenants.keys() {
        env(Holder::Tenant(tenant.clone()), &mut config.env_of_tenant(tenant));
    }
    for runtime in config.runtimes.keys() {
        env(Holder::Runtime(runtime.clone()), &mut config.env_of_runtime(runtime));
    }
    for (key, reference) in config.own_keys() {
        let (key, reference) = (key.to_owned(), reference.clone());
        wanted.push(Wanted { holder: Holder::Supervisor, key, plugin: None, reference });
    }
    wanted
}
