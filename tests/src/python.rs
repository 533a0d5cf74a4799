//! A virtual environment with the Python frameworks and the host built from these sources.
//!
//! Owns: making it once, under `target/`, whoever asks first. Never: touches an environment that it did not make, or
//! takes another version than `tests/python/constraints.txt` says.

pub(crate) mod interpreter;

use std::fmt;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use interpreter::Interpreter;
use serde_json::Value;

use crate::Setup;
use crate::product;

/// What the host is built from.
const SOURCES: [&str; 5] = ["tenant-host/python", "tenant-host/src", "tenant-host/Cargo.toml", "ipc", "Cargo.lock"];

/// What is installed beside the host: names of packages, as pip takes them.
pub const REQUIREMENTS: [&str; 6] = interpreter::REQUIREMENTS;

/// Why there is no virtual environment.
#[derive(Debug)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A virtual environment, ready for use.
#[derive(Debug)]
pub struct Venv {
    dir: PathBuf,
    closed: Option<PathBuf>,
}

/// The environment of these tests. The first who asks makes it, which takes about a minute; the others wait.
///
/// # Errors
/// Which ability is missing: an interpreter, pip, the package index, or a compiler.
pub fn venv() -> Result<&'static Venv, &'static Missing> {
    static VENV: OnceLock<Result<Venv, Missing>> = OnceLock::new();
    VENV.get_or_init(|| Venv::make(product::target_dir()).map_err(Missing)).as_ref()
}

/// The same, for a test that is ignored where `cfg(python)` says that there is none.
///
/// # Panics
/// If it is missing nevertheless: the abilities were there when the tests were built.
#[track_caller]
pub fn required() -> &'static Venv {
    venv().unwrap_or_else(|missing| panic!("no virtual environment: {missing}"))
}

/// A path of this repository.
pub fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    root.canonicalize().expect("the workspace").join(path)
}

/// Lays scripts of `tests/python`, and the fake voice that they speak with, into `app` of the test's own directory.
pub fn lay(setup: Setup, scripts: &[&str]) -> Setup {
    let app = setup.dir().join("app");
    fs::create_dir_all(&app).expect("create the application's folder");
    let voice = repository("examples/python/fake_voice.py");
    for from in scripts.iter().map(|script| repository("tests/python").join(script)).chain([voice]) {
        fs::copy(&from, app.join(from.file_name().expect("a file"))).expect("lay a script");
    }
    setup
}

impl Venv {
    fn make(target: &Path) -> Result<Self, String> {
        let interpreter = Interpreter::find()?;
        let dir = interpreter.venv_dir(target);
        fs::create_dir_all(target.join("python")).map_err(|error| format!("create {}: {error}", target.display()))?;
        // Held until the environment is finished: test binaries run side by side.
        let lock = File::create(target.join("python/.lock")).map_err(|error| format!("create the lock: {error}"))?;
        lock.lock().map_err(|error| format!("take the lock: {error}"))?;
        let venv = Self { closed: interpreter.closed.clone().or_else(|| interpreter::closed_at(target)), dir };
        if !interpreter::finished(&venv.dir).exists() {
            venv.install_frameworks(&interpreter)?;
        }
        venv.install_host(&interpreter, target)?;
        Ok(venv)
    }

    fn install_frameworks(&self, interpreter: &Interpreter) -> Result<(), String> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("clear the last: {error}")),
            _ => {}
        }
        let mut make = Command::new(&interpreter.path);
        succeed("make a virtual environment", make.args(["-I", "-m", "venv", "--without-pip"]).arg(&self.dir))?;
        let mut pip = interpreter.pip_for(&self.python());
        pip.args(["install", "--quiet", "--constraint"])
            .arg(interpreter::constraints())
            .args(interpreter::REQUIREMENTS);
        succeed("install the frameworks", &mut pip)?;
        fs::write(interpreter::finished(&self.dir), "").map_err(|error| format!("finish: {error}"))
    }

    /// Builds the host as `pip install ./tenant-host/python` does, with the profile of the tests and into their target
    /// directory, so that what they compiled is not compiled again. Without a rebuild where nothing has changed.
    fn install_host(&self, interpreter: &Interpreter, target: &Path) -> Result<(), String> {
        let profile = if product::is_release() { "release" } else { "dev" };
        let built = format!("{profile} {:016x}", sources());
        let mark = self.dir.join(".host");
        if fs::read_to_string(&mark).is_ok_and(|last| last == built) {
            return Ok(());
        }
        let mut pip = interpreter.pip_for(&self.python());
        pip.args(["install", "--quiet", "--no-deps", "--no-build-isolation", "--force-reinstall"]);
        pip.arg(repository("tenant-host/python"));
        // Without isolation pip finds the build backend's program on the search path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.dir.join("bin")).chain(std::env::split_paths(&path));
        pip.env("PATH", std::env::join_paths(path).map_err(|error| format!("search path: {error}"))?);
        pip.env("MATURIN_PEP517_ARGS", format!("--profile {profile}")).env("CARGO_TARGET_DIR", target);
        product::apart_from_these_tests(&mut pip);
        succeed("build the host: pip install ./tenant-host/python", &mut pip)?;
        fs::write(mark, built).map_err(|error| format!("mark the host: {error}"))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// What keeps a tenant's own uid from it, if anything: a directory that other users may not enter. Tests that need
    /// such a uid are ignored unless `cfg(open_python)` says that there is nothing.
    pub fn closed(&self) -> Option<&Path> {
        self.closed.as_deref()
    }

    /// A command line of its interpreter, with an empty environment but for these paths.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.python());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("VIRTUAL_ENV", &self.dir).env("HOME", "/nonexistent");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// One session of a script with the frameworks alone, without a host: its turns, usage and error.
    #[track_caller]
    pub fn alone(&self, script: &Path, arguments: &[&str]) -> Value {
        let mut command = self.command(&[]);
        command.arg(repository("tests/python/alone.py")).arg(script).args(arguments);
        let output = command.output().expect("run the interpreter");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", script.display());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {said}"))
    }
}

/// Runs a command; the error ends with the last lines that it wrote.
fn succeed(what: &str, command: &mut Command) -> Result<(), String> {
    let output: Output = command.stdin(Stdio::null()).output().map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    Err(format!("{what}: {}\n{}", output.status, lines[lines.len().saturating_sub(40)..].join("\n")))
}

/// A number that changes with the host's sources.
fn sources() -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        hash(&repository(source), &mut hasher);
    }
    hasher.finish()
}

fn hash(path: &Path, hasher: &mut DefaultHasher) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("readable sources").flatten().map(|entry| entry.path());
        let made = |name: &str| name.starts_with('.') || name == "__pycache__" || name.starts_with("target");
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut entries: Vec<PathBuf> = entries.filter(|path| !made(&name(path))).collect();
        entries.sort();
        entries.iter().for_each(|entry| hash(entry, hasher));
    } else {
        path.hash(hasher);
        fs::read(path).unwrap_or_default().hash(hasher);
    }
}
