//! `[runtimes.NAME]` with `kind = "python"`: which interpreter runs which application, and how its zygote is warmed.
//!
//! Owns: these keys, their defaults, and what the host program is told of them. Never: runs Python.

use std::path::{Path, PathBuf};

use openrtc_ipc::ApplicationTarget;
use serde_json::{Value as Json, json};

use super::faults::Faults;
use super::paths::Environment;
use super::programs;
use super::section::{Limit, Section, Spot};
use super::shape::Shape;
use super::tree::{Origin, Value};
use super::variables::PROGRAM_PATH;

/// Sessions of one host, where nothing else is written: one interpreter is one lock and one crash domain (decision H1).
pub(super) const MAX_SESSIONS_PER_HOST: u64 = 50;
/// Sessions in the life of one host, where nothing else is written: a call whose room its server ends leaves 6 threads and
/// 1 MB behind in LiveKit's SDK (0025).
pub(super) const RECYCLE_AFTER_SESSIONS: u64 = 50;
/// Processes and threads of a host for each session that it may have, beyond those of any host: LiveKit's SDK has up to 70 for
/// a call that connects where no name is resolved, and dies where it gets none (0030).
pub(super) const PIDS_PER_SESSION: u64 = 96;
/// Open descriptors of a host for each session that it may have, beyond those of any host: up to 233 for such a call (0030).
pub(super) const OPEN_FILES_PER_SESSION: u64 = 256;
/// Hosts forked ahead, where nothing else is written: the next tenant's first call waits for no fork.
pub(super) const NUM_IDLE_HOSTS: u64 = 1;
/// Most modules that `preload` may list.
const PRELOAD_MAX: usize = 256;
/// The activated virtual environment.
const VIRTUAL_ENV: &str = "VIRTUAL_ENV";

const APP_FORMS: &str = "write app = \"main.py\", app = \"module:attribute\" or agents_dir = \"agents\"";

/// A Python runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonRuntime {
    /// Absolute path of the interpreter, as it was found: a virtual environment's own link is not followed.
    pub interpreter: PathBuf,
    /// Where its agents are.
    pub target: ApplicationTarget,
    /// Which process loads the application.
    pub load_app: LoadApp,
    /// What the zygote imports.
    pub preload: Preload,
    /// Whether the zygote loads livekit-agents' own end-of-turn weights, for all hosts to share.
    pub preload_end_of_turn: bool,
    /// How many of its hosts are forked ahead.
    pub num_idle_hosts: usize,
}

/// Which process loads the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadApp {
    /// Each host, after the fork, with its tenant's keys.
    Host,
    /// The zygote, once, without any key (decision P11).
    Zygote,
}

/// What the zygote imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preload {
    /// The frameworks and plugins that the application imports.
    Auto,
    /// These modules.
    Modules(Vec<String>),
}

impl LoadApp {
    /// As written in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Zygote => "zygote",
        }
    }
}

impl PythonRuntime {
    /// What the host program is told, and passes on to Python: `{"target": …, "preload": …, …}`.
    pub fn plan_json(&self) -> String {
        let preload = match &self.preload {
            Preload::Auto => json!("auto"),
            Preload::Modules(modules) => json!(modules),
        };
        // Paths were checked to be text when the file was read.
        let target = serde_json::to_value(&self.target).unwrap_or(Json::Null);
        json!({
            "target": target,
            "preload": preload,
            "preload_end_of_turn": self.preload_end_of_turn,
            "load_app": self.load_app.name(),
        })
        .to_string()
    }

    /// The folder that the application lies in.
    pub fn folder(&self) -> &Path {
        match &self.target {
            ApplicationTarget::Script(script) => script.parent().unwrap_or(Path::new("/")),
            ApplicationTarget::Attribute { folder, .. } => folder,
            ApplicationTarget::AgentsDir(folder) => folder,
        }
    }
}

/// What was written.
pub(super) struct PythonFile {
    python: Option<Spot<String>>,
    app: Option<Spot<String>>,
    agents_dir: Option<Spot<String>>,
    load_app: Option<LoadApp>,
    preload: Option<Preload>,
    preload_end_of_turn: Option<bool>,
    num_idle_hosts: Option<Limit>,
    /// A key of this kind, for runtimes of another.
    any: Option<Spot<()>>,
}

impl PythonFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (python, app, agents_dir) = (section.text("python"), section.text("app"), section.text("agents_dir"));
        let any = [&python, &app, &agents_dir].into_iter().flatten().next();
        let any = any.map(|spot| Spot { value: (), key: spot.key.clone(), origin: spot.origin.clone() });
        Self {
            load_app: section.choice("load_app", &[("host", LoadApp::Host), ("zygote", LoadApp::Zygote)]),
            preload: preload(section),
            preload_end_of_turn: section.flag("preload_end_of_turn"),
            num_idle_hosts: section.limit_or_zero("num_idle_hosts", 1..=64),
            python: python.filter(|spot| !spot.value.is_empty()),
            app,
            agents_dir,
            any,
        }
    }

    /// Of a runtime that is no Python runtime: its keys must not be there.
    pub(super) fn refuse(&self, faults: &mut Faults) {
        if let Some(spot) = &self.any {
            faults.add(&spot.origin, &spot.key, None, "belongs to kind = \"python\"", "remove it, or change the kind");
        }
    }

    /// Finds interpreter and application. `None` with a fault where one of them is missing.
    pub(super) fn valid(
        self,
        name: &Spot<String>,
        environment: &Environment,
        faults: &mut Faults,
    ) -> Option<PythonRuntime> {
        let interpreter = interpreter(self.python.as_ref(), name, environment, faults);
        let target = match (&self.app, &self.agents_dir) {
            (Some(app), None) => application(app, faults),
            (None, Some(dir)) => agents_dir(dir, faults),
            (Some(_), Some(dir)) => {
                faults.add(&dir.origin, &dir.key, None, "stands beside app", "keep one of the two");
                None
            }
            (None, None) => {
                faults.add(&name.origin, &name.key, None, "has no application", APP_FORMS);
                None
            }
        };
        Some(PythonRuntime {
            interpreter: interpreter?,
            target: target?,
            load_app: self.load_app.unwrap_or(LoadApp::Host),
            preload: self.preload.unwrap_or(Preload::Auto),
            preload_end_of_turn: self.preload_end_of_turn.unwrap_or(true),
            num_idle_hosts: self.num_idle_hosts.map_or(NUM_IDLE_HOSTS, |limit| limit.number().unwrap_or(0)) as usize,
        })
    }
}

/// As named; else that of the active virtual environment, of `.venv` beside the file, or of the machine.
fn interpreter(
    written: Option<&Spot<String>>,
    name: &Spot<String>,
    environment: &Environment,
    faults: &mut Faults,
) -> Option<PathBuf> {
    let (origin, key, shown) = match written {
        Some(spot) => (&spot.origin, spot.key.clone(), Some(format!("{:?}", spot.value))),
        None => (&name.origin, format!("{}.python", name.key), None),
    };
    let (path, problem) = match written {
        Some(spot) if spot.value.contains('/') => {
            let path = spot.origin.resolve(&spot.value);
            let problem = format!("{} is no executable file", path.display());
            (Some(path).filter(|path| programs::is_program(path)), problem)
        }
        Some(spot) => (programs::find(&spot.value), format!("no such program in {PROGRAM_PATH}")),
        None => (found_interpreter(&name.origin, environment), "no Python was found".to_owned()),
    };
    let remedy = "make one with `python3 -m venv .venv` beside the file, or write python = \"PATH/bin/python\"";
    match path {
        Some(path) if path.to_str().is_none() => {
            faults.add(origin, &key, shown, "is no UTF-8 path", "rename it");
            None
        }
        Some(path) => Some(path),
        None => {
            faults.add(origin, &key, shown, problem, remedy);
            None
        }
    }
}

fn found_interpreter(origin: &Origin, environment: &Environment) -> Option<PathBuf> {
    let active = environment.get(VIRTUAL_ENV).filter(|path| path.starts_with('/'));
    let active = active.map(|path| Path::new(path).join("bin/python"));
    let beside = origin.resolve(".venv/bin/python");
    active.into_iter().chain([beside]).find(|path| programs::is_program(path)).or_else(|| programs::find("python3"))
}

fn application(app: &Spot<String>, faults: &mut Faults) -> Option<ApplicationTarget> {
    let shown = Some(format!("{:?}", app.value));
    if app.value.ends_with(".py") {
        let path = app.origin.resolve(&app.value);
        if path.is_file() {
            return Some(ApplicationTarget::Script(path));
        }
        let problem = if path.exists() { "is no file" } else { "does not exist" };
        let remedy = "correct the path; it is relative to the file it stands in";
        faults.add(&app.origin, &app.key, shown, format!("{} {problem}", path.display()), remedy);
        return None;
    }
    let (module, attribute) = app.value.split_once(':').unwrap_or((&app.value, ""));
    if !dotted(module) || !dotted(attribute) {
        faults.add(&app.origin, &app.key, shown, "names no application", APP_FORMS);
        return None;
    }
    let folder = app.origin.source.dir.clone();
    Some(ApplicationTarget::Attribute { folder, module: module.to_owned(), attribute: attribute.to_owned() })
}

fn agents_dir(dir: &Spot<String>, faults: &mut Faults) -> Option<ApplicationTarget> {
    let path = dir.origin.resolve(&dir.value);
    if !dir.value.is_empty() && path.is_dir() {
        return Some(ApplicationTarget::AgentsDir(path));
    }
    let problem = format!("there is no folder {}", path.display());
    let remedy = "correct the path; it is relative to the file it stands in";
    faults.add(&dir.origin, &dir.key, Some(format!("{:?}", dir.value)), problem, remedy);
    None
}

fn preload(section: &mut Section<'_>) -> Option<Preload> {
    let spot = section.node("preload", || Shape::WordOrTexts("auto"))?;
    let modules = match &spot.value {
        Value::Text(text) if text == "auto" => return Some(Preload::Auto),
        Value::List(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Text(module) if dotted(module) => Some(module.clone()),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .filter(|modules| modules.len() <= PRELOAD_MAX),
        _ => None,
    };
    if modules.is_none() {
        let remedy = "write \"auto\", or a list of modules, as in [\"livekit.agents\", \"livekit.plugins.silero\"]";
        section.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), "is no list of modules", remedy);
    }
    modules.map(Preload::Modules)
}

/// Whether a text is a dotted name, as `livekit.agents`. Python's identifiers may hold other letters than ASCII's.
fn dotted(name: &str) -> bool {
    name.split('.').all(|part| {
        part.chars().all(|c| c == '_' || c.is_alphanumeric()) && part.starts_with(|c: char| !c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn a_dotted_name_is_told_from_a_path_and_from_code() {
        for name in ["a", "_a.b1", "livekit.plugins.silero", "größe"] {
            assert!(dotted(name), "{name}");
        }
        for name in ["", ".a", "a.", "1a", "a-b", "a/b", "a b", "a;import os", "a()"] {
            assert!(!dotted(name), "{name}");
        }
    }
}
