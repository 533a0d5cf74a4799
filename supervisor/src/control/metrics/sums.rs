//! Numbers by label, added up.
//!
//! Owns: the sums of one scrape. Never: outlives it.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;

use crate::control::view::PolicyView;
use crate::metrics::table::Family;

/// Sums by label.
pub(super) struct Sums(BTreeMap<String, f64>);

impl Sums {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds to one.
    pub(super) fn add(&mut self, label: &str, value: f64) {
        self.merge(label, value, |sum, value| sum + value);
    }

    /// Raises one.
    pub(super) fn raise(&mut self, label: &str, value: f64) {
        self.merge(label, value, f64::max);
    }

    fn merge(&mut self, label: &str, value: f64, with: fn(f64, f64) -> f64) {
        match self.0.get_mut(label) {
            Some(sum) => *sum = with(*sum, value),
            None => _ = self.0.insert(label.to_owned(), value),
        }
    }

    /// As the series of a family.
    pub(super) fn into(self, mut family: Family, label: &'static str) -> Family {
        for (name, value) in &self.0 {
            family.push(&[(label, name)], *value);
        }
        family
    }
}

/// A view's configured tenants have series from the start, at zero.
pub(super) fn zeros(view: &PolicyView, label: impl Fn(&TenantId) -> String) -> Sums {
    let mut sums = Sums::new();
    view.tenants.iter().for_each(|tenant| sums.add(&label(&tenant.tenant), 0.0));
    sums
}
