//! What a zygote of an application would be, and what its hosts would pay: the answer of `python -m openrtc_host inspect`.
//!
//! Owns: the question, with placeholders for keys, and the form of the answer. Never: gives a real key.

use std::path::Path;
use std::time::Duration;

use openrtc_ipc::RuntimeName;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{ApplicationError, scan};
use crate::config::{Config, Preload, PythonRuntime};
use crate::secrets::Vault;
use crate::spawn::Spawner;

/// How long warming up and loading may take.
const LIMIT: Duration = Duration::from_secs(240);

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inspection {
    /// The interpreter.
    pub python: PythonSaid,
    /// Version of the package.
    pub openrtc_host: String,
    /// What the zygote imported, in its order.
    pub preload: Vec<Preloaded>,
    /// Why it could not become warm.
    pub unfit: Option<String>,
    /// How long it took to.
    pub warm_ms: f64,
    /// Bytes in huge pages.
    pub huge_bytes: u64,
    /// Names of its threads, the main one first.
    pub threads: Vec<String>,
    /// Its memory.
    pub image: Memory,
    /// Libraries that register fork handlers.
    pub atfork: Vec<AtFork>,
    /// What a host was after its fork.
    pub host: Option<HostFound>,
    /// What the interpreter needs to read.
    pub paths: Paths,
}

/// An interpreter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PythonSaid {
    /// Its path.
    pub executable: String,
    /// Its version.
    pub version: String,
}

/// A module that was imported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Preloaded {
    /// Its name.
    pub module: String,
    /// How long that took.
    pub ms: f64,
    /// Threads that it started.
    pub threads: Vec<String>,
}

/// Memory in KiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// Resident.
    pub rss_kb: u64,
    /// Resident, shared pages by share.
    pub pss_kb: u64,
    /// Of no file.
    pub anonymous_kb: u64,
    /// Written, and of no other process.
    pub private_dirty_kb: u64,
}

/// A library with fork handlers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AtFork {
    /// Its path.
    pub library: String,
    /// Whether its handler is made good in hosts.
    pub known: bool,
}

/// A forked child that loaded the application.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostFound {
    /// How long the fork took.
    pub fork_ms: f64,
    /// How long loading took.
    pub load_ms: Option<f64>,
    /// Agents that the application registers.
    pub agents: Vec<String>,
    /// What it asks for that is not in force.
    pub notices: Vec<String>,
    /// Why it could not be loaded.
    pub error: Option<String>,
    /// Names of the host's threads.
    #[serde(default)]
    pub threads: Vec<String>,
    /// Private memory right after the fork, in KiB.
    #[serde(default)]
    pub private_kb_forked: u64,
    /// And when the application was loaded.
    #[serde(default)]
    pub private_kb: u64,
}

/// What must be readable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Paths {
    /// `sys.prefix`.
    pub prefix: String,
    /// `sys.base_prefix`.
    pub base_prefix: String,
    /// The standard library.
    pub stdlib: Vec<String>,
    /// Certificate bundles.
    pub certificates: Vec<String>,
    /// Mapped files that lie elsewhere and need a grant of their own.
    pub elsewhere: Vec<String>,
}

impl Inspection {
    /// Whether hosts can be forked, and the application loads in them.
    pub fn is_fit(&self) -> bool {
        self.unfit.is_none() && self.threads.len() == 1 && self.host.as_ref().is_some_and(|host| host.error.is_none())
    }
}

/// Runs the application as whoever asks, with placeholders for keys, and measures it.
///
/// # Errors
///
/// When the interpreter ends without an answer.
pub async fn inspect(
    spawner: &Spawner,
    config: &Config,
    name: &RuntimeName,
    python: &PythonRuntime,
) -> Result<Inspection, ApplicationError> {
    let preload = match &python.preload {
        Preload::Auto => json!("auto"),
        Preload::Modules(modules) => json!(modules),
    };
    // No secret is needed, and none of a program's output is asked for.
    let (vault, _) = Vault::resolve(config, async |_| Err("not asked for".to_owned())).await;
    let configure = vault.configure_inspection(config, name, Path::new("/nowhere"))?;
    let plan = json!({
        "target": scan::target(&python.target),
        "preload": preload,
        "preload_end_of_turn": python.preload_end_of_turn,
        "load_app": python.load_app.name(),
        // It holds placeholders only, and no path that Python's encoder would refuse.
        "configure": serde_json::to_value(configure).unwrap_or(Json::Null),
    });
    super::python::ask(spawner, &python.interpreter, "inspect", plan, LIMIT).await
}
