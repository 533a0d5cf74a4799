//! Orders about one tenant: set, reset, suspend, resume.
//!
//! Owns: what is stored before it holds, and the one exception: a suspension holds at once, stored or not (decision 0020).
//! Never: lets two operators overwrite each other unseen where they say what they looked at.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;
use openrtc_policy::OperatorEvent;
use openrtc_policy::rules::TenantStatus;
use serde_json::{Map, Value, json};

use super::standing::{Order, Standing};
use super::{ChangeFault, Changes, Shown, State, under_orders};
use crate::audit::{Actor, Entry};
use crate::config::orders::STATUS;
use crate::host::InForce;
use crate::telemetry::unix_ms;

/// What every change of a tenant's orders is given with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Whose.
    pub tenant: TenantId,
    /// The revision that was looked at; `None`: whatever it is.
    pub revision: Option<u64>,
}

/// What becomes of an order that cannot be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unstored {
    Refused,
    Holds,
}

impl Changes {
    /// Orders these values of a configured tenant.
    pub async fn set(&self, stamp: Stamp, values: BTreeMap<String, String>) -> Result<(), ChangeFault> {
        self.to_the_end(move |this| async move {
            let tenant = &stamp.tenant;
            let mut state = this.expecting(&stamp).await?;
            if !state.file.tenants.contains_key(tenant) {
                return Err(ChangeFault::NotConfigured { tenant: tenant.clone() });
            }
            state.file.clone().order(tenant, &values).map_err(ChangeFault::Order)?;
            let mut next = state.orders.standing.clone();
            next.put(tenant, values.iter().map(|(key, value)| (key.clone(), order(value))));
            this.keep(&mut state, next, Unstored::Refused).await?;
            this.tell(&state, "tenant.ordered", tenant, as_json(values.clone()));
            this.enforce_orders(&state).await
        })
        .await
    }

    /// Takes orders back; no keys: all.
    pub async fn reset(&self, stamp: Stamp, keys: Vec<String>) -> Result<(), ChangeFault> {
        self.to_the_end(move |this| async move {
            let tenant = &stamp.tenant;
            let mut state = this.expecting(&stamp).await?;
            let own = state.orders.standing.of(tenant).map(|own| own.orders.clone()).unwrap_or_default();
            if let Some(key) = keys.iter().find(|key| !own.contains_key(*key)) {
                let orders = in_words(&state.orders.standing, tenant);
                return Err(ChangeFault::NotOrdered { tenant: tenant.clone(), key: key.clone(), orders });
            }
            let mut next = state.orders.standing.clone();
            if !next.take(tenant, Some(&keys).filter(|keys| !keys.is_empty()).map(Vec::as_slice)) {
                return Ok(());
            }
            let gone: Vec<_> = own.into_iter().filter(|(key, _)| keys.is_empty() || keys.contains(key)).collect();
            let of_status = gone.iter().any(|(key, _)| key == STATUS);
            this.keep(&mut state, next, Unstored::Refused).await?;
            let gone = gone.into_iter().map(|(key, order)| (key, order.value));
            this.tell(&state, "tenant.order_reset", tenant, as_json(gone));
            if of_status {
                this.inner.context.handle.operator(OperatorEvent::ForgetTenantOrder(tenant.clone())).await?;
            }
            this.enforce_orders(&state).await
        })
        .await
    }

    /// Refuses new sessions of a tenant: at once, also where that cannot be stored.
    pub async fn suspend(&self, stamp: Stamp) -> Result<(), ChangeFault> {
        self.to_the_end(move |this| async move {
            let mut state = this.expecting(&stamp).await?;
            let mut next = state.orders.standing.clone();
            next.put(&stamp.tenant, [(STATUS.to_owned(), order("suspended"))]);
            // Before the disk is waited for.
            this.give(OperatorEvent::SuspendTenant(stamp.tenant.clone())).await?;
            this.keep(&mut state, next, Unstored::Holds).await
        })
        .await
    }

    /// Takes them again. What the file says already need not be ordered; a suspension there is overruled.
    pub async fn resume(&self, stamp: Stamp) -> Result<(), ChangeFault> {
        self.to_the_end(move |this| async move {
            let tenant = &stamp.tenant;
            let mut state = this.expecting(&stamp).await?;
            let own = state.file.rules.tenants.get(tenant);
            let overrules = own.is_some_and(|own| own.status != TenantStatus::Active);
            let mut next = state.orders.standing.clone();
            match overrules {
                true => next.put(tenant, [(STATUS.to_owned(), order("active"))]),
                false => _ = next.take(tenant, Some(&[STATUS.to_owned()])),
            }
            this.keep(&mut state, next, Unstored::Refused).await?;
            this.give(OperatorEvent::ResumeTenant(tenant.clone())).await?;
            if !overrules {
                this.inner.context.handle.operator(OperatorEvent::ForgetTenantOrder(tenant.clone())).await?;
            }
            Ok(())
        })
        .await
    }

    /// The state, locked, if the tenant's orders are still those that were looked at.
    async fn expecting(&self, stamp: &Stamp) -> Result<tokio::sync::MutexGuard<'_, State>, ChangeFault> {
        let state = self.inner.state.lock().await;
        let current = state.orders.standing.revision_of(&stamp.tenant);
        match stamp.revision.filter(|given| *given != current) {
            None => Ok(state),
            Some(given) => {
                let orders = in_words(&state.orders.standing, &stamp.tenant);
                Err(ChangeFault::Stale { tenant: stamp.tenant.clone(), given, current, orders })
            }
        }
    }

    /// Stores these orders and takes them as those that hold.
    async fn keep(&self, state: &mut State, next: Standing, unstored: Unstored) -> Result<(), ChangeFault> {
        let stored = match next.says_the_same(&state.orders.kept) {
            true => Ok(()),
            false => {
                let (store, next) = (self.inner.store.clone(), next.clone());
                let write = tokio::task::spawn_blocking(move || store.write(&next)).await;
                write.unwrap_or_else(|ended| Err(std::io::Error::other(ended)))
            }
        };
        let path = self.inner.store.path();
        match (stored, unstored) {
            (Ok(()), _) => state.orders = Shown { kept: next.clone(), standing: next, not_stored: None },
            (Err(source), Unstored::Refused) => return Err(ChangeFault::NotStored { path: path.to_owned(), source }),
            (Err(error), Unstored::Holds) => {
                tracing::error!(path = %path.display(), %error, "an order holds until the next restart only: it could not be stored");
                state.orders.standing = next;
                state.orders.not_stored = Some(format!("{}: {error}", path.display()));
            }
        }
        self.show(state);
        Ok(())
    }

    async fn enforce_orders(&self, state: &State) -> Result<(), ChangeFault> {
        let config = under_orders(&state.file, &state.orders.standing).map_err(ChangeFault::Order)?;
        let vault = self.inner.context.in_force().vault;
        self.enforce(InForce { config: config.into(), vault }).await
    }

    fn tell(&self, state: &State, event: &'static str, tenant: &TenantId, values: Map<String, Value>) {
        let (actor, revision) = (Actor::current(), state.orders.standing.revision_of(tenant));
        tracing::info!(%tenant, by = %actor, orders = %json!(values), "operator: {event}");
        let entry = Entry::new(event, actor, tenant).with("tenant", tenant.as_str()).with("revision", revision);
        self.inner.context.audit.tell(entry.with("orders", values));
    }
}

fn order(value: &str) -> Order {
    let actor = Actor::current();
    Order { value: value.to_owned(), since_unix_ms: unix_ms(), by: actor.to_string(), pid: actor.pid() }
}

fn as_json(values: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
    values.into_iter().map(|(key, value)| (key, Value::String(value))).collect()
}

/// What is ordered of a tenant, for a person.
fn in_words(standing: &Standing, tenant: &TenantId) -> String {
    let own = standing.of(tenant).map(|own| &own.orders);
    let one = |(key, order): (&String, &Order)| format!("{key} = {} (by {})", order.value, order.by);
    let words: Vec<String> = own.into_iter().flatten().map(one).collect();
    if words.is_empty() { "nothing is ordered".to_owned() } else { words.join(", ") }
}
