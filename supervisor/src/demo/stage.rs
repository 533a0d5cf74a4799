//! The stage: a temporary directory, and a real supervisor running in it.
//!
//! Owns: the directory and the supervisor's process, and that neither outlives the demo. Never: writes anywhere else.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::attached::attached;
use super::client::Client;

/// Longest path of the temporary directory's parent, in bytes: a socket's path may have 107.
const PARENT_BYTES_MAX: usize = 64;
/// How long the supervisor may take to answer.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to finish when asked, and again when told.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How often its answer is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// The configuration's name.
pub(super) const CONFIG_FILE: &str = "openrtc-supervisor.toml";
/// Lines of its log that a failure shows.
const LOG_TAIL_LINES: usize = 15;

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No directory suits.
    #[error("find a temporary directory that other users can traverse and programs can run in: {tried}; set TMPDIR")]
    NoDirectory {
        /// What was tried, and why it does not suit.
        tried: String,
    },
    /// A step failed.
    #[error("{step} {path}")]
    File {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The supervisor ended before it answered.
    #[error("start the supervisor: it ended with {status}")]
    Ended {
        /// How.
        status: ExitStatus,
    },
    /// The supervisor does not answer.
    #[error("start the supervisor: it did not answer within {} s", READY_DEADLINE.as_secs())]
    Silent {
        /// The last attempt.
        #[source]
        source: super::client::ClientError,
    },
    /// The supervisor answers, but not as it should.
    #[error("start the supervisor")]
    Unusable {
        /// What was wrong.
        #[source]
        source: super::client::ClientError,
    },
    /// The directory to keep is in use.
    #[error("keep the agency in {path}: it exists and is not empty; name another directory")]
    KeepExists {
        /// The directory.
        path: PathBuf,
    },
}

pub(super) fn file_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StageError {
    move |source| StageError::File { step, path: path.to_owned(), source }
}

/// A set stage.
#[derive(Debug)]
pub struct Stage {
    dir: TempDir,
    child: Child,
    /// The supervisor's client.
    pub client: Client,
}

/// Why a directory does not suit; `None` if it does.
fn unsuitable(dir: &Path) -> Option<&'static str> {
    let Ok(dir) = dir.canonicalize() else { return Some("is not there") };
    if dir.as_os_str().len() > PARENT_BYTES_MAX {
        return Some("has too long a path for a socket");
    }
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|found| found.is_dir() && found.permissions().mode() & 1 == 1);
    if !dir.ancestors().all(open) {
        return Some("cannot be traversed by other users");
    }
    match statvfs(&dir) {
        Ok(found) if found.flags().contains(FsFlags::ST_NOEXEC) => Some("is mounted noexec"),
        Ok(_) => None,
        Err(_) => Some("cannot be asked for its mount flags"),
    }
}

/// A directory that tenants' users can traverse and programs can run in, open to all.
///
/// # Errors
/// When none of those for temporary files suits.
pub fn directory() -> Result<TempDir, StageError> {
    make_dir(&[std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")])
}

fn make_dir(candidates: &[PathBuf]) -> Result<TempDir, StageError> {
    let mut tried = Vec::new();
    for parent in candidates {
        let reason = match unsuitable(parent) {
            Some(reason) => reason.to_owned(),
            None => match tempfile::Builder::new().prefix("openrtc-demo-").tempdir_in(parent) {
                Ok(dir) => {
                    let open = fs::set_permissions(dir.path(), Permissions::from_mode(0o755));
                    open.map_err(file_error("open to other users", dir.path()))?;
                    return Ok(dir);
                }
                Err(error) => error.to_string(),
            },
        };
        tried.push(format!("{} {reason}", parent.display()));
    }
    Err(StageError::NoDirectory { tried: tried.join(", ") })
}

/// Writes a file that tenants' users can read.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    fs::write(path, bytes).map_err(file_error("write", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(file_error("open to other users", path))
}

impl Stage {
    /// Has a supervisor run with this configuration in a directory of ours. Its own directories are `run` and `state` there,
    /// and its events `events.jsonl`. Whatever comes next, the stage must be struck.
    ///
    /// # Errors
    /// When a file cannot be made or the supervisor cannot be started.
    pub fn set(dir: TempDir, executable: &Path, config: &str) -> Result<Self, StageError> {
        let at = |name: &str| dir.path().join(name);
        write(&at(CONFIG_FILE), config.as_bytes())?;
        let (run, events) = (at("run"), at("events.jsonl"));
        let child = start(executable, dir.path(), &run)?;
        let client = Client::new(run.join("control.sock"), run.join("control.token"), events);
        Ok(Self { dir, child, client })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The supervisor's process id; 0 once it has ended.
    pub fn supervisor_pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Waits until the supervisor answers.
    ///
    /// # Errors
    /// When it ends, is silent for too long, or answers as none of ours; the end of its log is on standard error then.
    pub async fn ready(&mut self) -> Result<(), StageError> {
        self.answered().await.inspect_err(|_| eprintln!("{}", self.log_tail()))
    }

    async fn answered(&mut self) -> Result<(), StageError> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let source = match self.client.snapshot().await {
                Ok(_) => return Ok(()),
                Err(source) if source.may_pass() => source,
                Err(source) => return Err(StageError::Unusable { source }),
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(StageError::Ended { status });
            }
            if Instant::now() > deadline {
                return Err(StageError::Silent { source });
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// The last lines that the supervisor logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.dir.path().join("supervisor.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("the supervisor's last words:\n  {}", tail.join("\n  "))
    }

    /// Ends the supervisor, in good order if it will, and removes the directory.
    pub async fn strike(mut self) {
        let asked = tokio::time::timeout(END_DEADLINE, self.client.shutdown()).await;
        if !matches!(asked, Ok(Ok(()))) {
            self.signal(Signal::SIGTERM);
        }
        if tokio::time::timeout(END_DEADLINE, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGTERM);
            if tokio::time::timeout(END_DEADLINE, self.child.wait()).await.is_err() {
                // A failure means that it has just ended; `kill` waits for it.
                let _ = self.child.kill().await;
            }
        }
        let path = self.dir.path().to_owned();
        if let Err(error) = self.dir.close() {
            eprintln!("demo: could not remove {}: {error}", path.display());
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // A failure means that it has just ended, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Starts the supervisor with nothing of our environment but `PATH`.
fn start(executable: &Path, dir: &Path, run: &Path) -> Result<Child, StageError> {
    let log_path = dir.join("supervisor.log");
    let log = fs::File::create(&log_path).map_err(file_error("create", &log_path))?;
    let log_too = log.try_clone().map_err(file_error("share", &log_path))?;
    let path: Option<OsString> = std::env::var_os("PATH");
    let mut command = Command::new(executable);
    attached(&mut command, dir)
        .arg("run")
        .arg("--config")
        .arg(dir.join(CONFIG_FILE))
        .arg("--control-socket")
        .arg(run.join("control.sock"))
        .envs(path.map(|path| ("PATH", path)))
        .stdout(log_too)
        .stderr(log);
    command.spawn().map_err(file_error("start", executable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_cannot_traverse_is_passed_over_by_name() {
        let outer = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let hidden = outer.path().join("hidden");
        fs::create_dir(&hidden).unwrap();
        fs::set_permissions(outer.path(), Permissions::from_mode(0o700)).unwrap();
        let error = make_dir(&[hidden.clone(), PathBuf::from("/nowhere")]).unwrap_err().to_string();
        assert!(error.contains("hidden cannot be traversed") && error.contains("/nowhere is not there"), "{error}");
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(unsuitable(&hidden), None);
        let made = make_dir(&[hidden]).unwrap();
        assert_eq!(fs::metadata(made.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
