//! The keys that an application's plugins read: which are there, and which are missing.
//!
//! Owns: the way from a plugin to its variable and to the reference that a configuration needs. Never: holds, shows or
//! compares a key.

use std::collections::BTreeMap;

use super::scan::{PluginUse, Scan};
use super::spelling;
use crate::config::paths::Environment;
use crate::config::plugins::{self, GOOGLE_CREDENTIALS_VARIABLE};

/// A key of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginKey {
    /// The plugin.
    pub plugin: String,
    /// The variable that it reads.
    pub variable: String,
    /// Where the plugin is imported.
    pub at: String,
    /// How a configuration refers to it, where it is there.
    pub found: Option<String>,
}

/// The key of each plugin in use that has one, in the order of use.
pub fn of_plugins(scan: &Scan, environment: &Environment) -> Vec<PluginKey> {
    let keyed = scan.plugins.iter().filter(|plugin| !plugins::takes_no_key(&plugin.name));
    let key = |plugin: &PluginUse| {
        let (variable, found) = look_up(&plugin.name, environment);
        PluginKey { plugin: plugin.name.clone(), variable, at: plugin.at.clone(), found }
    };
    keyed.map(key).collect()
}

/// The variable of a plugin's key, and the reference to it if it is set.
fn look_up(plugin: &str, environment: &Environment) -> (String, Option<String>) {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let variable = plugins::key_variable(plugin);
    if set(&variable).is_some() {
        let found = spelling::variable(&variable);
        return (variable, Some(found));
    }
    match set(GOOGLE_CREDENTIALS_VARIABLE).filter(|_| plugins::takes_credentials_file(plugin)) {
        // The variable names a file, and the file is the key.
        Some(path) => (GOOGLE_CREDENTIALS_VARIABLE.to_owned(), Some(format!("{{ file = {} }}", spelling::text(path)))),
        None => (variable, None),
    }
}

/// Variables that the application reads and that no plugin's key is, with where it reads them. Hosts do not inherit them.
pub fn others<'a>(scan: &'a Scan, keys: &[PluginKey]) -> Vec<(&'a str, &'a str)> {
    let of_plugin = |name: &str| keys.iter().any(|key| key.variable == name);
    let ours = |name: &str| name.starts_with("LIVEKIT_") || name.starts_with("OPENRTC_");
    let read = scan.environment.iter().map(|read| (read.variable.as_str(), read.at.as_str()));
    read.filter(|(name, _)| !of_plugin(name) && !ours(name)).collect()
}

/// Placeholders for all of them, so that an application loads without a key.
pub fn placeholders(scan: &Scan) -> BTreeMap<String, String> {
    let keys = of_plugins(scan, &Environment::new());
    keys.into_iter().map(|key| (key.variable, PLACEHOLDER.to_owned())).collect()
}

/// Stands for a key where there is none; no provider takes it.
const PLACEHOLDER: &str = "placeholder-of-openrtc-supervisor-not-a-key";
