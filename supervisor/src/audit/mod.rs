//! The audit log: who did what to whom, each record bound to the one before by its hash (`docs/audit.md`).
//!
//! Owns: which things are recorded, and the handle by which the rest of the supervisor tells of them. Never: waits for the
//! file, writes a secret or what a caller said, or lets a flood of refusals fill the disk.
//!
//! ```text
//! control, signals ─ order ─┐
//! admission ─ refusal ─ counted here ─┤ Audit ─► fan-out ─► AuditObserver (its own thread) ─► Chain ─► file
//! hosts ─ keys loaded ──────┘           ▲ host ends, breakers, drains, as every observer hears them   └─► head
//! ```

mod actor;
mod chain;
mod entry;
mod events;
mod head;
mod known;
mod observer;
mod record;
mod refusals;
pub mod show;
mod tail;
#[cfg(test)]
mod tests;
pub mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openrtc_ipc::TenantId;
use openrtc_policy::{HostPlan, OperatorEvent, Rejection};

pub use actor::Actor;
pub use chain::{AuditFault, Chain};
pub use entry::Entry;
pub use head::{HEAD_FILE, Head};
pub use observer::AuditObserver;
pub use record::Hash;

use crate::config::Config;
use crate::observer::fanout::AddError;
use crate::observer::{Fanout, Told};
use crate::secrets::{Given, Vault};
use crate::telemetry::unix_ms;
use known::Known;
use refusals::Refusals;

/// Why the audit log could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be it.
    #[error("open the audit log")]
    Chain(#[from] AuditFault),
    /// It got no thread.
    #[error(transparent)]
    Thread(#[from] AddError),
}

/// The way into the audit log. Cheap to clone; does nothing where `[audit] path` is not named.
#[derive(Clone, Default)]
pub struct Audit {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    fanout: Fanout,
    refusals: Mutex<Refusals>,
    known: Mutex<Known>,
    dropped: Mutex<u64>,
}

impl Audit {
    /// Opens the log, records the start, and has an observer write what follows. Needs a tokio runtime.
    pub fn start(config: &Config, vault: &Vault, fanout: &Fanout) -> Result<Self, AuditError> {
        let Some(path) = &config.audit.path else { return Ok(Self::default()) };
        let state = &config.supervisor.state_dir;
        let version = config.supervisor.deployment_version.clone();
        let mut chain = Chain::open(path, &state.join(HEAD_FILE), version.clone())?;
        let mut known = Known::read(state);
        let mut entries = events::started(config, chain.last_event());
        entries.extend(known.deployed(version.as_deref()));
        entries.extend(known.configured(config, &Actor::Configuration));
        entries.extend(events::keys_resolved(vault));
        // At once, and not through a queue: there may be more of them than it holds, and the start may yet fail.
        for entry in &entries {
            chain.append(entry, unix_ms())?;
        }
        chain.sync()?;
        fanout.add(AuditObserver::new(chain))?;
        let inner = Inner {
            fanout: fanout.clone(),
            refusals: Mutex::new(Refusals::default()),
            known: Mutex::new(known),
            dropped: Mutex::new(0),
        };
        let audit = Self { inner: Some(Arc::new(inner)) };
        tokio::spawn(audit.clone().count(Duration::from_millis(config.audit.refusals_interval_ms)));
        Ok(audit)
    }

    /// Records one thing.
    pub fn tell(&self, entry: Entry) {
        self.tell_all(vec![entry]);
    }

    /// Records these, in order.
    pub fn tell_all(&self, entries: Vec<Entry>) {
        if let Some(inner) = self.inner.as_ref().filter(|_| !entries.is_empty()) {
            inner.fanout.tell(Told::Audit(Arc::new(entries)));
        }
    }

    /// An operator gave an order: the one on whose behalf this task runs, see [`Actor::current`].
    pub fn ordered(&self, order: &OperatorEvent) {
        self.ordered_by(Actor::current(), order);
    }

    /// Somebody gave an order.
    pub fn ordered_by(&self, actor: Actor, order: &OperatorEvent) {
        if self.inner.is_some() {
            self.tell(events::ordered(actor, order));
        }
    }

    /// A dispatch was refused. The first of its kind is recorded at once, the rest are counted and recorded once an interval.
    pub fn refused(&self, rejection: &Rejection, configured: impl FnOnce(&TenantId) -> bool) {
        let Some(inner) = &self.inner else { return };
        let known = rejection.tenant.as_ref().is_some_and(configured);
        let first = inner.refusals.lock().unwrap_or_else(PoisonError::into_inner).refused(rejection, known, unix_ms());
        self.tell_all(first.into_iter().collect());
    }

    /// A host was given these keys.
    pub fn keys_loaded(&self, plan: &HostPlan, given: impl FnOnce() -> Vec<Given>) {
        if self.inner.is_some() {
            let given = given();
            if !given.is_empty() {
                self.tell(events::keys_loaded(plan, &given));
            }
        }
    }

    /// Another configuration is in force: what changed of tenants and limits is recorded, by whom.
    pub fn configured(&self, config: &Config, actor: &Actor) {
        if let Some(inner) = &self.inner {
            let entries = inner.known.lock().unwrap_or_else(PoisonError::into_inner).configured(config, actor);
            self.tell_all(entries);
        }
    }

    /// Sessions are taken from now on.
    pub fn ready(&self) {
        self.tell(Entry::new("deployment.completed", Actor::System, ""));
    }

    /// The last word.
    pub fn stopped(&self) {
        self.count_up();
        self.tell(Entry::new("supervisor.stopped", Actor::System, "").with("pid", std::process::id()));
    }

    async fn count(self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.count_up();
        }
    }

    /// Records what was counted since the last time: refusals, and what the observer's queue had no room for.
    fn count_up(&self) {
        let Some(inner) = &self.inner else { return };
        let mut entries = inner.refusals.lock().unwrap_or_else(PoisonError::into_inner).count_up();
        let tally = inner.fanout.tallies().into_iter().find(|tally| tally.name == observer::NAME);
        let dropped = tally.map_or(0, |tally| tally.dropped);
        let mut before = inner.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        if dropped > *before {
            let missed = dropped - *before;
            entries.push(Entry::new("audit.dropped", Actor::System, "").resulting("failed").with("items", missed));
            *before = dropped;
        }
        drop(before);
        self.tell_all(entries);
    }
}
