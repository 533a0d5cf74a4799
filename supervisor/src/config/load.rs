//! From a request to a configuration: read, lay over, build, check.
//!
//! Owns: the order of these steps. Never: stops at the first fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks::Exposed;
use super::faults::{ConfigFaults, Faults};
use super::file::ConfigFile;
use super::overrides::{self, CONFIG_VARIABLE, LoadRequest};
use super::paths::Environment;
use super::section::Section;
use super::tree::{self, Entry, Origin, Value};
use super::{Config, aliases, build, checks, documents};

/// Directory of tenants' files beside the main file, where none is named.
const TENANTS_DIR: &str = "tenants.d";

/// Loads file, environment and flags.
pub(super) fn load(request: &LoadRequest) -> Result<Config, ConfigFaults> {
    let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let named = request.path.clone().or_else(|| {
        let variable = request.environment.get(CONFIG_VARIABLE).filter(|path| !path.is_empty());
        variable.map(PathBuf::from)
    });
    let mut faults = Faults::default();
    let Some(path) = named.map(|path| current.join(path)) else {
        let origin = Origin::whole("defaults (no --config was given)", &current);
        return assemble(None, Vec::new(), Exposed::default(), &origin, request, faults);
    };
    let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    let origin = Origin::whole(path.display().to_string(), &dir);
    let mut exposed = Exposed::default();
    // Without the file the rest would only complain of what it does not say.
    let Some(document) = documents::read(&path, &origin, &mut faults) else { return Err(only_faults(faults)) };
    let root = tree::parse(&document.text, &origin.source, &mut faults);
    if !document.private {
        exposed.0.push(Arc::clone(&origin.source));
    }
    assemble(Some(path), root, exposed, &origin, request, faults)
}

/// Loads a text.
pub(super) fn embedded(text: &str, dir: &Path) -> Result<Config, ConfigFaults> {
    let below = |name: &str| dir.join(name).display().to_string();
    let environment = Environment::from([
        ("RUNTIME_DIRECTORY".to_owned(), below("run")),
        ("STATE_DIRECTORY".to_owned(), below("state")),
    ]);
    let request = LoadRequest { environment, ..LoadRequest::default() };
    let mut faults = Faults::default();
    let origin = Origin::whole("embedded configuration", dir);
    let root = tree::parse(text, &origin.source, &mut faults);
    assemble(None, root, Exposed::default(), &origin, &request, faults)
}

/// Loads a text that was made for a request without a file.
pub(super) fn generated(text: &str, name: &str, dir: &Path, request: &LoadRequest) -> Result<Config, ConfigFaults> {
    let mut faults = Faults::default();
    let origin = Origin::whole(name, dir);
    let root = tree::parse(text, &origin.source, &mut faults);
    assemble(None, root, Exposed::default(), &origin, request, faults)
}

fn only_faults(faults: Faults) -> ConfigFaults {
    match faults.finish() {
        Err(faults) => faults,
        Ok(warnings) => ConfigFaults { faults: Vec::new(), warnings },
    }
}

fn assemble(
    source: Option<PathBuf>,
    mut root: Vec<Entry>,
    mut exposed: Exposed,
    origin: &Origin,
    request: &LoadRequest,
    mut faults: Faults,
) -> Result<Config, ConfigFaults> {
    if faults.any() {
        return Err(only_faults(faults));
    }
    let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let layers = overrides::layers(request, &current, &mut faults);
    let tenants_dir = tenants_dir(&root, &layers, origin, source.is_some(), &mut faults);
    if let Some(dir) = &tenants_dir {
        exposed.0.extend(documents::include_tenants(&mut root, dir, origin, &mut faults));
    }
    aliases::apply(&mut root, &mut faults);
    for layer in layers {
        overrides::overlay(&mut root, layer);
    }
    let mut section = Section::root(root, origin.clone(), &mut faults);
    let file = ConfigFile::read(&mut section);
    section.finish();
    checks::check_file(&file, &exposed, &mut faults);
    let config = build::build(file, source, &request.environment, origin, &mut faults);
    if let Some(config) = &config {
        checks::check(config, &mut faults);
    }
    if config.is_none() {
        faults.add(origin, "", None, "the built-in names are no names", "report this as a defect");
    }
    let warnings = faults.finish()?;
    config
        .map(|config| Config { warnings, tenants_dir, ..config })
        .ok_or(ConfigFaults { faults: Vec::new(), warnings: Vec::new() })
}

/// The directory of tenants' files: as named, else `tenants.d` beside the file where there is one.
fn tenants_dir(
    root: &[Entry],
    layers: &[Vec<Entry>],
    origin: &Origin,
    from_file: bool,
    faults: &mut Faults,
) -> Option<PathBuf> {
    let named = |entries: &[Entry]| {
        let include = entries.iter().find(|entry| entry.key == "include")?;
        let Value::Table(include) = &include.node.value else { return None };
        let dir = include.iter().find(|entry| entry.key == "tenants_dir")?;
        match &dir.node.value {
            Value::Text(dir_text) | Value::Raw(dir_text) => Some((dir_text.clone(), dir.node.origin.clone())),
            _ => None,
        }
    };
    let written = layers.iter().rev().find_map(|layer| named(layer)).or_else(|| named(root));
    match written {
        Some((text, _)) if text.is_empty() || text == "off" => None,
        Some((text, at)) => {
            let dir = at.resolve(&text);
            if !dir.is_dir() {
                faults.warn(format!("include.tenants_dir = {text:?}: there is no directory {}", dir.display()));
                return None;
            }
            Some(dir)
        }
        None => Some(origin.source.dir.join(TENANTS_DIR)).filter(|dir| from_file && dir.is_dir()),
    }
}
