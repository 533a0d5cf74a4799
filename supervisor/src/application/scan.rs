//! What reading tells of an application: the answer of `python -m openrtc_host scan`.
//!
//! Owns: its form, and finding the interpreter that gives it. Never: executes the application.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use openrtc_ipc::{ApplicationTarget, RuntimeName};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::place::Place;
use super::{ApplicationError, python};
use crate::config::{Config, LoadRequest, PythonRuntime};
use crate::spawn::{Interpreter, Spawner};

/// How long reading may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Scan {
    /// Versions of the frameworks, by the names of their packages.
    pub frameworks: BTreeMap<String, String>,
    /// What a zygote would import.
    pub preload: Vec<String>,
    /// Plugins of livekit-agents in use.
    pub plugins: Vec<PluginUse>,
    /// Variables that the application itself reads.
    pub environment: Vec<VariableUse>,
    /// A `.env` beside it.
    pub dotenv: Option<Dotenv>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// What it asks of its pool or server.
    pub findings: Findings,
}

/// A plugin in use.
#[derive(Debug, Clone, Deserialize)]
pub struct PluginUse {
    /// Its name, as `openai`.
    pub name: String,
    /// Where it is imported.
    pub at: String,
    /// Whether it could be.
    pub installed: bool,
    /// The package that brings it.
    pub distribution: String,
}

/// A variable in use.
#[derive(Debug, Clone, Deserialize)]
pub struct VariableUse {
    /// Its name.
    pub variable: String,
    /// Where it is read.
    pub at: String,
}

/// A `.env`.
#[derive(Debug, Clone, Deserialize)]
pub struct Dotenv {
    /// The file.
    pub path: PathBuf,
    /// Names of the variables in it.
    pub names: Vec<String>,
}

/// What a script asks of its pool or server.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Findings {
    /// `pool`, `server`, `options` or `agents_dir`.
    pub kind: Option<String>,
    /// Where that stands.
    pub at: Option<String>,
    /// Agents that it registers, in their order.
    pub agents: Vec<AgentFinding>,
    /// Whether these are all.
    pub agents_complete: bool,
    /// Its plain arguments.
    pub settings: Vec<SettingFinding>,
    /// Its tenants.
    pub tenants: Vec<TenantFinding>,
    /// Caps of agents.
    pub agent_caps: Vec<CapFinding>,
    /// Its router, where it is a table.
    pub router: Option<RouterFinding>,
    /// What stays in the script.
    pub unturned: Vec<Note>,
    /// Places where a literal key stands.
    pub literal_keys: Vec<String>,
}

/// An agent.
#[derive(Debug, Clone, Deserialize)]
pub struct AgentFinding {
    /// Its name.
    pub name: String,
    /// Where it is registered.
    pub at: String,
}

/// An argument.
#[derive(Debug, Clone, Deserialize)]
pub struct SettingFinding {
    /// Its name.
    pub name: String,
    /// Its value; null where it is computed.
    pub value: Json,
    /// Whether the value is all there is to it.
    pub plain: bool,
    /// Where it stands.
    pub at: String,
}

/// A tenant.
#[derive(Debug, Clone, Deserialize)]
pub struct TenantFinding {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub at: String,
    /// By step.
    pub providers: BTreeMap<String, ProviderFinding>,
    /// Keys of its providers.
    pub keys: Vec<KeyFinding>,
    /// Its cap.
    pub max_sessions: Option<i64>,
}

/// A provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum ProviderFinding {
    /// A string: LiveKit Inference in livekit-agents 1.8.
    Inference {
        /// The string.
        inference: String,
    },
    /// A plugin's object.
    Plugin {
        /// The plugin.
        plugin: String,
        /// Its arguments but for the key.
        arguments: Map<String, Json>,
    },
}

/// A key.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyFinding {
    /// Of which plugin.
    pub plugin: String,
    /// The variable that holds it; `None` where it stands in the script, or is computed.
    pub variable: Option<String>,
    /// Where it is used.
    pub at: String,
}

/// A cap of an agent.
#[derive(Debug, Clone, Deserialize)]
pub struct CapFinding {
    /// The agent.
    pub agent: String,
    /// The cap.
    pub max_sessions: i64,
    /// Where it stands.
    pub at: String,
}

/// A router.
#[derive(Debug, Clone, Deserialize)]
pub struct RouterFinding {
    /// Where it stands.
    pub at: String,
    /// Its rules, in their order.
    pub rules: Vec<RuleFinding>,
    /// Where everything else goes; `None`: to the pool's own chain.
    pub otherwise: Option<String>,
    /// Whether that holds before metadata is asked.
    pub exact: bool,
}

/// A rule of a router.
#[derive(Debug, Clone, Deserialize)]
pub struct RuleFinding {
    /// Metadata keys and what each must be.
    pub when: Map<String, Json>,
    /// The agent.
    pub agent: String,
    /// Where it stands.
    pub at: String,
}

/// Something to say.
#[derive(Debug, Clone, Deserialize)]
pub struct Note {
    /// Where it stands.
    pub at: String,
    /// What.
    pub what: String,
}

/// An application that was read, and its interpreter.
#[derive(Debug, Clone)]
pub struct Read {
    /// What runs it.
    pub python: PythonRuntime,
    /// What that says of itself.
    pub interpreter: Interpreter,
    /// What reading told.
    pub scan: Scan,
}

/// The runtime of an application that no configuration names: its interpreter and its target.
///
/// # Errors
///
/// When the application or an interpreter is missing.
pub fn runtime(place: &Place, request: &LoadRequest) -> Result<(RuntimeName, PythonRuntime), ApplicationError> {
    let config = Config::generated(&place.least(), &place.named, &place.dir, request)?;
    let found = config.python_runtimes().next().map(|(name, python)| (name.clone(), python.clone()));
    found.ok_or_else(|| ApplicationError::Named { named: place.named.clone() })
}

/// Reads the application of a runtime.
///
/// # Errors
///
/// When its interpreter is unfit, or cannot be asked.
pub async fn read(spawner: &Spawner, name: &RuntimeName, python: &PythonRuntime) -> Result<Read, ApplicationError> {
    let interpreter = Interpreter::ask(spawner, name, &python.interpreter).await?;
    let plan = json!({ "target": target(&python.target) });
    let scan = python::ask(spawner, &python.interpreter, "scan", plan, LIMIT).await?;
    Ok(Read { python: python.clone(), interpreter, scan })
}

/// The target as Python is told.
pub(super) fn target(target: &ApplicationTarget) -> Json {
    // Paths were checked to be text when the configuration was read.
    serde_json::to_value(target).unwrap_or(Json::Null)
}
