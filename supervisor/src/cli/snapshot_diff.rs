//! `snapshot --diff`: what changed since a snapshot that was kept, tenant by tenant.
//!
//! Owns: the comparison. Never: judges; that only the suspect changed is what the reader looks for (semantics Q10).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use openrtc_control_api::{Snapshot, Tenant};
use serde::Serialize;

use super::exit::CliError;
use super::output::Output;
use super::table::{Table, Tone};
use super::units;

const OPTION: &str = "--diff";
/// A snapshot of 5 000 sessions has about 7 MiB.
const SNAPSHOT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What lies between two snapshots of one run.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct SnapshotDiff {
    /// Seconds between the two.
    pub seconds: f64,
    /// Tenants of which anything changed.
    pub tenants: Vec<TenantDiff>,
    /// Tenants of which nothing did.
    pub unchanged: Vec<String>,
    /// Dispatches refused meanwhile, by reason.
    pub rejections: BTreeMap<String, u64>,
    /// Hosts that are new.
    pub hosts_made: Vec<String>,
    /// Hosts that are gone.
    pub hosts_gone: Vec<String>,
}

/// One tenant, before and now.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct TenantDiff {
    /// Its id.
    pub tenant: String,
    /// Its status.
    pub status: [String; 2],
    /// Its sessions.
    pub sessions: [u32; 2],
    /// Of the last 1 000 ended sessions of all tenants, those of this one that failed.
    pub failed: [u32; 2],
    /// Its hosts.
    pub hosts: [u32; 2],
    /// Its breaker's state.
    pub breaker: [String; 2],
}

/// Reads a snapshot that `--json snapshot` printed.
pub(super) fn read(path: &Path) -> Result<Snapshot, CliError> {
    let failed = |source| CliError::File { option: OPTION, path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(SNAPSHOT_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let detail = |error| format!("{}: no snapshot ({error}); keep one with `--json snapshot > FILE`", path.display());
    serde_json::from_str(&text).map_err(|error| CliError::Usage { option: OPTION, detail: detail(error) })
}

/// Compares; refuses a snapshot of another run, whose counters began anew.
pub(super) fn between(before: &Snapshot, now: &Snapshot) -> Result<SnapshotDiff, CliError> {
    let seconds = now.timestamp - before.timestamp;
    if before.worker.name != now.worker.name || before.uptime_seconds > now.uptime_seconds {
        let detail = "that snapshot is of another run: the supervisor was started again meanwhile".to_owned();
        return Err(CliError::Usage { option: OPTION, detail });
    }
    let (old, new) = (by_id(before), by_id(now));
    let ids: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let all = ids.into_iter().map(|id| tenant(id, old.get(id).copied(), new.get(id).copied()));
    let (tenants, unchanged): (Vec<_>, Vec<_>) = all.partition(TenantDiff::is_one);
    let hosts = |snapshot: &Snapshot| snapshot.hosts.iter().map(|host| host.host.clone()).collect::<BTreeSet<_>>();
    let (hosts_before, hosts_now) = (hosts(before), hosts(now));
    let refused = |(reason, count): (&String, &u64)| {
        let more = count.saturating_sub(before.rejections.get(reason).copied().unwrap_or(0));
        (more > 0).then(|| (reason.clone(), more))
    };
    Ok(SnapshotDiff {
        seconds,
        tenants,
        unchanged: unchanged.into_iter().map(|same| same.tenant).collect(),
        rejections: now.rejections.iter().filter_map(refused).collect(),
        hosts_made: hosts_now.difference(&hosts_before).cloned().collect(),
        hosts_gone: hosts_before.difference(&hosts_now).cloned().collect(),
    })
}

impl TenantDiff {
    /// Whether anything changed.
    fn is_one(&self) -> bool {
        fn differ<T: PartialEq>([before, now]: &[T; 2]) -> bool {
            before != now
        }
        differ(&self.status) || differ(&self.breaker) || [self.sessions, self.failed, self.hosts].iter().any(differ)
    }
}

fn by_id(snapshot: &Snapshot) -> BTreeMap<&str, &Tenant> {
    snapshot.tenants.iter().map(|tenant| (tenant.tenant.as_str(), tenant)).collect()
}

fn tenant(id: &str, before: Option<&Tenant>, now: Option<&Tenant>) -> TenantDiff {
    let number = |of: fn(&Tenant) -> u32| [before.map_or(0, of), now.map_or(0, of)];
    let word =
        |of: fn(&Tenant) -> &String| [before, now].map(|it| it.map_or_else(|| "-".to_owned(), |it| of(it).clone()));
    TenantDiff {
        tenant: id.to_owned(),
        status: word(|it| &it.status),
        sessions: number(|it| it.active_sessions),
        failed: number(|it| it.failed_sessions),
        hosts: number(|it| it.hosts),
        breaker: word(|it| &it.breaker),
    }
}

/// The same for a person.
pub(super) fn text(output: &Output, diff: &SnapshotDiff) -> String {
    let mut text = format!("within {}:\n", units::seconds(diff.seconds.max(0.0)));
    let mut table = Table::new().yielding("TENANT").fixed("STATUS").fixed("SESS").fixed("FAILED").fixed("HOSTS");
    table = table.fixed("BREAKER");
    for tenant in &diff.tenants {
        let worse = tenant.failed[1] > tenant.failed[0];
        table.row([
            (&tenant.tenant).into(),
            turned(&tenant.status).into(),
            turned(&tenant.sessions).into(),
            super::table::Cell::toned(turned(&tenant.failed), if worse { Tone::Bad } else { Tone::Plain }),
            turned(&tenant.hosts).into(),
            turned(&tenant.breaker).into(),
        ]);
    }
    text.push_str(&output.table(&table, "no tenant changed"));
    for (what, listed) in [
        ("unchanged", diff.unchanged.clone()),
        ("refused", diff.rejections.iter().map(|(reason, count)| format!("{reason} {count}")).collect()),
        ("hosts made", diff.hosts_made.clone()),
        ("hosts gone", diff.hosts_gone.clone()),
    ] {
        if !listed.is_empty() {
            text.push_str(&format!("{what}: {}\n", super::table::harmless(&listed.join(", "))));
        }
    }
    text
}

/// `3`, or `3>5` where it changed.
fn turned<T: PartialEq + std::fmt::Display>([before, now]: &[T; 2]) -> String {
    if before == now { now.to_string() } else { format!("{before}>{now}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Tenant {
        serde_json::from_value(serde_json::json!({
            "tenant": "", "configured": true, "status": "active", "unusable": null, "active_sessions": 0,
            "max_sessions": null, "hosts": 0, "memory_bytes": 0, "cpu_pct": 0.0, "breaker": "closed",
            "ended_sessions": 0, "failed_sessions": 0, "last_end_reason": null
        }))
        .unwrap()
    }

    fn snapshot(uptime_seconds: f64, failed: u32) -> Snapshot {
        let named = |tenant: &str, failed_sessions| Tenant { tenant: tenant.to_owned(), failed_sessions, ..blank() };
        Snapshot {
            uptime_seconds,
            timestamp: 1_000.0 + uptime_seconds,
            tenants: vec![named("acme", 0), named("initech", failed)],
            rejections: BTreeMap::from([("circuit_open".to_owned(), u64::from(failed))]),
            ..Snapshot::default()
        }
    }

    #[test]
    fn only_who_changed_is_listed_and_the_others_are_named() {
        let diff = between(&snapshot(10.0, 1), &snapshot(40.0, 6)).unwrap();
        assert_eq!((diff.seconds, diff.unchanged.as_slice()), (30.0, &["acme".to_owned()][..]));
        assert_eq!((diff.tenants[0].tenant.as_str(), diff.tenants[0].failed), ("initech", [1, 6]));
        assert_eq!(diff.rejections["circuit_open"], 5);
    }

    #[test]
    fn a_snapshot_of_another_run_is_refused() {
        let refused = between(&snapshot(10.0, 1), &snapshot(4.0, 0)).unwrap_err();
        assert!(refused.to_string().contains("another run"), "{refused}");
    }
}
