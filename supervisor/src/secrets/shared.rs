//! Two tenants with one secret (semantics B6).
//!
//! Owns: the comparison, by keyed hash. Never: compares fallback keys, which are shared on purpose.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use openrtc_ipc::TenantId;

use super::{Held, Holder, SecretFault};

/// A secret that two tenants have.
pub(super) struct Shared {
    pub(super) tenants: [TenantId; 2],
    keys: [String; 2],
    reference: String,
}

impl Shared {
    pub(super) fn warning(&self) -> String {
        let [first, second] = &self.keys;
        format!("{first} and {second} are the same secret; give each tenant its own, or set shared_keys = \"deny\"")
    }

    pub(super) fn fault(&self) -> SecretFault {
        SecretFault {
            tenant: Some(self.tenants[1].clone()),
            key: self.keys[1].clone(),
            reference: self.reference.clone(),
            problem: format!("is the same secret as {}, and shared_keys = \"deny\"", self.keys[0]),
            remedy: "give each tenant its own".to_owned(),
        }
    }
}

/// Every pair of tenants that share a secret; the first holder is in each pair.
pub(super) fn pairs(held: &BTreeMap<String, Held>) -> Vec<Shared> {
    // Two independent keys make 128 bits; they live as long as this call.
    let hashers = (RandomState::new(), RandomState::new());
    let mut first: HashMap<(u64, u64), (&TenantId, &str)> = HashMap::new();
    let mut pairs = Vec::new();
    for held in held.values() {
        let (Holder::Tenant(tenant), Ok(value)) = (&held.wanted.holder, &held.value) else { continue };
        let secret = value.expose_secret();
        let hash = (hashers.0.hash_one(secret), hashers.1.hash_one(secret));
        let (owner, key) = *first.entry(hash).or_insert((tenant, held.wanted.key.as_str()));
        if owner != tenant {
            pairs.push(Shared {
                tenants: [owner.clone(), tenant.clone()],
                keys: [key.to_owned(), held.wanted.key.clone()],
                reference: held.wanted.reference.to_string(),
            });
        }
    }
    pairs
}
