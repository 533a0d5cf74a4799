//! Whether a runtime's interpreter can be a host of ours: its Python, and the package `openrtc_host` of our own version.
//!
//! Owns: the question to it, and the one command for each wrong answer. Never: installs anything, or imports an
//! application.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_ipc::RuntimeName;
use openrtc_policy::WaitStatus;
use openrtc_policy::bounds::INTERPRETER_ANSWER_MS;
use serde::Deserialize;

use crate::host::chain;
use crate::spawn::{SpawnError, Spawner};

/// Versions of Python that the package is built for: major, and the first and last minor.
const PYTHON: (u32, u32, u32) = (3, 11, 13);
/// What is shown of an interpreter's complaint, in bytes.
const COMPLAINT_BYTES_MAX: usize = 512;
/// Asked where the package cannot be.
const ASK_VERSION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3])";

/// The version of the package that is needed.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// What is wrong with an interpreter.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// It could not be run.
    #[error("it cannot be run")]
    Run(#[source] SpawnError),
    /// It ran, and is no Python.
    #[error("it is no Python, and said {said:?}")]
    NoPython {
        /// What it said, shortened.
        said: String,
    },
    /// A Python that the package is not built for.
    #[error("it is Python {found}, and hosts need Python 3.11 to 3.13")]
    Python {
        /// Its version.
        found: String,
    },
    /// The package is not there.
    #[error("it has no openrtc_host, and openrtc_host {OURS} is needed (Python {python})")]
    Missing {
        /// Version of Python.
        python: String,
    },
    /// The package is there and does not work.
    #[error("its openrtc_host does not start: {said}; openrtc_host {OURS} is needed (Python {python})")]
    Broken {
        /// Version of Python.
        python: String,
        /// What it said last, shortened.
        said: String,
    },
    /// The package is of another version.
    #[error("its openrtc_host is {found}, and openrtc_host {OURS} is needed (Python {python})")]
    Version {
        /// Its version of the package.
        found: String,
        /// Version of Python.
        python: String,
    },
}

/// Why hosts cannot be made of a runtime's interpreter.
#[derive(Debug, thiserror::Error)]
#[error("use runtimes.{runtime}.python = {}: {}; {}", interpreter.display(), chain(flaw), self.remedy())]
pub struct InterpreterError {
    /// Of which runtime.
    pub runtime: RuntimeName,
    /// Which.
    pub interpreter: PathBuf,
    /// What is wrong.
    pub flaw: Flaw,
}

impl InterpreterError {
    /// The one thing to do.
    pub fn remedy(&self) -> String {
        let interpreter = self.interpreter.display();
        match &self.flaw {
            Flaw::Run(_) | Flaw::NoPython { .. } => "write the path of a Python 3.11 to 3.13".to_owned(),
            Flaw::Python { .. } => {
                "make an environment with one of those, install the application there, and write its bin/python"
                    .to_owned()
            }
            Flaw::Missing { .. } | Flaw::Version { .. } => {
                format!("run: {interpreter} -m pip install ./tenant-host/python")
            }
            Flaw::Broken { .. } => {
                format!("run: {interpreter} -m pip install --force-reinstall --no-deps ./tenant-host/python")
            }
        }
    }
}

/// What an interpreter with the package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Interpreter {
    /// Version of the package.
    pub openrtc_host: String,
    /// Version of Python.
    pub python: String,
    /// Version of livekit-agents, if it is there.
    #[serde(default)]
    pub livekit_agents: Option<String>,
    /// Version of OpenRTC, if it is there.
    #[serde(default)]
    pub openrtc: Option<String>,
}

impl Interpreter {
    /// Asks the interpreter of a runtime.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, both versions, and the one command that mends it.
    pub async fn ask(spawner: &Spawner, runtime: &RuntimeName, interpreter: &Path) -> Result<Self, InterpreterError> {
        let wrong = |flaw| InterpreterError { runtime: runtime.clone(), interpreter: interpreter.to_owned(), flaw };
        examine(spawner, interpreter).await.map_err(wrong)
    }
}

async fn examine(spawner: &Spawner, interpreter: &Path) -> Result<Interpreter, Flaw> {
    let answer = run(spawner, interpreter, &["-I", "-B", "-m", "openrtc_host", "version"]).await?;
    let said = serde_json::from_str::<Interpreter>(&answer.stdout);
    if let (true, Ok(said)) = (answer.good, said) {
        return match (supported(&said.python), said.openrtc_host == OURS) {
            (false, _) => Err(Flaw::Python { found: said.python }),
            (true, false) => Err(Flaw::Version { found: said.openrtc_host, python: said.python }),
            (true, true) => Ok(said),
        };
    }
    let asked = run(spawner, interpreter, &["-I", "-B", "-c", ASK_VERSION]).await?;
    let python = asked.stdout;
    if !asked.good || minor(&python).is_none() {
        return Err(Flaw::NoPython { said: if python.is_empty() { asked.last } else { python } });
    }
    if !supported(&python) {
        return Err(Flaw::Python { found: python });
    }
    // The interpreter's own words where the package itself is not there, and not something that it imports.
    if answer.last.ends_with("No module named openrtc_host") {
        return Err(Flaw::Missing { python });
    }
    Err(Flaw::Broken { python, said: answer.last })
}

struct Answer {
    good: bool,
    stdout: String,
    /// The last line of its complaint.
    last: String,
}

async fn run(spawner: &Spawner, interpreter: &Path, arguments: &[&str]) -> Result<Answer, Flaw> {
    let words = std::iter::once(interpreter.display().to_string()).chain(arguments.iter().map(ToString::to_string));
    let argv: Vec<String> = words.collect();
    let limit = Duration::from_millis(INTERPRETER_ANSWER_MS);
    let output = spawner.run(&argv, None, limit).await.map_err(Flaw::Run)?;
    let last = output.stderr.lines().last().unwrap_or_default();
    Ok(Answer {
        good: output.status == WaitStatus::Exited(0),
        stdout: shortened(String::from_utf8_lossy(&output.stdout).trim()),
        last: shortened(last.trim()),
    })
}

fn shortened(text: &str) -> String {
    crate::telemetry::escape::cut(&crate::telemetry::escape::escaped(text), COMPLAINT_BYTES_MAX).to_owned()
}

/// The minor version of a Python 3.
fn minor(version: &str) -> Option<u32> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    (major.parse() == Ok(PYTHON.0)).then_some(minor)
}

fn supported(version: &str) -> bool {
    minor(version).is_some_and(|minor| (PYTHON.1..=PYTHON.2).contains(&minor))
}

#[cfg(test)]
mod tests {
    use super::supported;

    #[test]
    fn three_minor_versions_are_supported() {
        for version in ["3.11.2", "3.12.0rc1", "3.13", "3.13+"] {
            assert!(supported(version), "{version}");
        }
        for version in ["3.10.9", "3.14.0", "2.7.18", "4.11.0", "three", ""] {
            assert!(!supported(version), "{version}");
        }
    }
}
