//! What wins over the file: flags, then `OPENRTC_SUPERVISOR_<SECTION>__<KEY>`, then OpenRTC's own variables.
//!
//! Owns: precedence. Never: reads the process's environment; it is given.

use std::fmt;
use std::path::{Path, PathBuf};

use super::aliases::{self, table_or_new};
use super::faults::Faults;
use super::paths::Environment;
use super::tree::{Entry, Node, Origin, Value};

/// Variable that names the file.
pub const CONFIG_VARIABLE: &str = "OPENRTC_SUPERVISOR_CONFIG";
const PREFIX: &str = "OPENRTC_SUPERVISOR_";
const OPENRTC_CAP: &str = "OPENRTC_MAX_CONCURRENT_SESSIONS";
const OPENRTC_PORT: &str = "OPENRTC_PORT";

/// Sections that the environment can reach.
const SECTIONS: [&[&str]; 15] = [
    &["supervisor"],
    &["wall"],
    &["wall", "cgroup"],
    &["circuit_breaker"],
    &["defaults"],
    &["routing"],
    &["rooms"],
    &["livekit"],
    &["include"],
    &["observers", "jsonl"],
    &["observers", "timeouts"],
    &["metrics"],
    &["traces"],
    &["audit"],
    &["logs"],
];

/// What the command line said; it wins over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--isolation`.
    pub isolation: Option<String>,
    /// `--control-socket`, relative to the current directory.
    pub control_socket: Option<PathBuf>,
    /// Directory of sockets and work directories, relative to the current directory.
    pub runtime_dir: Option<PathBuf>,
    /// Directory of what outlives a restart, relative to the current directory.
    pub state_dir: Option<PathBuf>,
    /// Any other key by its path, as `("wall.memory_max_mb", "2048")`.
    pub keys: Vec<(String, String)>,
}

/// What to load.
#[derive(Clone, Default)]
pub struct LoadRequest {
    /// `--config`; without it `$OPENRTC_SUPERVISOR_CONFIG`, without that the defaults alone.
    pub path: Option<PathBuf>,
    /// The supervisor's environment.
    pub environment: Environment,
    /// What the command line said.
    pub overrides: Overrides,
}

impl fmt::Debug for LoadRequest {
    /// Of the environment only the names: secrets stand in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let environment: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("LoadRequest")
            .field("path", &self.path)
            .field("environment", &environment)
            .field("overrides", &self.overrides)
            .finish()
    }
}

fn known_section(path: &[&str]) -> bool {
    SECTIONS.contains(&path)
}

/// Puts a value at this path, in tables that are made where there is none.
pub(super) fn set(root: &mut Vec<Entry>, path: &[&str], value: String, origin: &Origin) {
    let Some((key, tables)) = path.split_last() else { return };
    let mut here = root;
    for table in tables {
        let Some(next) = table_or_new(here, table, origin) else { return };
        here = next;
    }
    here.retain(|entry| entry.key != *key);
    let node = Node { value: Value::Raw(value), origin: origin.clone() };
    here.push(Entry { key: (*key).to_owned(), written: None, origin: origin.clone(), node });
}

/// Lays `over` on `under`: tables merge, anything else is replaced.
pub(super) fn overlay(under: &mut Vec<Entry>, over: Vec<Entry>) {
    for entry in over {
        match (under.iter_mut().find(|other| other.key == entry.key), entry) {
            (None, entry) => under.push(entry),
            (
                Some(Entry { node: Node { value: Value::Table(under), .. }, .. }),
                Entry { node: Node { value: Value::Table(over), .. }, .. },
            ) => {
                overlay(under, over);
            }
            (Some(other), entry) => *other = entry,
        }
    }
}

fn from_environment(environment: &Environment, current: &Path, faults: &mut Faults) -> Vec<Entry> {
    let mut root = Vec::new();
    let origin = |name: &str| Origin::whole(format!("environment variable {name}"), current);
    if let Some(cap) = environment.get(OPENRTC_CAP) {
        set(&mut root, &["supervisor", "max_concurrent_sessions"], cap.clone(), &origin(OPENRTC_CAP));
    }
    if let Some(port) = environment.get(OPENRTC_PORT).map(|port| port.trim()).filter(|port| !port.is_empty()) {
        set(&mut root, &["supervisor", "health_listen"], port.to_owned(), &origin(OPENRTC_PORT));
    }
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { continue };
        let path = path.to_ascii_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        let tables = &path[..path.len() - 1];
        if path.iter().any(|part| part.is_empty()) || !known_section(tables) {
            let sections: Vec<String> = SECTIONS.iter().map(|section| section.join("__").to_uppercase()).collect();
            let remedy = format!("write {PREFIX}<SECTION>__<KEY> with one of {}", sections.join(", "));
            faults.add(&origin(name), "", None, "names no section", remedy);
            continue;
        }
        set(&mut root, &path, value.clone(), &origin(name));
    }
    root
}

fn from_flags(overrides: &Overrides, current: &Path, faults: &mut Faults) -> Vec<Entry> {
    let mut root = Vec::new();
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| current.join(path).to_string_lossy().into_owned());
    let flags = [
        ("--isolation", "isolation", overrides.isolation.clone()),
        ("--control-socket", "control_socket", text(&overrides.control_socket)),
        ("--runtime-dir", "runtime_dir", text(&overrides.runtime_dir)),
        ("--state-dir", "state_dir", text(&overrides.state_dir)),
    ];
    for (flag, key, value) in flags {
        if let Some(value) = value {
            set(&mut root, &["supervisor", key], value, &Origin::whole(flag, current));
        }
    }
    for (path, value) in &overrides.keys {
        let origin = Origin::whole(format!("flag for {path}"), current);
        let parts: Vec<&str> = path.split('.').collect();
        match known_section(&parts[..parts.len() - 1]) {
            true => set(&mut root, &parts, value.clone(), &origin),
            false => faults.add(&origin, path, None, "names no section", "write SECTION.KEY, as wall.memory_max_mb"),
        }
    }
    root
}

/// Variables of OpenRTC that mean something else here.
fn warn_of_openrtc(environment: &Environment, faults: &mut Faults) {
    if let Some(isolation) = environment.get("OPENRTC_ISOLATION").filter(|isolation| *isolation != "process") {
        faults.warn(format!("OPENRTC_ISOLATION={isolation:?} is not heeded: isolation is always \"process\""));
    }
}

/// What lies over the file, the strongest last.
pub(super) fn layers(request: &LoadRequest, current: &Path, faults: &mut Faults) -> [Vec<Entry>; 2] {
    warn_of_openrtc(&request.environment, faults);
    let mut environment = from_environment(&request.environment, current, faults);
    aliases::apply(&mut environment, faults);
    let mut flags = from_flags(&request.overrides, current, faults);
    aliases::apply(&mut flags, faults);
    [environment, flags]
}
