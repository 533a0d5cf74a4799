//! Refusals, counted: the first of each kind is told at once, the rest as one number an interval.
//!
//! Owns: a count for each tenant and reason, as journald counts what it suppresses. Never: grows with the callers: tenants
//! that are not configured share a few places, and then one.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;
use openrtc_policy::{RejectReason, Rejection};

use super::actor::Actor;
use super::entry::Entry;

/// Tenants outside the configuration, or none at all, that are counted by name in one interval; more are counted together.
const STRANGERS_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    reason: RejectReason,
    tenant: Option<TenantId>,
    /// Several tenants, none of them named.
    others: bool,
}

#[derive(Debug)]
struct Window {
    /// Since the last record of this kind.
    count: u64,
    first_unix_ms: u64,
    last_unix_ms: u64,
    stranger: bool,
}

/// What was refused in this interval.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    windows: BTreeMap<Kind, Window>,
    strangers: usize,
}

impl Refusals {
    /// Counts one; gives the record of the first of its kind.
    pub(super) fn refused(&mut self, rejection: &Rejection, configured: bool, at_unix_ms: u64) -> Option<Entry> {
        let mut kind = Kind { reason: rejection.reason, tenant: rejection.tenant.clone(), others: false };
        let stranger = rejection.tenant.is_some() && !configured;
        if stranger && self.strangers >= STRANGERS_MAX && !self.windows.contains_key(&kind) {
            kind = Kind { tenant: None, others: true, ..kind };
        }
        if let Some(window) = self.windows.get_mut(&kind) {
            if window.count == 0 {
                window.first_unix_ms = at_unix_ms;
            }
            window.count += 1;
            window.last_unix_ms = at_unix_ms;
            return None;
        }
        let window = Window { count: 0, first_unix_ms: at_unix_ms, last_unix_ms: at_unix_ms, stranger };
        let entry = entry(&kind, 1, &window);
        self.strangers += usize::from(stranger && !kind.others);
        self.windows.insert(kind, window);
        Some(entry)
    }

    /// The interval is over: what was counted, and a new one for those that were quiet.
    pub(super) fn count_up(&mut self) -> Vec<Entry> {
        let counted = self.windows.iter().filter(|(_, window)| window.count > 0);
        let entries = counted.map(|(kind, window)| entry(kind, window.count, window)).collect();
        // One that goes on is only counted; one that was quiet is told at once when it comes again.
        self.windows.retain(|_, window| std::mem::take(&mut window.count) > 0);
        self.strangers = self.windows.iter().filter(|(kind, window)| window.stranger && !kind.others).count();
        entries
    }
}

fn entry(kind: &Kind, count: u64, window: &Window) -> Entry {
    let target = kind.tenant.as_ref().map(TenantId::as_str).unwrap_or_default();
    let entry = Entry::new("admission.refused", Actor::System, target).resulting("refused");
    let entry = entry.with("reason", kind.reason.name()).with("count", count);
    let entry = entry.with("first", seconds(window.first_unix_ms)).with("last", seconds(window.last_unix_ms));
    match (&kind.tenant, kind.others) {
        (Some(tenant), _) => entry.with("tenant", tenant.as_str()),
        (None, true) => entry.with("tenants", "others"),
        (None, false) => entry,
    }
}

fn seconds(unix_ms: u64) -> f64 {
    unix_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(tenant: &str) -> Rejection {
        let tenant = TenantId::parse(tenant).ok();
        Rejection {
            reason: RejectReason::TenantCap,
            detail: "what a caller said".to_owned(),
            retry_after_ms: None,
            tenant,
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_one_number() {
        let mut refusals = Refusals::default();
        let first = refusals.refused(&rejection("acme"), true, 1_000).unwrap();
        assert_eq!((first.extras["count"].as_u64(), first.target.as_str()), (Some(1), "acme"));
        for at in 0..100_000 {
            assert_eq!(refusals.refused(&rejection("acme"), true, 2_000 + at), None);
        }
        let counted = refusals.count_up();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].extras["count"], 100_000);
        assert_eq!((&counted[0].extras["first"], counted[0].extras["last"].as_f64()), (&2.0.into(), Some(101.999)));
        assert!(!format!("{counted:?}").contains("caller"), "what a caller said is not repeated");
        // While it goes on it is only counted; after a quiet interval the next is told at once again.
        assert_eq!(refusals.refused(&rejection("acme"), true, 3), None);
        assert_eq!(refusals.count_up()[0].extras["count"], 1);
        assert!(refusals.count_up().is_empty());
        assert!(refusals.refused(&rejection("acme"), true, 4).is_some());
    }

    #[test]
    fn invented_tenants_share_a_few_records_and_hide_no_configured_one() {
        let mut refusals = Refusals::default();
        let mut at_once = 0;
        for stranger in 0..10_000 {
            at_once += usize::from(refusals.refused(&rejection(&format!("t{stranger}")), false, 1).is_some());
        }
        assert_eq!(at_once, STRANGERS_MAX + 1);
        assert!(refusals.refused(&rejection("acme"), true, 1).is_some(), "a configured one is told by name");
        let counted = refusals.count_up();
        assert_eq!(counted.len(), 1);
        assert_eq!(
            (&counted[0].extras["tenants"], counted[0].extras["count"].as_u64()),
            (&"others".into(), Some(9_983))
        );
    }
}
