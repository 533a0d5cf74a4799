//! What `/metrics` tells of tenants: sessions and breakers.
//!
//! Owns: these families. Never: a series for a tenant that nobody configured.

use std::collections::BTreeMap;

use super::sums::zeros;
use crate::control::view::PolicyView;
use crate::metrics::Metrics;
use crate::metrics::table::Family;

const STATES: [&str; 4] = ["closed", "open", "half_open", "off"];

/// Sessions, and how many there may be.
pub(super) fn sessions(view: &PolicyView, metrics: &Metrics) -> [Family; 4] {
    let mut live = zeros(view, |tenant| metrics.label(tenant));
    view.sessions.iter().for_each(|session| live.add(&metrics.label(&session.tenant), 1.0));
    let mut cap = Family::gauge("tenant_sessions_max", "Sessions that a configured tenant may have");
    for tenant in view.tenants.iter().filter(|tenant| tenant.configured) {
        let label = metrics.label(&tenant.tenant);
        // Caps of those that share a label say nothing together.
        if let Some(most) = tenant.max_sessions.filter(|_| label == tenant.tenant.as_str()) {
            cap.push(&[("tenant", &label)], f64::from(most));
        }
    }
    let mut most = Family::gauge("sessions_max", "Sessions that the supervisor takes at once");
    view.max_concurrent_sessions.iter().for_each(|sessions| most.push(&[], f64::from(*sessions)));
    [
        live.into(Family::gauge("sessions", "Sessions that are admitted and have not ended"), "tenant"),
        cap,
        most,
        Family::gauge("tenants", "Tenants that are configured or remembered").with(&[], view.tenants.len() as f64),
    ]
}

/// Breakers by state.
pub(super) fn breakers(view: &PolicyView, metrics: &Metrics) -> Family {
    let mut counts = BTreeMap::<String, [f64; STATES.len()]>::new();
    for breaker in &view.breakers {
        let states = counts.entry(metrics.label(&breaker.tenant)).or_default();
        if let Some(at) = STATES.iter().position(|state| *state == breaker.state) {
            states[at] += 1.0;
        }
    }
    let mut family = Family::gauge("breaker_state", "1 for the state that a tenant's breaker is in");
    for (tenant, states) in &counts {
        for (state, count) in STATES.iter().zip(states) {
            family.push(&[("tenant", tenant), ("state", state)], *count);
        }
    }
    family
}
