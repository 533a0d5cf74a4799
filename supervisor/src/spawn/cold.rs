//! Fork and exec: of the host program, of a zygote, of a helper.
//!
//! Owns: the only `Command::new` of the supervisor, and what an exec'd process inherits. Never: called but on the
//! spawner thread.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use openrtc_ipc::CHANNEL_FD;

use crate::spawn::SpawnError;
use crate::spawn::children::ChildTable;
use crate::spawn::newborn::Process;
use crate::sys::exec::{self, Reached};

/// Environment variables that pass from the supervisor to what it executes (semantics B13). Nothing else does.
const PASSED_VARIABLES: [&str; 3] = ["PATH", "LANG", "TZ"];
/// `PATH` where the supervisor has none.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to execute, and what it gets beside that.
pub(super) struct Cold<'a> {
    /// The executable; a bare name is looked up in `PATH`.
    pub(super) program: &'a Path,
    /// Its arguments.
    pub(super) args: &'a [OsString],
    /// Its working directory; `None`: the supervisor's.
    pub(super) directory: Option<&'static str>,
    /// Its standard input; `None`: `/dev/null`.
    pub(super) stdin: Option<OwnedFd>,
    /// Its standard output; `None`: `/dev/null`.
    pub(super) stdout: Option<OwnedFd>,
    /// Its standard error; `None`: the supervisor's.
    pub(super) stderr: Option<OwnedFd>,
    /// What it finds on [`CHANNEL_FD`]; `None`: nothing.
    pub(super) channel: Option<OwnedFd>,
}

impl Cold<'_> {
    /// Makes the process and books it.
    pub(super) fn spawn(self, children: &ChildTable) -> Result<Process, SpawnError> {
        let mut command = Command::new(self.program);
        command.args(self.args).env_clear().envs(environment());
        command.stdin(self.stdin.map_or_else(Stdio::null, Stdio::from));
        command.stdout(self.stdout.map_or_else(Stdio::null, Stdio::from));
        command.stderr(self.stderr.map_or_else(Stdio::inherit, Stdio::from));
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let journey = exec::arrange(&mut command, self.channel, CHANNEL_FD).map_err(SpawnError::Channel)?;
        let fork = children.fork();
        // std waits for the exec, and itself reaps a child that failed it. Its `Child` does nothing when dropped.
        let mut child = command.spawn().map_err(|source| match journey.reached() {
            Reached::Nothing | Reached::Fork => SpawnError::Fork(source),
            Reached::Exec => SpawnError::Exec { path: self.program.to_owned(), source },
        })?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let process = Process::open(pid).map_err(|source| {
            let _ = child.kill().and_then(|()| child.wait());
            SpawnError::Fork(source)
        })?;
        fork.made(pid);
        Ok(process)
    }
}

fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_VARIABLES.into_iter().filter_map(|name| {
        let value = std::env::var_os(name).or_else(|| (name == "PATH").then(|| PATH_DEFAULT.into()));
        value.map(|value| (name, value))
    })
}
