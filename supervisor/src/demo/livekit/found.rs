//! What real calls need of the machine: a LiveKit server, and an interpreter with the host package.
//!
//! Owns: where they are looked for, and the one command that installs what is missing. Never: installs anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The newest version that `go install` can build: later ones carry `replace` lines.
const SERVER_VERSION: &str = "1.13.5";
/// What the interpreter must be able to import.
const MODULES: [&str; 5] = ["openrtc_host", "livekit.rtc", "livekit.api", "livekit.agents", "numpy"];
/// What installs them, from this repository.
const PACKAGES: &str = "./tenant-host/python 'livekit-agents>=1.8,<1.9'";

/// What the user names.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// The LiveKit server.
    pub server: Option<PathBuf>,
    /// The interpreter.
    pub python: Option<PathBuf>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The LiveKit server.
    pub server: PathBuf,
    /// The interpreter, as it was named: a virtual environment's own link is not followed.
    pub python: PathBuf,
}

/// What is not there, and the command that installs it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Missing {
    /// No LiveKit server.
    #[error("find a LiveKit server{}; install one: {install}", is_no_program(.named.as_deref()))]
    Server {
        /// The path that was named for it.
        named: Option<PathBuf>,
        /// The command.
        install: String,
    },
    /// No interpreter.
    #[error("find a Python{}; make one: {install}", is_no_program(.named.as_deref()))]
    Python {
        /// The path that was named for it.
        named: Option<PathBuf>,
        /// The command.
        install: String,
    },
    /// It lacks packages.
    #[error("use {}: it has no {modules}; install what is missing: {install}", .python.display())]
    Modules {
        /// The interpreter.
        python: PathBuf,
        /// What it cannot import.
        modules: String,
        /// The command, from this repository.
        install: String,
    },
}

fn is_no_program(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(": {} is no program", path.display()))
}

impl Found {
    /// Looks on this machine.
    ///
    /// # Errors
    /// With the first that is missing.
    pub fn look(means: &Means) -> Result<Self, Missing> {
        let here = std::env::current_dir().unwrap_or_default();
        let server = server(means.server.as_deref(), &here, |name| std::env::var_os(name))?;
        let python = python(means.python.as_deref(), &here, |name| std::env::var_os(name))?;
        lacking(&python)?;
        Ok(Self { server, python })
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The flag, the variable, the search path, and where our own command installs it.
fn server(given: Option<&Path>, here: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Missing> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share").into()));
    let gobin = data.map_or_else(|| here.to_owned(), |data| Path::new(&data).join("openrtc-supervisor"));
    let package = format!("github.com/livekit/livekit-server/cmd/server@v{SERVER_VERSION}");
    let missing = |named| Missing::Server { named, install: format!("GOBIN={} go install {package}", gobin.display()) };
    if let Some(path) = given.map(Path::to_owned).or_else(|| set("LIVEKIT_SERVER_BIN").map(PathBuf::from)) {
        let path = here.join(path);
        return if is_program(&path) { Ok(path) } else { Err(missing(Some(path))) };
    }
    let search = set("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&search)
        .map(|folder| here.join(folder).join("livekit-server"))
        .chain([gobin.join("server")]);
    candidates.find(|path| is_program(path)).ok_or_else(|| missing(None))
}

/// The flag, or the active virtual environment.
fn python(given: Option<&Path>, here: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Missing> {
    let active =
        || variable("VIRTUAL_ENV").filter(|path| !path.is_empty()).map(|env| Path::new(&env).join("bin/python"));
    let named = given.map(Path::to_owned).or_else(active).map(|path| here.join(path));
    let install = || {
        format!(
            "python3 -m venv .venv && .venv/bin/python -m pip install {PACKAGES}, and add --python .venv/bin/python"
        )
    };
    match named {
        Some(path) if is_program(&path) => Ok(path),
        named => Err(Missing::Python { named, install: install() }),
    }
}

/// Asks the interpreter what it cannot import, without importing the last of each.
fn lacking(python: &Path) -> Result<(), Missing> {
    let script = "import importlib.util as u, sys\n\
                  def has(name):\n try: return u.find_spec(name) is not None\n except ImportError: return False\n\
                  print(*(name for name in sys.argv[1:] if not has(name)))";
    let mut command = Command::new(python);
    command.args(["-I", "-B", "-c", script]).args(MODULES).stdin(Stdio::null()).stderr(Stdio::null());
    let modules = match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => MODULES.join(" "),
    };
    if modules.is_empty() {
        return Ok(());
    }
    let install = format!("{} -m pip install {PACKAGES}", python.display());
    Err(Missing::Modules { python: python.to_owned(), modules: modules.replace(' ', ", "), install })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/bin/true", &path).unwrap();
        path
    }

    #[test]
    fn a_server_is_the_one_named_else_the_variables_else_the_search_paths_else_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let named = program(dir.path(), "named");
        let (home, set) = (dir.path().as_os_str().to_owned(), named.as_os_str().to_owned());
        let environment = |with: bool| {
            let (home, set) = (home.clone(), set.clone());
            move |name: &str| match name {
                "HOME" => Some(home.clone()),
                "PATH" => Some(Path::new(&home).join("bin").into()),
                "LIVEKIT_SERVER_BIN" if with => Some(set.clone()),
                _ => None,
            }
        };
        let missing = server(None, Path::new("/"), environment(false)).unwrap_err().to_string();
        let command = format!("GOBIN={}/.local/share/openrtc-supervisor go install github.com/", dir.path().display());
        assert!(missing.contains(&command) && missing.ends_with("cmd/server@v1.13.5"), "{missing}");
        let installed = program(dir.path(), ".local/share/openrtc-supervisor/server");
        assert_eq!(server(None, Path::new("/"), environment(false)), Ok(installed));
        let searched = program(dir.path(), "bin/livekit-server");
        assert_eq!(server(None, Path::new("/"), environment(false)), Ok(searched));
        assert_eq!(server(None, Path::new("/"), environment(true)), Ok(named.clone()));
        assert_eq!(server(Some(Path::new("named")), dir.path(), environment(false)), Ok(named));
        let missing = server(Some(Path::new("/nowhere")), dir.path(), environment(true)).unwrap_err().to_string();
        assert!(missing.starts_with("find a LiveKit server: /nowhere is no program; install one: GOBIN="), "{missing}");
    }

    #[test]
    fn without_an_interpreter_or_its_packages_the_command_that_makes_them_is_told() {
        let missing = python(None, Path::new("/"), |_| None).unwrap_err().to_string();
        assert!(missing.starts_with("find a Python; make one: python3 -m venv .venv &&"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        let interpreter = program(dir.path(), "bin/python");
        let active = |_: &str| Some(dir.path().as_os_str().to_owned());
        assert_eq!(python(None, Path::new("/"), active), Ok(interpreter.clone()));
        // It prints nothing and succeeds, as one that lacks nothing.
        assert_eq!(lacking(&interpreter), Ok(()));
        let missing = lacking(Path::new("/bin/false")).unwrap_err().to_string();
        assert!(
            missing.contains("it has no openrtc_host, livekit.rtc") && missing.contains("/bin/false -m pip install")
        );
    }
}
