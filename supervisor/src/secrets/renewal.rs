//! Secrets fetched anew while hosts run on the old ones.
//!
//! Owns: what stays where a source fails, and whether a host would be given others now. Never: compares secrets but by
//! their values; where one came from may stay while it changes.

use std::collections::BTreeMap;
use std::path::Path;

use openrtc_ipc::{RuntimeName, TenantId};
use sha2::{Digest, Sha256};

use super::configure::Setting;
use super::{Held, Holder, SecretFault, Vault, fetch, wanted};
use crate::config::Config;

/// The secrets of one host, as a digest that is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Vault {
    /// The secrets of this configuration, fetched now: all, or one tenant's own, the others staying. One that cannot be
    /// had and stood in the same place before stays what it was; its fault is given all the same.
    pub async fn renewed<F, R>(&self, config: &Config, only: Option<&TenantId>, run: F) -> (Self, Vec<SecretFault>)
    where
        F: Fn(Vec<String>) -> R,
        R: Future<Output = Result<Vec<u8>, String>>,
    {
        let own = only.map(|tenant| Holder::Tenant(tenant.clone()));
        let (anew, staying): (Vec<_>, Vec<_>) = wanted(config).into_iter().partition(|wanted| {
            let known = self.held.contains_key(&wanted.key);
            own.as_ref().is_none_or(|own| wanted.holder == *own) || !known
        });
        let mut held = fetch::fetch(config, anew, run).await;
        let mut kept = Vec::new();
        for (key, held) in &mut held {
            let (Err(fault), Some(before)) = (&held.value, self.held.get(key)) else { continue };
            if before.value.is_ok() && before.wanted.reference == held.wanted.reference {
                kept.push(fault.clone());
                held.value = before.value.clone();
            }
        }
        for wanted in staying {
            if let Some(before) = self.held.get(&wanted.key) {
                held.insert(wanted.key.clone(), Held { wanted, value: before.value.clone() });
            }
        }
        let (vault, mut faults) = Self::of(config, held);
        faults.retain(|fault| only.is_none() || fault.tenant.as_ref() == only);
        kept.extend(faults);
        (vault, kept)
    }

    /// Keys whose secrets are others here than there, in order.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let value = |vault: &Self, key: &String| vault.held.get(key).map(|held| held.value.clone().ok());
        let keys: BTreeMap<&String, ()> = self.held.keys().chain(other.held.keys()).map(|key| (key, ())).collect();
        keys.into_keys().filter(|key| value(self, key) != value(other, key)).cloned().collect()
    }

    /// Of the secrets that a host of this tenant and runtime is given.
    pub fn fingerprint(&self, config: &Config, tenant: &TenantId, runtime: &RuntimeName) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        for (variable, setting) in self.variables(config, tenant, runtime, Path::new("/")) {
            match setting {
                Setting::Text(_) => {}
                Setting::Secret(_, value) => [&variable, value.expose_secret()].into_iter().for_each(&mut add),
                // The file's path stays while what it holds changes.
                Setting::Path(held, path) => {
                    let value = held.value.as_ref().map(|value| value.expose_secret()).unwrap_or_default();
                    [&variable, path.as_str(), value].into_iter().for_each(&mut add);
                }
            }
        }
        Fingerprint(digest.finalize().into())
    }
}
