//! Tests of the whole module: a text in, a configuration or its faults out.

mod documented;
mod effective;
mod example;
mod faulty;
mod hostile;
mod merging;
mod precedence;
mod python;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::paths::Environment;
use super::{Config, ConfigFaults, LoadRequest};

/// An agent, without which no configuration is valid.
const AGENT: &str = "[agents.support]\ncommand = [\"true\"]\n";

/// A directory with a configuration file in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn request(&self, text: &str) -> LoadRequest {
        let path = self.write("openrtc-supervisor.toml", text, 0o644);
        LoadRequest { path: Some(path), environment: environment(&[]), ..LoadRequest::default() }
    }

    fn load(&self, text: &str) -> Result<Config, ConfigFaults> {
        Config::load(&self.request(text))
    }
}

fn environment(more: &[(&str, &str)]) -> Environment {
    let base = [("RUNTIME_DIRECTORY", "/run/test"), ("STATE_DIRECTORY", "/state/test")];
    base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a text beside an agent.
fn loaded(text: &str) -> Config {
    Place::new().load(&format!("{text}\n{AGENT}")).unwrap()
}

/// The faults of a text beside an agent, one line each, without the name of the file.
fn faults(text: &str) -> Vec<String> {
    let place = Place::new();
    let faults = place.load(&format!("{text}\n{AGENT}")).expect_err("it was taken as valid").faults;
    let prefix = format!("{}/openrtc-supervisor.toml", place.path().display());
    faults.iter().map(|fault| fault.to_string().replace(&prefix, "F")).collect()
}
