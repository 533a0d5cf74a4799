//! The seeds' spellings of our keys.
//!
//! Owns: which old name stands for which key. Never: gives an alias a meaning of its own.

use std::sync::Arc;

use super::faults::Faults;
use super::tree::{Entry, Node, Origin, Value};

/// Section and key as written in a seed, section and key as they are here.
const ALIASES: [(&str, &str, &str, &str); 16] = [
    ("supervisor", "drain_timeout", "supervisor", "drain_timeout_s"),
    ("supervisor", "introspection_socket_path", "supervisor", "openrtc_top_socket"),
    ("supervisor", "default_max_sessions_per_tenant", "supervisor", "default_max_sessions"),
    ("supervisor", "enable_tenant_circuit_breaker", "circuit_breaker", "enabled"),
    ("supervisor", "tenant_circuit_cooldown_s", "circuit_breaker", "cooldown_s"),
    ("supervisor", "port", "supervisor", "health_listen"),
    ("supervisor", "memory_limit_mb", "wall", "memory_max_mb"),
    ("supervisor", "memory_warn_mb", "wall", "memory_warn_mb"),
    ("wall", "memory_limit_mb", "wall", "memory_max_mb"),
    ("circuit_breaker", "enable_tenant_circuit_breaker", "circuit_breaker", "enabled"),
    ("circuit_breaker", "tenant_circuit_cooldown_s", "circuit_breaker", "cooldown_s"),
    ("circuit_breaker", "errors", "circuit_breaker", "min_samples"),
    ("circuit_breaker", "within", "circuit_breaker", "window_s"),
    ("circuit_breaker", "cooldown", "circuit_breaker", "cooldown_s"),
    ("", "max_sessions_per_tenant", "", "max_sessions"),
    ("", "memory_limit_mb", "wall", "memory_max_mb"),
];

/// The seeds' spellings in a kind of section (`tenants.NAME.wall`): each, and the kind and key that it stands for.
pub(super) fn of_kind(kind: &str) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let named = ["tenants.NAME", "runtimes.NAME"].into_iter().find(|named| kind.starts_with(named));
    let own = named.map_or(kind, |named| kind[named.len()..].trim_start_matches('.')).to_owned();
    let aliases = ALIASES.into_iter().filter(move |(from, ..)| {
        let applies = if named.is_some() { *from != "supervisor" } else { !from.is_empty() };
        applies && *from == own
    });
    aliases.map(move |(_, alias, to, key)| {
        let target: Vec<&str> = named.into_iter().chain([to]).filter(|part| !part.is_empty()).collect();
        (alias, target.join("."), key)
    })
}

/// Finds a table by its key.
fn table<'a>(entries: &'a mut [Entry], key: &str) -> Option<&'a mut Vec<Entry>> {
    let entry = entries.iter_mut().find(|entry| entry.key == key)?;
    match &mut entry.node.value {
        Value::Table(entries) => Some(entries),
        _ => None,
    }
}

/// Finds a table, or makes it. `None` where the key stands for something else.
pub(super) fn table_or_new<'a>(entries: &'a mut Vec<Entry>, key: &str, origin: &Origin) -> Option<&'a mut Vec<Entry>> {
    if !entries.iter().any(|entry| entry.key == key) {
        let node = Node { value: Value::Table(Vec::new()), origin: origin.clone() };
        entries.push(Entry { key: key.to_owned(), written: None, origin: origin.clone(), node });
    }
    table(entries, key)
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let at = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(at))
}

/// Puts an entry under its own name; one that is there already is a conflict.
fn put(entries: &mut Vec<Entry>, mut entry: Entry, key: &str, written: String, faults: &mut Faults) {
    if let Some(other) = entries.iter().find(|other| other.key == key) {
        let other = other.written.clone().unwrap_or_else(|| key.to_owned());
        let problem = format!("says the same as {other}");
        faults.add(&entry.origin, &written, None, problem, "keep one of the two");
        return;
    }
    entry.key = key.to_owned();
    entry.written = Some(written);
    entries.push(entry);
}

/// Renames the seeds' spellings, at the root and in each tenant and runtime.
pub(super) fn apply(root: &mut Vec<Entry>, faults: &mut Faults) {
    flat_map(root, faults);
    rename(root, "", faults);
    for section in ["tenants", "runtimes"] {
        for named in table(root, section).into_iter().flatten() {
            let prefix = format!("{section}.{}", named.key);
            if let Value::Table(entries) = &mut named.node.value {
                rename(entries, &prefix, faults);
            }
        }
    }
}

fn rename(root: &mut Vec<Entry>, prefix: &str, faults: &mut Faults) {
    let named = !prefix.is_empty();
    for (from, alias, to, key) in ALIASES {
        if (named && from == "supervisor") || (!named && from.is_empty()) {
            continue;
        }
        let source = if from.is_empty() { Some(&mut *root) } else { table(root, from) };
        let Some(entry) = source.and_then(|entries| take(entries, alias)) else { continue };
        let written: Vec<&str> = [prefix, from, alias].into_iter().filter(|part| !part.is_empty()).collect();
        let written = written.join(".");
        if alias == "errors" {
            faults
                .warn(format!("{written} is read as min_samples: the breaker opens by failure_ratio, not by a count"));
        }
        let origin = entry.origin.clone();
        let target = if to.is_empty() { Some(&mut *root) } else { table_or_new(root, to, &origin) };
        if let Some(target) = target {
            put(target, entry, key, written, faults);
        }
    }
}

/// In `[supervisor]`: OpenRTC's caps of tenants, in one table.
pub(super) const FLAT_MAP: &str = "max_sessions_per_tenant";

/// OpenRTC's `max_sessions_per_tenant = { acme = 50 }`, merged into `[tenants.*]`; a number is the default cap.
fn flat_map(root: &mut Vec<Entry>, faults: &mut Faults) {
    let Some(supervisor) = table(root, "supervisor") else { return };
    let Some(entry) = take(supervisor, FLAT_MAP) else { return };
    let written = format!("supervisor.{FLAT_MAP}");
    let caps = match entry.node.value {
        Value::Table(caps) => caps,
        value => {
            let node = Node { value, origin: entry.node.origin };
            let entry = Entry { node, ..entry };
            return put(supervisor, entry, "default_max_sessions", written, faults);
        }
    };
    for cap in caps {
        let origin = Origin { source: Arc::clone(&cap.origin.source), line: cap.origin.line };
        let written = format!("{written}.{}", cap.key);
        let Some(tenants) = table_or_new(root, "tenants", &origin) else { return };
        let name = cap.key.trim().to_owned();
        if let Some(tenant) = table_or_new(tenants, &name, &origin) {
            put(tenant, cap, "max_sessions", written, faults);
        }
    }
}
