//! Which argument of a script's pool or server is which key of a configuration.
//!
//! Owns: that table. Never: judges a value; the loader does.

/// Where an argument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Section and key; the value is the same.
    Key(&'static str, &'static str),
    /// Section and key of a number without a fraction; 0 is none, and then nothing is written.
    Whole(&'static str, &'static str),
    /// There is nothing to write: the host honours it, or it says what holds anyway.
    Nothing,
    /// It is not in force, and this is to be said.
    Said(&'static str),
}

use Place::{Key, Nothing, Said, Whole};

const OFF: &str = "is off in hosts";
const SUPERVISOR: &str = "is the supervisor's here";

/// Of `openrtc.AgentPool`.
const POOL: [(&str, Place); 26] = [
    ("max_concurrent_sessions", Key("supervisor", "max_concurrent_sessions")),
    ("drain_timeout", Key("supervisor", "drain_timeout_s")),
    ("deployment_version", Key("supervisor", "deployment_version")),
    ("accept_only_registered_rooms", Key("supervisor", "accept_only_registered_rooms")),
    ("memory_limit_mb", Whole("wall", "memory_max_mb")),
    ("memory_warn_mb", Whole("wall", "memory_warn_mb")),
    ("slow_session_threshold_ms", Whole("wall", "slow_session_threshold_ms")),
    ("enable_tenant_circuit_breaker", Key("circuit_breaker", "enabled")),
    ("tenant_circuit_cooldown_s", Key("circuit_breaker", "cooldown_s")),
    ("isolation", Nothing),
    ("backend", Nothing),
    ("default_stt", Nothing),
    ("default_llm", Nothing),
    ("default_tts", Nothing),
    ("default_greeting", Nothing),
    ("observers", Nothing),
    ("request_fnc", Said("runs in the host, after admission")),
    ("consecutive_failure_limit", Said("has no counterpart: a host that fails takes its own tenant's sessions only")),
    ("agent_name", Said("is what the supervisor registers with LiveKit as: see [livekit]")),
    ("port", Said(OFF)),
    ("enable_uvloop", Said(OFF)),
    (
        "enable_introspection",
        Said("is off in hosts: `openrtc-supervisor snapshot` shows all of them, and see supervisor.openrtc_top_socket"),
    ),
    ("introspection_socket_path", Said("is off in hosts: see supervisor.openrtc_top_socket")),
    ("enable_hot_reload", Said(OFF)),
    ("watch_paths", Said(OFF)),
    ("audit_sink", Said("is not called: see [observers.jsonl]")),
];

/// Of `livekit.agents.AgentServer` and `WorkerOptions`.
const SERVER: [(&str, Place); 29] = [
    ("drain_timeout", Key("supervisor", "drain_timeout_s")),
    ("job_memory_limit_mb", Whole("wall", "memory_max_mb")),
    ("job_memory_warn_mb", Whole("wall", "memory_warn_mb")),
    ("initialize_process_timeout", Key("supervisor", "initialize_timeout_s")),
    ("shutdown_process_timeout", Key("supervisor", "terminate_grace_s")),
    ("entrypoint_fnc", Nothing),
    ("prewarm_fnc", Nothing),
    ("setup_fnc", Nothing),
    ("agent_name", Nothing),
    ("job_executor_type", Nothing),
    ("multiprocessing_context", Nothing),
    ("session_end_timeout", Nothing),
    ("log_level", Nothing),
    ("http_proxy", Said("is the environment's: see [runtimes.app.env]")),
    ("request_fnc", Said("runs in the host, after admission")),
    ("load_fnc", Said(SUPERVISOR)),
    ("load_threshold", Said(SUPERVISOR)),
    ("num_idle_processes", Said("is num_idle_hosts of [runtimes.app] here: hosts are forked ahead")),
    ("permissions", Said(SUPERVISOR)),
    ("max_retry", Said(SUPERVISOR)),
    ("ws_url", Said("is the supervisor's here: see url of [livekit]")),
    ("api_key", Nothing),
    ("api_secret", Nothing),
    ("worker_type", Said("is the supervisor's here: see job_types of [livekit]")),
    ("preload_modules", Said("is the zygote's here: see preload of [runtimes.app]")),
    ("host", Said(OFF)),
    ("port", Said(OFF)),
    ("prometheus_port", Said(OFF)),
    ("prometheus_multiproc_dir", Said(OFF)),
];

/// Where an argument of a pool (`kind = "pool"`), or of a server, goes.
pub fn place(kind: Option<&str>, argument: &str) -> Place {
    let table: &[(&str, Place)] = if kind == Some("pool") { &POOL } else { &SERVER };
    let found = table.iter().find(|(name, _)| *name == argument);
    found.map_or(Said("is not known to this version: see docs/python.md"), |(_, place)| *place)
}

/// Sections in which keys are written, in their order.
pub const SECTIONS: [&str; 3] = ["supervisor", "wall", "circuit_breaker"];

#[cfg(test)]
mod tests {
    use super::*;

    /// What hosts act by: a promise holds this page's tables to `openrtc_host/settings.py`.
    const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/python.md"));
    /// Found in a script by themselves, and turned into tables of their own.
    const TURNED: [&str; 6] =
        ["agent", "agents", "router", "tenant_config", "max_sessions_per_agent", "max_sessions_per_tenant"];
    /// The file takes either; a script has megabytes, and the host compares what they come to.
    const EITHER: (&str, &str) = ("memory_warn_pct", "memory_warn_mb");

    /// Argument, who grants it, and its key, of one table of the page.
    fn rows(table: &str) -> Vec<[&str; 3]> {
        let cells = |line: &'static str| -> Option<[&str; 3]> {
            let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.splitn(3, " | ");
            Some([cells.next()?.strip_suffix('`')?, cells.next()?, cells.next()?])
        };
        let (_, text) = PAGE.split_once(table).expect("the table");
        text.lines().skip(2).skip_while(|line| cells(line).is_none()).map_while(cells).collect()
    }

    /// Section and key, where the page names exactly one of a section that is written here.
    fn key(text: &str) -> Option<(&str, &str)> {
        let (section, key) = text.strip_prefix('[')?.split_once("] ")?;
        let plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (SECTIONS.contains(&section) && plain).then_some((section, key))
    }

    fn assert_same(title: &str, table: &[(&str, Place)]) {
        let rows = rows(title);
        assert!(rows.len() > 20, "{title}: {rows:?}");
        for (argument, _) in table {
            assert!(rows.iter().any(|row| row[0] == *argument), "{argument} is not on the page");
        }
        for [argument, who, text] in rows.into_iter().filter(|row| !TURNED.contains(&row[0])) {
            let found = table.iter().find(|(name, _)| *name == argument);
            let (_, place) = found.unwrap_or_else(|| panic!("{argument} is on the page only"));
            let same = match (place, key(text)) {
                (Key(..) | Whole(..), _) if who != "taken over" => false,
                (Key(section, name) | Whole(section, name), Some(shown)) => {
                    shown == (*section, *name) || (*name == EITHER.1 && shown == (*section, EITHER.0))
                }
                (Key(..) | Whole(..), None) | (Nothing, Some(_)) => false,
                (Said(said), Some((section, name))) => said.contains(&format!("{section}.{name}")),
                (Said(_), None) => true,
                (Nothing, None) => who != "refused",
            };
            assert!(same, "{argument}: {place:?} here, {who}: {text} on the page");
        }
    }

    #[test]
    fn hosts_and_the_import_take_each_argument_for_the_same_key() {
        assert_same("`AgentPool`:\n", &POOL);
        assert_same("`AgentServer` and `WorkerOptions`:\n", &SERVER);
    }
}
