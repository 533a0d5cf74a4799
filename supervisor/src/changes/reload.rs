//! The files read anew: `reload` and SIGHUP.
//!
//! Owns: what of them takes effect, and the account of it. Never: changes anything where they have a fault.

use openrtc_control_api::Reload;

use super::{ChangeFault, Changes, under_orders};
use crate::audit::{Actor, Entry};
use crate::config::{Config, ConfigFaults};
use crate::host::InForce;
use crate::secrets::{Vault, run_program};

/// Faults that the audit log names; of more the number is told.
const FAULTS_NAMED_MAX: usize = 8;

impl Changes {
    /// Puts in force what the files say now. Running sessions and hosts go on as they are.
    pub async fn reload(&self) -> Result<Reload, ChangeFault> {
        self.to_the_end(|this| async move {
            let outcome = this.load().await;
            if let Err(ChangeFault::Files(faults)) = &outcome {
                this.tell_faults(faults);
            }
            outcome
        })
        .await
    }

    async fn load(&self) -> Result<Reload, ChangeFault> {
        let Self { inner } = self;
        let mut state = inner.state.lock().await;
        let reread = inner.reread.clone();
        let read = tokio::task::spawn_blocking(move || reread()).await;
        let mut fresh = read
            .unwrap_or(Err(ConfigFaults { faults: Vec::new(), warnings: Vec::new() }))
            .map_err(ChangeFault::Files)?;
        fresh.take_registered(&state.file).map_err(ChangeFault::Files)?;
        let file = fresh.clone().keeping(&state.file);
        let standing = &state.orders.standing;
        let config = under_orders(&file, standing).map_err(ChangeFault::Files)?;
        let before = inner.context.in_force();
        let spawner = inner.context.spawner.clone();
        let (vault, kept) = before.vault.renewed(&config, None, |argv| run_program(spawner.clone(), argv)).await;
        let mut answer = Reload {
            source: fresh.name().to_owned(),
            changed: before.config.differing(&config),
            needs_restart: fresh.differing(&file),
            secrets_changed: before.vault.differing(&vault),
            secrets_kept: kept.iter().map(ToString::to_string).collect(),
            still_ordered: standing.keys(),
            warnings: warnings(&fresh, &vault),
            ..Reload::default()
        };
        state.file = file;
        self.enforce(InForce::new(config, vault)).await?;
        let old = inner.context.mark_old_keys();
        answer.hosts_on_old_keys = old.iter().map(|record| record.plan.host.to_string()).collect();
        self.tell_reloaded(&answer);
        Ok(answer)
    }

    fn tell_reloaded(&self, answer: &Reload) {
        let by = Actor::current();
        tracing::info!(%by, source = answer.source, changed = answer.changed.join(" "), "reloaded");
        if !answer.needs_restart.is_empty() {
            tracing::warn!(
                keys = answer.needs_restart.join(" "),
                "changed in the files, and in force after a restart only"
            );
        }
        for fault in &answer.secrets_kept {
            tracing::warn!(fault, "a secret could not be had anew");
        }
        if !answer.hosts_on_old_keys.is_empty() {
            tracing::warn!(
                hosts = answer.hosts_on_old_keys.join(" "),
                "hosts run on keys that are replaced; recycle them"
            );
        }
        let entry = Entry::new("config.reloaded", by, &answer.source).with("changed", answer.changed.clone());
        let entry = entry.with("needs_restart", answer.needs_restart.clone());
        self.inner.context.audit.tell(entry.with("secrets_changed", answer.secrets_changed.clone()));
    }

    fn tell_faults(&self, faults: &ConfigFaults) {
        for fault in &faults.faults {
            tracing::error!(%fault, "reload refused: the configuration in force stays");
        }
        let named: Vec<String> = faults.faults.iter().take(FAULTS_NAMED_MAX).map(ToString::to_string).collect();
        let entry = Entry::new("config.reloaded", Actor::current(), "").resulting("refused");
        self.inner.context.audit.tell(entry.with("faults", named).with("faults_found", faults.faults.len()));
    }
}

fn warnings(config: &Config, vault: &Vault) -> Vec<String> {
    config.warnings.iter().chain(vault.warnings()).cloned().collect()
}
