//! The configuration that `run main.py` runs with.
//!
//! Owns: its text, and what is said of it at the start. Never: names a key that is not there.

use super::ApplicationError;
use super::keys::{self, PluginKey};
use super::place::{Place, RUNTIME};
use super::scan::Read;
use super::spelling;
use crate::config::{Config, LoadRequest};

/// Names listed in one sentence.
const LISTED_MAX: usize = 20;

/// A configuration that was made, and what there is to say of it.
#[derive(Debug)]
pub struct Made {
    /// The configuration.
    pub config: Config,
    /// Sentences for whoever starts it.
    pub said: Vec<String>,
}

/// Makes the configuration of an application: its agents are all that it registers, its tenants come from metadata, and the
/// keys are those of its plugins that are there.
///
/// # Errors
///
/// When our own loader refuses it, or the environment.
pub fn make(place: &Place, read: &Read, request: &LoadRequest) -> Result<Made, ApplicationError> {
    let keys = keys::of_plugins(&read.scan, &request.environment);
    let text = text(place, read, &keys);
    let config = Config::generated(&text, &place.named, &place.dir, request)?;
    Ok(Made { config, said: said(place, read, &keys) })
}

fn text(place: &Place, read: &Read, keys: &[PluginKey]) -> String {
    let interpreter = spelling::text(&read.python.interpreter.display().to_string());
    let found = keys.iter().filter_map(|key| Some((&key.plugin, key.found.as_ref()?)));
    let found: String = found.map(|(plugin, reference)| format!("{} = {reference}\n", spelling::key(plugin))).collect();
    format!(
        "config_version = 1\n[runtimes.{RUNTIME}]\nkind = \"python\"\npython = {interpreter}\n{} = {}\n\
         [defaults.api_keys]\n{found}",
        place.key,
        spelling::text(&place.value),
    )
}

fn said(place: &Place, read: &Read, keys: &[PluginKey]) -> Vec<String> {
    let scan = &read.scan;
    let versions: Vec<String> = scan.frameworks.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut said = vec![format!(
        "{}: Python {} of {}; {}",
        place.named,
        read.interpreter.python,
        read.python.interpreter.display(),
        if versions.is_empty() { "no framework is installed there".to_owned() } else { versions.join(", ") }
    )];
    said.push(format!("preload: {}", listed(scan.preload.iter().cloned())));
    let (found, missing): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.found.is_some());
    if !found.is_empty() {
        said.push(format!("keys found: {}", listed(found.iter().map(|key| key.variable.clone()))));
    }
    if !missing.is_empty() {
        let names = missing.iter().map(|key| format!("{} ({}, {})", key.variable, key.plugin, key.at));
        said.push(format!(
            "keys missing: {}: export them, or give each tenant its own under [tenants.*]",
            listed(names)
        ));
    }
    if keys.is_empty() {
        said.push("keys: no plugin of this application reads one".to_owned());
    }
    if let Some(dotenv) = &scan.dotenv {
        let names = missing.iter().filter(|key| dotenv.names.contains(&key.variable)).map(|key| key.variable.clone());
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            let path = dotenv.path.display();
            said.push(format!(
                "{} in {path}: hosts cannot read that file; export it for this command with `set -a; . {path}; set +a`",
                stand(&names)
            ));
        }
    }
    for plugin in scan.plugins.iter().filter(|plugin| !plugin.installed) {
        let python = read.python.interpreter.display();
        said.push(format!(
            "{}: livekit.plugins.{} is not installed; run: {python} -m pip install {}",
            plugin.at, plugin.name, plugin.distribution
        ));
    }
    let others = keys::others(scan, keys);
    if !others.is_empty() {
        let names = others.iter().map(|(name, at)| format!("{name} ({at})"));
        said.push(format!(
            "read by the application, and not given to hosts: {}; `openrtc-supervisor config import {}` writes the lines \
             that give them",
            listed(names),
            place.named
        ));
    }
    said.extend(scan.problems.iter().map(|problem| format!("not read: {problem}")));
    said
}

fn stand(names: &[String]) -> String {
    match names {
        [name] => format!("{name} stands"),
        names => format!("{} stand", names.join(", ")),
    }
}

/// Names in one sentence, the first of many.
fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > LISTED_MAX => format!("{} and {} more", names[..LISTED_MAX].join(", "), count - LISTED_MAX),
        _ => names.join(", "),
    }
}
