//! One tenant's keys resolved anew, and its hosts recycled that were given others.
//!
//! Owns: `tenant rotate-key`. Never: leaves a tenant without the key that it had because the new one cannot be read.

use openrtc_control_api::{KeyRotation, RotatedKey};
use openrtc_ipc::TenantId;
use openrtc_policy::OperatorEvent;
use serde_json::json;

use super::{ChangeFault, Changes};
use crate::audit::{Actor, Entry};
use crate::host::InForce;
use crate::secrets::run_program;

impl Changes {
    /// New sessions of this tenant get the keys that its references name now; those that run go on with theirs.
    pub async fn rotate_keys(&self, tenant: TenantId) -> Result<KeyRotation, ChangeFault> {
        self.to_the_end(|this| async move { this.rotate(tenant).await }).await
    }

    async fn rotate(&self, tenant: TenantId) -> Result<KeyRotation, ChangeFault> {
        let context = &self.inner.context;
        let state = self.inner.state.lock().await;
        if !state.file.tenants.contains_key(&tenant) {
            return Err(ChangeFault::NotConfigured { tenant });
        }
        let before = context.in_force();
        let spawner = context.spawner.clone();
        let run = |argv| run_program(spawner.clone(), argv);
        let (vault, faults) = before.vault.renewed(&before.config, Some(&tenant), run).await;
        if !faults.is_empty() {
            return Err(ChangeFault::Keys(faults));
        }
        let changed = before.vault.differing(&vault);
        let own = vault.holdings().filter(|holding| holding.tenant.as_deref() == Some(tenant.as_str()));
        let keys: Vec<RotatedKey> =
            own.map(|it| RotatedKey { changed: changed.contains(&it.key), key: it.key, source: it.source }).collect();
        self.enforce(InForce { config: before.config, vault: vault.into() }).await?;
        let mut recycled = Vec::new();
        for record in context.mark_old_keys().into_iter().filter(|record| record.plan.tenant == tenant) {
            self.give(OperatorEvent::RecycleHost(record.plan.host)).await?;
            recycled.push(record.plan.host.to_string());
        }
        let by = Actor::current();
        tracing::info!(%tenant, %by, changed = changed.join(" "), recycled = recycled.join(" "), "operator: rotate keys");
        let told: Vec<_> =
            keys.iter().map(|key| json!({"key": key.key, "source": key.source, "changed": key.changed})).collect();
        let entry = Entry::new("key.rotated", by, &tenant).with("tenant", tenant.as_str());
        context.audit.tell(entry.with("keys", told).with("recycled", recycled.clone()));
        Ok(KeyRotation { tenant: tenant.to_string(), keys, recycled })
    }
}
