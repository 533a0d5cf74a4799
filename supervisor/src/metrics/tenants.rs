//! Which tenants have series of their own.
//!
//! Owns: that set, and its bound. Never: lets a name that came with a dispatch in.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use openrtc_ipc::TenantId;
use openrtc_policy::bounds::METRIC_TENANTS_MAX;

/// What all others are counted under.
pub(super) const OTHER: &str = "other";

/// The set. It only grows: a series that was begun is continued, or a counter would go backwards.
#[derive(Debug, Default)]
pub(super) struct TenantLabels {
    own: RwLock<BTreeSet<TenantId>>,
}

impl TenantLabels {
    pub(super) fn admit<'a>(&self, tenants: impl IntoIterator<Item = &'a TenantId>) {
        let tenants: Vec<_> = tenants.into_iter().collect();
        let missing = |own: &BTreeSet<TenantId>| tenants.iter().any(|tenant| !own.contains(*tenant));
        {
            let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
            if own.len() >= METRIC_TENANTS_MAX || !missing(&own) {
                return;
            }
        }
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        for tenant in tenants {
            if own.len() < METRIC_TENANTS_MAX {
                own.insert(tenant.clone());
            }
        }
    }

    pub(super) fn label(&self, tenant: &TenantId) -> String {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        if own.contains(tenant) { tenant.to_string() } else { OTHER.to_owned() }
    }
}
