//! Changes while we run: orders that last (decision H4), reloads, new keys.
//!
//! Owns: the one lock under which what is in force is replaced, so that two changes never mix. Never: touches a session;
//! what changes holds for hosts and sessions made from now on.
//!
//! ```text
//! file + tenants.d ─ reload ─┐
//!                            ├─► configuration in force ─► new hosts
//! orders of the state dir ───┘            └─ rules ─► policy
//! ```

mod fault;
mod keys;
mod order;
mod reload;
mod standing;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use openrtc_policy::OperatorEvent;
use tokio::sync::Mutex;

pub use fault::{ChangeFault, StandingFault};
pub use order::Stamp;
pub use standing::{Order, Standing, TenantOrders};
pub use store::{STANDING_FILE, Store};

use crate::audit::Actor;
use crate::config::{Config, ConfigFaults};
use crate::host::{HostContext, InForce};
use crate::sources::Stopping;

/// Reads the configuration anew.
pub type Reread = Arc<dyn Fn() -> Result<Config, ConfigFaults> + Send + Sync>;

/// What is shown of the orders.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// What holds.
    pub standing: Standing,
    /// What of it outlasts a restart.
    pub kept: Standing,
    /// Why that is not all, where that is so.
    pub not_stored: Option<String>,
}

/// The way to change what is in force. Clones share it.
#[derive(Clone)]
pub struct Changes {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<HostContext>,
    reread: Reread,
    store: Store,
    state: Mutex<State>,
    shown: RwLock<Arc<Shown>>,
}

struct State {
    /// What the files said when they were last read, without orders.
    file: Config,
    /// What was ordered.
    orders: Shown,
}

impl Changes {
    /// With what the files and the store say; the context has both in force already.
    pub fn new(context: Arc<HostContext>, file: Config, standing: Standing, store: Store, reread: Reread) -> Self {
        let orders = Shown { kept: standing.clone(), standing, not_stored: None };
        let shown = RwLock::new(Arc::new(orders.clone()));
        let state = Mutex::new(State { file, orders });
        Self { inner: Arc::new(Inner { context, reread, store, state, shown }) }
    }

    /// The orders as they are.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.inner.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does this to its end, whoever waits for it: half of a change must not be left when a client hangs up.
    async fn to_the_end<T, F, W>(&self, work: W) -> Result<T, ChangeFault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChangeFault>> + Send + 'static,
        W: FnOnce(Self) -> F,
    {
        let work = Actor::current().scope(work(self.clone()));
        tokio::spawn(work).await.unwrap_or(Err(ChangeFault::Stopping(Stopping)))
    }

    fn show(&self, state: &State) {
        *self.inner.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.orders.clone());
    }

    /// Puts this in force: for hosts made from now on, and in policy.
    async fn enforce(&self, in_force: InForce) -> Result<(), ChangeFault> {
        let context = &self.inner.context;
        let rules = in_force.vault.rules(&in_force.config);
        context.replace(in_force.clone());
        context.handle.rules(rules).await?;
        let (audit, actor) = (context.audit.clone(), Actor::current());
        // It writes a small file. Whether that works is told in the log.
        let _ = tokio::task::spawn_blocking(move || audit.configured(&in_force.config, &actor)).await;
        Ok(())
    }

    async fn give(&self, order: OperatorEvent) -> Result<(), ChangeFault> {
        let context = &self.inner.context;
        tracing::info!(by = %Actor::current(), "operator: {order:?}");
        context.audit.ordered(&order);
        context.handle.operator(order).await?;
        Ok(())
    }
}

/// A configuration under these orders. Those of tenants that it does not name have no effect.
pub fn under_orders(file: &Config, standing: &Standing) -> Result<Config, ConfigFaults> {
    let mut config = file.clone();
    for (tenant, orders) in standing.tenants() {
        let values: BTreeMap<String, String> =
            orders.iter().map(|(key, order)| (key.clone(), order.value.clone())).collect();
        config.order(tenant, &values)?;
    }
    Ok(config)
}
