//! The Python that the tests can use, if any: an interpreter in range, and a pip that installs for it.
//!
//! Owns: finding them; the build script asks before the tests do, so only the standard library is used here. Never:
//! installs anything.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Oldest and newest CPython 3 that the host supports.
const MINORS: std::ops::RangeInclusive<u32> = 11..=13;
/// The variable that names the interpreter to use, instead of the first that is found.
pub(crate) const VARIABLE: &str = "OPENRTC_TEST_PYTHON";
/// The oldest pip that can install for another interpreter.
const PIP_SINCE: (u32, u32) = (22, 3);
/// What is installed. `maturin` builds the host, the next three examine it, and the last is what
/// applications read a `.env` with.
pub(crate) const REQUIREMENTS: [&str; 6] =
    ["openrtc[livekit,cli]", "maturin", "pytest", "mypy", "ruff", "python-dotenv"];
/// Every version that is installed.
const CONSTRAINTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/constraints.txt");

/// An interpreter, and what installs for it.
pub(crate) struct Interpreter {
    /// The program.
    pub(crate) path: PathBuf,
    /// What is called to install: `… -m pip`.
    pub(crate) pip: [OsString; 3],
    /// What keeps other users from it, if anything.
    pub(crate) closed: Option<PathBuf>,
}

impl Interpreter {
    /// Finds one that other uids can reach if there is one, else any; the error says what is missing.
    pub(crate) fn find() -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        let mut behind_a_door = None;
        let named = std::env::var_os(VARIABLE).map(|path| vec![PathBuf::from(path)]);
        for path in named.unwrap_or_else(|| candidates(&["python3", "python3.13", "python3.12", "python3.11"])) {
            let Some((version, real, prefix)) = probe(&path) else { continue };
            if !seen.insert(real.clone()) || !MINORS.contains(&version) {
                continue;
            }
            match closed_at(&real).or_else(|| closed_at(&prefix)) {
                None => return Ok(Self { pip: pip(&path)?, path, closed: None }),
                closed => behind_a_door = behind_a_door.or(Some((path, closed))),
            }
        }
        let (path, closed) = behind_a_door.ok_or(
            "needs Python 3.11, 3.12 or 3.13: none in /usr/bin, /usr/local/bin or the search path \
                 (OPENRTC_TEST_PYTHON names one)",
        )?;
        Ok(Self { pip: pip(&path)?, path, closed })
    }

    /// Where its virtual environment lies in this target directory: another one for other versions.
    pub(crate) fn venv_dir(&self, target: &Path) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        std::fs::read(CONSTRAINTS).unwrap_or_default().hash(&mut hasher);
        REQUIREMENTS.hash(&mut hasher);
        self.path.hash(&mut hasher);
        probe(&self.path).hash(&mut hasher);
        target.join("python").join(format!("{:016x}", hasher.finish()))
    }

    /// A pip command for this interpreter or the environment made of it.
    pub(crate) fn pip_for(&self, python: &Path) -> Command {
        let mut command = Command::new(&self.pip[0]);
        command.args(&self.pip[1..]).arg("--python").arg(python);
        command.args(["--disable-pip-version-check", "--no-input"]);
        command.env("PIP_REQUIRE_VIRTUALENV", "0").env_remove("PIP_USER").stdin(Stdio::null());
        command
    }
}

/// The file that says which versions are installed.
pub(crate) fn constraints() -> &'static Path {
    Path::new(CONSTRAINTS)
}

/// The file of a finished environment.
pub(crate) fn finished(venv: &Path) -> PathBuf {
    venv.join(".finished")
}

/// The first directory on the way to `path`, or `path` itself, that other users may not enter or read.
pub(crate) fn closed_at(path: &Path) -> Option<PathBuf> {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let folders: Vec<&Path> = path.ancestors().skip(1).collect();
    let folder = folders.into_iter().rev().find(|folder| mode(folder) & 0o001 == 0);
    folder.or_else(|| (mode(path) & 0o005 != 0o005).then_some(path)).map(Path::to_owned)
}

/// Programs of these names, the system's first: whoever made it, its folders are open to all.
fn candidates(names: &[&str]) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")];
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).filter(|path| path.is_file()).collect()
}

/// Version (of 3.x), real path and prefix of an interpreter that can make virtual environments.
fn probe(path: &Path) -> Option<(u32, PathBuf, PathBuf)> {
    let script = "import os, sys, venv; print(sys.version_info[0], sys.version_info[1]); \
                  print(os.path.realpath(sys.executable)); print(sys.base_prefix)";
    let printed = printed(Command::new(path).args(["-I", "-c", script]))?;
    let mut lines = printed.lines();
    let minor = lines.next()?.strip_prefix("3 ")?.parse().ok()?;
    Some((minor, lines.next()?.into(), lines.next()?.into()))
}

/// The interpreter's own pip, else that of any Python on the search path: Debian's has none.
fn pip(interpreter: &Path) -> Result<[OsString; 3], String> {
    let others = candidates(&["python3"]);
    for python in std::iter::once(interpreter).chain(others.iter().map(PathBuf::as_path)) {
        // "pip 25.0 from …"
        let version = printed(Command::new(python).args(["-m", "pip", "--version"])).and_then(|printed| {
            let mut numbers = printed.split_whitespace().nth(1)?.split('.').map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        if version.is_some_and(|version| version >= PIP_SINCE) {
            return Ok([python.into(), "-m".into(), "pip".into()]);
        }
    }
    let (major, minor) = PIP_SINCE;
    Err(format!(
        "needs pip {major}.{minor} or newer for {}: no python3 on the search path has it",
        interpreter.display()
    ))
}

fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
