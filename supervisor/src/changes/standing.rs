//! Operators' orders that last, as a document.
//!
//! Owns: its form and its revisions. Never: a secret; no key that can be ordered is one.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;
use openrtc_policy::OperatorEvent;
use serde::{Deserialize, Serialize};

use crate::config::orders::STATUS;

/// The form that this version reads and writes.
const VERSION: u32 = 1;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// As in the configuration.
    pub value: String,
    /// When it was given, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// By whom, as the audit log names it.
    pub by: String,
    /// By which process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
}

/// The orders about one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantOrders {
    /// Of the document, when these last changed.
    pub revision: u64,
    /// By key.
    pub orders: BTreeMap<String, Order>,
}

/// Every order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    version: u32,
    /// Counts every change of the document, so that a revision never comes back.
    revision: u64,
    tenants: BTreeMap<TenantId, TenantOrders>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { version: VERSION, revision: 0, tenants: BTreeMap::new() }
    }
}

impl Standing {
    /// Whether this version can read it.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Which form it has.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// What was ordered of a tenant.
    pub fn of(&self, tenant: &TenantId) -> Option<&TenantOrders> {
        self.tenants.get(tenant)
    }

    /// The revision of a tenant's orders; 0: there is none.
    pub fn revision_of(&self, tenant: &TenantId) -> u64 {
        self.of(tenant).map_or(0, |orders| orders.revision)
    }

    /// All, by tenant.
    pub fn tenants(&self) -> impl Iterator<Item = (&TenantId, &BTreeMap<String, Order>)> {
        self.tenants.iter().map(|(tenant, orders)| (tenant, &orders.orders))
    }

    /// Paths of the keys for which an order holds.
    pub fn keys(&self) -> Vec<String> {
        self.tenants()
            .flat_map(|(tenant, orders)| orders.keys().map(move |key| format!("tenants.{tenant}.{key}")))
            .collect()
    }

    /// What policy is told at a start: whoever was suspended is, and whoever was resumed.
    pub fn statuses(&self) -> impl Iterator<Item = OperatorEvent> {
        self.tenants().filter_map(|(tenant, orders)| match orders.get(STATUS)?.value.as_str() {
            "suspended" => Some(OperatorEvent::SuspendTenant(tenant.clone())),
            _ => Some(OperatorEvent::ResumeTenant(tenant.clone())),
        })
    }

    /// Puts orders in the place of others of the same keys.
    pub(super) fn put(&mut self, tenant: &TenantId, orders: impl IntoIterator<Item = (String, Order)>) {
        self.revision += 1;
        let own = self.tenants.entry(tenant.clone()).or_default();
        own.orders.extend(orders);
        own.revision = self.revision;
    }

    /// Takes orders back: these, or all. Whether there was one.
    pub(super) fn take(&mut self, tenant: &TenantId, keys: Option<&[String]>) -> bool {
        let Some(own) = self.tenants.get_mut(tenant) else { return false };
        let before = own.orders.len();
        own.orders.retain(|key, _| keys.is_some_and(|keys| !keys.contains(key)));
        if own.orders.len() == before {
            return false;
        }
        self.revision += 1;
        own.revision = self.revision;
        if own.orders.is_empty() {
            self.tenants.remove(tenant);
        }
        true
    }

    /// Whether the same orders hold, whatever their revisions.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.tenants().eq(other.tenants())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(value: &str) -> Order {
        Order { value: value.to_owned(), since_unix_ms: 1, by: "uid:0".to_owned(), pid: None }
    }

    #[test]
    fn a_revision_never_comes_back() {
        let acme = TenantId::parse("acme").unwrap();
        let mut standing = Standing::default();
        assert_eq!(standing.revision_of(&acme), 0);
        standing.put(&acme, [("max_sessions".to_owned(), order("5"))]);
        let first = standing.revision_of(&acme);
        assert!(standing.take(&acme, None));
        assert!(!standing.take(&acme, None));
        assert_eq!(standing.revision_of(&acme), 0);
        standing.put(&acme, [("max_sessions".to_owned(), order("9"))]);
        assert!(standing.revision_of(&acme) > first);
    }

    #[test]
    fn one_key_is_taken_back_and_the_others_stay() {
        let acme = TenantId::parse("acme").unwrap();
        let mut standing = Standing::default();
        standing.put(&acme, [("max_sessions".to_owned(), order("5")), (STATUS.to_owned(), order("suspended"))]);
        assert!(standing.take(&acme, Some(&["max_sessions".to_owned()])));
        assert_eq!(standing.keys(), ["tenants.acme.status"]);
        assert_eq!(standing.statuses().collect::<Vec<_>>(), [OperatorEvent::SuspendTenant(acme)]);
    }
}
