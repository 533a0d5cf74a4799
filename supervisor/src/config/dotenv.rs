//! A `.env` beside an application: tenants' hosts cannot read it (decision W9), so its keys belong elsewhere.
//!
//! Owns: finding it and naming its keys. Never: shows, keeps or uses a value.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::faults::Faults;
use super::providers::is_secret_name;
use super::{Config, plugins, reference};

/// Bytes read of one; what lies behind them is not looked at.
const BYTES_MAX: u64 = 64 * 1024;

/// Warns of each `.env` that an application would have read.
pub(super) fn check(config: &Config, faults: &mut Faults) {
    for (name, runtime) in config.python_runtimes() {
        let path = runtime.folder().join(".env");
        let Some(names) = names(&path) else { continue };
        let told = |variable: &str| config.default_keys().any(|(plugin, ..)| plugins::key_variable(plugin) == variable);
        let mut places: Vec<String> = names
            .iter()
            .filter(|variable| !told(variable) && !config.env_of_runtime(name).any(|(own, ..)| own == *variable))
            .map(|variable| place(variable, name.as_str()))
            .collect();
        if places.is_empty() {
            places.push("its keys are configured already".to_owned());
        }
        faults.warn(format!("{} is not readable in hosts: {}", path.display(), places.join("; ")));
    }
}

/// Where a variable of a `.env` belongs.
fn place(variable: &str, runtime: &str) -> String {
    match plugins::plugin_of(variable) {
        _ if variable.starts_with("LIVEKIT_") && !variable.starts_with("LIVEKIT_INFERENCE_") => {
            format!("{variable} belongs into the supervisor's own environment: hosts get no key of the server")
        }
        Some(plugin) if plugins::key_variable(plugin) == variable => format!(
            "{variable} belongs into [tenants.NAME.api_keys] or [defaults.api_keys], as \
             {plugin} = {{ env = \"{variable}\" }}"
        ),
        _ if is_secret_name(variable) => format!(
            "{variable} belongs into [tenants.NAME.env] or [runtimes.{runtime}.env], as \
             {variable} = {{ env = \"{variable}\" }}"
        ),
        _ => format!("{variable} belongs into [runtimes.{runtime}.env]"),
    }
}

/// The names that a `.env` sets, each once; `None` where there is none that we can read.
fn names(path: &Path) -> Option<Vec<String>> {
    // A pipe of this name would keep us waiting.
    if !path.metadata().is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut names: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some(name) = line.split_once('=').map(|(name, _)| name.trim()).filter(|name| reference::is_variable(name))
        else {
            continue;
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Some(names)
}
