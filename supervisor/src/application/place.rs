//! An application as it is named on the command line, and as a configuration names it.
//!
//! Owns: telling scripts, attributes and folders apart. Never: opens a file of the application.

use std::path::{Path, PathBuf};

use super::ApplicationError;
use super::spelling::text;

/// The runtime that a made configuration gives the application.
pub const RUNTIME: &str = "app";

/// Where an application is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder that a configuration for it stands in.
    pub dir: PathBuf,
    /// `app` or `agents_dir`.
    pub key: &'static str,
    /// The value of that key, relative to the folder.
    pub value: String,
    /// As it was typed.
    pub named: String,
}

impl Place {
    /// Reads what was typed in the directory `current`.
    ///
    /// # Errors
    ///
    /// [`ApplicationError::Named`] when it is none of the forms.
    pub fn read(named: &str, current: &Path) -> Result<Self, ApplicationError> {
        let place = |dir: &Path, key, value: String| Self {
            dir: current.join(dir).components().collect(),
            key,
            value,
            named: named.to_owned(),
        };
        let path = Path::new(named);
        if current.join(path).is_dir() {
            let whole: PathBuf = current.join(path).components().collect();
            // A folder that has no name of its own, as `..`, is its own configuration's place.
            return Ok(match (whole.parent(), whole.file_name().and_then(|name| name.to_str())) {
                (Some(parent), Some(name)) => place(parent, "agents_dir", name.to_owned()),
                _ => place(&whole, "agents_dir", ".".to_owned()),
            });
        }
        let (file, attribute) = match named.split_once(':') {
            Some((file, attribute)) if is_dotted(attribute) => (file, Some(attribute)),
            Some(_) => return Err(unclear(named)),
            None => (named, None),
        };
        let path = Path::new(file);
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".py"));
        let dir = path.parent().unwrap_or(Path::new(""));
        match (stem, attribute) {
            (Some(stem), None) => Ok(place(dir, "app", format!("{stem}.py"))),
            (Some(stem), Some(attribute)) if is_dotted(stem) => Ok(place(dir, "app", format!("{stem}:{attribute}"))),
            (None, Some(attribute)) if is_dotted(file) => {
                Ok(place(Path::new(""), "app", format!("{file}:{attribute}")))
            }
            _ => Err(unclear(named)),
        }
    }

    /// Whether its configuration must stand in [`Self::dir`].
    pub fn is_bound(&self) -> bool {
        self.key == "app" && self.value.contains(':')
    }

    /// The value of its key in a file that stands in `dir`.
    pub fn value_in(&self, dir: &Path) -> Result<String, ApplicationError> {
        if dir == self.dir {
            return Ok(self.value.clone());
        }
        if self.is_bound() {
            return Err(ApplicationError::Elsewhere { named: self.named.clone(), folder: self.dir.clone() });
        }
        Ok(spelled(&self.dir.join(&self.value), dir))
    }

    /// The least configuration of it, from which its interpreter is found.
    pub fn least(&self) -> String {
        format!("[runtimes.{RUNTIME}]\nkind = \"python\"\n{} = {}\n", self.key, text(&self.value))
    }
}

/// A path for a file that stands in `dir`: relative to it if it lies below.
pub fn spelled(path: &Path, dir: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

fn unclear(named: &str) -> ApplicationError {
    ApplicationError::Named { named: named.to_owned() }
}

fn is_dotted(name: &str) -> bool {
    let part = |part: &str| {
        part.chars().all(|c| c == '_' || c.is_alphanumeric()) && part.starts_with(|c: char| !c.is_ascii_digit())
    };
    name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_attributes_modules_and_folders_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let at = home.path();
        std::fs::create_dir_all(at.join("pkg/agents")).unwrap();
        let read = |named: &str| {
            let place = Place::read(named, at).unwrap();
            (place.dir.strip_prefix(at).unwrap().display().to_string(), place.key, place.value)
        };
        let expected = |dir: &str, key: &'static str, value: &str| (dir.to_owned(), key, value.to_owned());
        assert_eq!(read("main.py"), expected("", "app", "main.py"));
        assert_eq!(read("./pkg/my app.py"), expected("pkg", "app", "my app.py"));
        assert_eq!(read("pkg/agents.py:pool"), expected("pkg", "app", "agents:pool"));
        assert_eq!(read("pkg.agents:make.pool"), expected("", "app", "pkg.agents:make.pool"));
        assert_eq!(read("pkg/agents/"), expected("pkg", "agents_dir", "agents"));
        for named in ["main", "main.txt", "a-b.py:pool", "main.py:", ":pool", "main.py:a b", "pkg/agents:pool"] {
            assert!(Place::read(named, at).is_err(), "{named}");
        }
    }

    #[test]
    fn a_module_is_bound_to_its_folder_and_a_script_is_not() {
        let (here, there) = (Path::new("/srv/app"), Path::new("/etc/agency"));
        let script = Place::read("main.py", here).unwrap();
        assert_eq!(script.value_in(here).unwrap(), "main.py");
        assert_eq!(script.value_in(Path::new("/srv")).unwrap(), "app/main.py");
        assert_eq!(script.value_in(there).unwrap(), "/srv/app/main.py");
        let module = Place::read("main.py:pool", here).unwrap();
        assert_eq!(module.value_in(here).unwrap(), "main:pool");
        assert!(matches!(module.value_in(there), Err(ApplicationError::Elsewhere { .. })));
    }
}
