//! `[runtimes.NAME]` and `[agents.NAME]`: what runs, and by which program.
//!
//! Owns: these two sections. Never: starts a program.

use openrtc_ipc::{AgentName, RuntimeName};
use openrtc_policy::rules::AgentRules;

use super::faults::Faults;
use super::paths::Environment;
use super::programs;
use super::providers::Providers;
use super::python::{PythonFile, PythonRuntime};
use super::section::{Limit, Section, Spot};
use super::shape::Shape;
use super::variables::{self, Variables};
use super::walls::WallLayer;

/// The runtime that is built in.
pub const COMMAND_RUNTIME: &str = "command";

/// How agents of a runtime are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Built in: one program per session, JSON lines in and out.
    Command,
    /// This program speaks the host protocol itself; absolute path and arguments.
    Program(Vec<String>),
    /// An application of the Python frameworks, in a host of our own.
    Python(PythonRuntime),
}

/// One runtime.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Its name.
    pub name: RuntimeName,
    /// How its agents are run.
    pub kind: RuntimeKind,
    pub(super) env: Variables,
    pub(super) wall: WallLayer,
}

/// One agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// Its runtime and its cap.
    pub rules: AgentRules,
    /// Absolute path and arguments of its program; empty unless the runtime is `command`.
    pub command: Vec<String>,
    /// The tools it may use.
    pub tools: Vec<String>,
    /// Its providers; steps that it does not name fall back to `[defaults]`.
    pub providers: Providers,
}

/// What may be written as `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Python,
}

/// What was written of a runtime.
pub(super) struct RuntimeFile {
    kind: Option<Kind>,
    python: PythonFile,
    command: Option<Spot<Vec<String>>>,
    env: Variables,
    wall: WallLayer,
}

impl RuntimeFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let kind = kind(section);
        if kind.is_none() {
            // Another kind's keys are not unknown, they are not read.
            section.rest();
        }
        Self {
            command: programs::command(section),
            python: PythonFile::read(section),
            kind,
            env: variables::read(section),
            wall: section.table("wall", |wall| {
                global_only(wall);
                WallLayer::read(wall)
            }),
        }
    }

    pub(super) fn env(&self) -> &Variables {
        &self.env
    }

    pub(super) fn is_python(&self) -> bool {
        self.kind == Some(Kind::Python)
    }

    pub(super) fn wall(&self) -> &WallLayer {
        &self.wall
    }

    pub(super) fn valid(self, name: &Spot<String>, environment: &Environment, faults: &mut Faults) -> Option<Runtime> {
        let runtime = match RuntimeName::parse(&name.value) {
            Ok(runtime) => runtime,
            Err(error) => {
                faults.add(&name.origin, &name.key, None, "is no runtime name", error.to_string());
                return None;
            }
        };
        if runtime.as_str() == COMMAND_RUNTIME {
            faults.add(&name.origin, &name.key, None, "is built in", "give this runtime another name");
            return None;
        }
        let kind = match self.kind? {
            Kind::Program => {
                self.python.refuse(faults);
                if self.command.is_none() {
                    let remedy = "add command = [\"./program\"], a program that speaks the host protocol";
                    faults.add(&name.origin, &name.key, None, "has no command", remedy);
                }
                RuntimeKind::Program(self.command.map(|command| command.value).unwrap_or_default())
            }
            Kind::Python => {
                if let Some(command) = &self.command {
                    let remedy = "remove it, or change the kind";
                    faults.add(&command.origin, &command.key, None, "belongs to kind = \"program\"", remedy);
                }
                RuntimeKind::Python(self.python.valid(name, environment, faults)?)
            }
        };
        Some(Runtime { name: runtime, kind, env: self.env, wall: self.wall })
    }
}

impl Runtime {
    /// Its application, where its hosts are Python.
    pub fn python(&self) -> Option<&PythonRuntime> {
        match &self.kind {
            RuntimeKind::Python(python) => Some(python),
            RuntimeKind::Command | RuntimeKind::Program(_) => None,
        }
    }

    /// The built-in one.
    pub(super) fn command() -> Option<Self> {
        let name = RuntimeName::parse(COMMAND_RUNTIME).ok()?;
        Some(Self { name, kind: RuntimeKind::Command, env: Variables::new(), wall: WallLayer::default() })
    }
}

fn kind(section: &mut Section<'_>) -> Option<Kind> {
    let (key, origin) = (format!("{}.kind", section.path()), section.origin.clone());
    let Some(spot) = section.text_of("kind", || Shape::Word(vec!["python", "program"])) else {
        section.faults.add(&origin, &key, None, "is missing", "write kind = \"python\" or \"program\"");
        return None;
    };
    let (problem, remedy) = match spot.value.as_str() {
        "program" => return Some(Kind::Program),
        "python" => return Some(Kind::Python),
        "command" => ("is built in", "remove this table and write runtime = \"command\" in the agent"),
        _ => ("is no kind of runtime", "use \"python\" or \"program\""),
    };
    section.faults.add(&spot.origin, &spot.key, Some(format!("{:?}", spot.value)), problem, remedy);
    None
}

/// Keys of `[wall]` that a runtime or a tenant cannot change.
pub(super) fn global_only(wall: &mut Section<'_>) {
    for key in [
        "heartbeat_interval_s",
        "unresponsive_warn_ms",
        "unresponsive_kill_s",
        "slow_session_threshold_ms",
        "uid_range",
        "cgroup",
    ] {
        wall.refuse_here(key, "holds for all hosts alike", "move it to [wall]");
    }
}

/// What was written of an agent.
pub(super) struct AgentFile {
    pub(super) runtime: Option<Spot<String>>,
    max_sessions: Option<Limit>,
    command: Option<Spot<Vec<String>>>,
    tools: Vec<String>,
    providers: Providers,
}

impl AgentFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        section.later(&[("api_keys", "put keys under [defaults.api_keys] or [tenants.NAME.api_keys]")]);
        Self {
            runtime: section.text("runtime"),
            max_sessions: section.limit("max_sessions", 1..=100_000),
            command: programs::command(section),
            tools: section
                .texts("tools")
                .map(|list| list.value.into_iter().map(|tool| tool.value).collect())
                .unwrap_or_default(),
            providers: Providers::read(section),
        }
    }

    pub(super) fn valid(self, name: &Spot<String>, runtimes: &[RuntimeName], faults: &mut Faults) -> Option<Agent> {
        let agent = match AgentName::parse(&name.value) {
            Ok(agent) => agent,
            Err(error) => {
                faults.add(&name.origin, &name.key, None, "is no agent name", error.to_string());
                return None;
            }
        };
        let wanted = self.runtime.as_ref().map_or(COMMAND_RUNTIME, |spot| spot.value.trim());
        let runtime = runtimes.iter().find(|runtime| runtime.as_str() == wanted);
        if let (None, Some(spot)) = (runtime, &self.runtime) {
            let remedy = super::suggest::among(wanted, runtimes.iter().map(RuntimeName::as_str), "runtime");
            let value = Some(format!("{:?}", spot.value));
            faults.add(&spot.origin, &spot.key, value, "names no runtime", remedy);
        }
        match (&self.command, wanted == COMMAND_RUNTIME) {
            (None, true) => {
                let remedy = "add command = [\"./program\"], or runtime = \"NAME\" of [runtimes.NAME]";
                faults.add(&name.origin, &name.key, None, "has no command", remedy);
            }
            (Some(command), false) => {
                let remedy = "remove it; the program of the runtime knows its own agents";
                faults.add(&command.origin, &command.key, None, "belongs to the runtime", remedy);
            }
            _ => {}
        }
        let max_sessions = self.max_sessions.and_then(Limit::number).map(|sessions| sessions as u32);
        let command = self.command.map(|command| command.value).unwrap_or_default();
        let rules = AgentRules { runtime: runtime?.clone(), max_sessions };
        Some(Agent { name: agent, rules, command, tools: self.tools, providers: self.providers })
    }
}
