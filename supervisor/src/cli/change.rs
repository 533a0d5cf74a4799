//! Changes of a tenant that last, and `reload`.
//!
//! Owns: how they are asked for and told. Never: decides which key may be changed; the supervisor says.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use openrtc_control_api::{ConfigFault, KeyRotation, Order, Problem, Reload, Tenant, TenantKilled};
use openrtc_ipc::TenantId;
use serde_json::json;

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::{config, units};

/// A disk that others write to may take so long to say that an order is on it: 12 s were seen.
const DISK_PATIENCE: Duration = Duration::from_secs(90);
/// A key may come from a program, and a few programs run one after the other.
const KEYS_PATIENCE: Duration = Duration::from_secs(60);

/// Changes of one tenant.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Refuse its new sessions until it is resumed, over restarts; those that run go on
    Suspend(Status),
    /// Take its sessions again
    Resume(Status),
    /// Change its caps, scope, breaker or walls until `tenant reset`, over restarts and reloads
    Set(Box<SetOptions>),
    /// Take orders back, so that the configuration holds again
    Reset {
        /// Its id
        tenant: TenantId,
        /// Only these keys, for example max_sessions; without one, all
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        /// Only if its orders are still of this revision, see `tenant show`
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u64>,
    },
    /// Resolve its keys anew; its hosts that have others take no new sessions and end with those they have
    RotateKey {
        /// Its id
        tenant: TenantId,
    },
    /// Kill all its hosts; their sessions fail. To have no others made, suspend it first
    Kill {
        /// Its id
        tenant: TenantId,
    },
}

/// Options of `suspend` and `resume`.
#[derive(Debug, Args)]
pub struct Status {
    /// Its id
    tenant: TenantId,
    /// Only if its orders are still of this revision, see `tenant show`
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

/// Options of `set`; values are those of the configuration.
#[derive(Debug, Args)]
pub struct SetOptions {
    /// Its id
    tenant: TenantId,
    /// Sessions at once: a number, or off. Below what runs, nothing is ended
    #[arg(long, value_name = "N|off")]
    max_sessions: Option<String>,
    /// One host for all its sessions, or one for each: tenant or session
    #[arg(long, value_name = "SCOPE")]
    host_scope: Option<String>,
    /// Its breaker: on or off
    #[arg(long, value_name = "on|off")]
    breaker: Option<String>,
    /// How long its breaker rejects, in seconds
    #[arg(long, value_name = "S")]
    cooldown_s: Option<String>,
    /// Its breaker opens above this share of failures, 0.01 to 0.99
    #[arg(long, value_name = "RATIO")]
    failure_ratio: Option<String>,
    /// And not before so many sessions
    #[arg(long, value_name = "N")]
    min_samples: Option<String>,
    /// Of the last so many seconds
    #[arg(long, value_name = "S")]
    window_s: Option<String>,
    /// Memory of each of its new hosts, in MiB, or off
    #[arg(long, value_name = "N|off")]
    memory_max_mb: Option<String>,
    /// CPU of each of its new hosts, in percent of a core, auto or off
    #[arg(long, value_name = "N|auto|off")]
    cpu_max_pct: Option<String>,
    /// Processes and threads of each of its new hosts, or off
    #[arg(long, value_name = "N|off")]
    pids_max: Option<String>,
    /// Only if its orders are still of this revision, see `tenant show`
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

impl SetOptions {
    /// What was said, by the key that it stands for.
    fn values(&self) -> BTreeMap<&'static str, &String> {
        let said = [
            ("max_sessions", &self.max_sessions),
            ("host_scope", &self.host_scope),
            ("circuit_breaker.enabled", &self.breaker),
            ("circuit_breaker.cooldown_s", &self.cooldown_s),
            ("circuit_breaker.failure_ratio", &self.failure_ratio),
            ("circuit_breaker.min_samples", &self.min_samples),
            ("circuit_breaker.window_s", &self.window_s),
            ("wall.memory_max_mb", &self.memory_max_mb),
            ("wall.cpu_max_pct", &self.cpu_max_pct),
            ("wall.pids_max", &self.pids_max),
        ];
        said.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect()
    }
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let (tenant, verb, body) = match command {
        Command::Suspend(Status { tenant, revision }) => (tenant, "suspend", json!({ "revision": revision })),
        Command::Resume(Status { tenant, revision }) => (tenant, "resume", json!({ "revision": revision })),
        Command::Reset { tenant, keys, revision } => (tenant, "reset", json!({ "keys": keys, "revision": revision })),
        Command::Set(options) => {
            let values = options.values();
            if values.is_empty() {
                let detail = "nothing to set: name what changes, as in --max-sessions 5".to_owned();
                return Err(CliError::Usage { option: "tenant set", detail });
            }
            let body = json!({ "set": values, "revision": options.revision });
            (options.tenant.clone(), "set", body)
        }
        Command::RotateKey { tenant } => return rotate(&tenant, client, output).await,
        Command::Kill { tenant } => return kill(&tenant, client, output).await,
    };
    let path = format!("/v1/tenants/{tenant}/{verb}");
    let changed: Tenant = client.post(&path, &body, Patience::Longer(DISK_PATIENCE)).await?;
    output.result(&changed, |_, tenant| account(tenant))?;
    if let Some(why) = &changed.not_stored {
        output.complain(&format!("warning: this will not outlast a restart: it could not be stored in {why}"));
    }
    Ok(Exit::Ok)
}

fn account(tenant: &Tenant) -> String {
    let sessions = units::counted(tenant.active_sessions, "session");
    format!("{} is {}, with {sessions}\n{}", tenant.tenant, tenant.status, orders(tenant))
}

/// What was ordered of a tenant, one a line.
pub(super) fn orders(tenant: &Tenant) -> String {
    let mut lines: String = tenant.orders.iter().map(order).collect();
    if !tenant.orders.is_empty() {
        lines.push_str(&format!("  revision {}; `tenant reset {}` takes them back\n", tenant.revision, tenant.tenant));
    }
    lines
}

fn order(order: &Order) -> String {
    let Order { key, value, since_unix_ms, by, pid, lasting } = order;
    let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let until = if *lasting { "" } else { "; NOT STORED: until the next restart only" };
    format!("  {key} = {value}, ordered {} ago by {by}{pid}{until}\n", units::ago(*since_unix_ms))
}

async fn rotate(tenant: &TenantId, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let path = format!("/v1/tenants/{tenant}/rotate-key");
    let rotation: KeyRotation = client.post(&path, &json!({}), Patience::Longer(KEYS_PATIENCE)).await?;
    output.result(&rotation, |_, rotation| {
        let mut text = String::new();
        for key in &rotation.keys {
            let hint = if key.source.starts_with("env:") { "; a variable changes with a restart only" } else { "" };
            let word = if key.changed { "new".to_owned() } else { format!("the same as before{hint}") };
            text.push_str(&format!("{} ({}): {word}\n", key.key, key.source));
        }
        match (rotation.keys.is_empty(), rotation.recycled.is_empty()) {
            (true, _) => text.push_str("it has no keys of its own\n"),
            (false, true) => text.push_str("no host has other keys\n"),
            (false, false) => {
                text.push_str(&format!("recycled: {}; their sessions go on\n", rotation.recycled.join(", ")));
            }
        }
        text
    })?;
    Ok(Exit::Ok)
}

async fn kill(tenant: &TenantId, client: &Client, output: &Output) -> Result<Exit, CliError> {
    let killed: TenantKilled = client.post(&format!("/v1/tenants/{tenant}/kill"), &json!({}), Patience::Usual).await?;
    output.result(&killed, |_, killed| {
        let hosts = units::counted(killed.hosts.len() as u64, "host");
        format!("{hosts} of {} gone after {} ms\n", killed.tenant, killed.took_ms)
    })?;
    Ok(Exit::Ok)
}

/// `reload`.
pub(super) async fn reload(client: &Client, output: &Output) -> Result<Exit, CliError> {
    let answer = client.post::<Reload>("/v1/reload", &json!({}), Patience::Longer(KEYS_PATIENCE)).await;
    if let Err(CliError::Refused(problem)) = &answer
        && !output.json()
    {
        output.complain(&faults(problem));
    }
    output.result(&answer?, |_, reload| reloaded(reload))?;
    Ok(Exit::Ok)
}

fn faults(problem: &Problem) -> String {
    problem.faults.iter().map(|fault: &ConfigFault| config::fault(fault)).collect::<String>().trim_end().to_owned()
}

fn reloaded(reload: &Reload) -> String {
    let mut text = format!("{}: reloaded\n", reload.source);
    let mut list = |title: &str, items: &[String]| {
        if !items.is_empty() {
            text.push_str(&format!("{title}:\n"));
            items.iter().for_each(|item| text.push_str(&format!("  {}\n", super::table::harmless(item))));
        }
    };
    list("changed", &reload.changed);
    list("needs a restart, and is as before until then", &reload.needs_restart);
    list("new secrets", &reload.secrets_changed);
    list("secrets that could not be had anew; the old ones stay", &reload.secrets_kept);
    list("hosts on old keys; `host recycle` or `tenant rotate-key` replaces them", &reload.hosts_on_old_keys);
    list("an operator's order holds all the same", &reload.still_ordered);
    list("warnings", &reload.warnings);
    if reload.changed.is_empty() && reload.secrets_changed.is_empty() {
        text.push_str("nothing changed\n");
    }
    text
}
