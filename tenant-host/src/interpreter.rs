//! From this program to a Python interpreter, for runtimes of `kind = "python"`.
//!
//! Owns: what the interpreter starts with: its fixed environment, its arguments and, for a zygote, its walls. Never: reads
//! a plan, an application or a key; it only passes the plan on.
//!
//! Threads are silenced and capabilities cut before a line of Python runs.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::errno::Errno;
use openrtc_ipc::CHANNEL_FD;
use openrtc_ipc::blocking::Channel;

use crate::lockdown;
use crate::sys::signals;
use crate::zygote::{Zygote, ZygoteError};
use crate::{dialogue, sys};

/// What a Python runtime needs of the environment it was started with.
const PASSED_VARIABLES: [&str; 3] = ["PATH", "LANG", "TZ"];

/// Numeric libraries start no thread, ONNX Runtime no telemetry, and a `.env` beside the script is not read: the host may
/// not see it (decision W9).
const FIXED_VARIABLES: [(&str, &str); 6] = [
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("ORT_DISABLE_TELEMETRY", "1"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("PYTHON_DOTENV_DISABLED", "1"),
];

/// Isolated from the user's own modules and variables, without byte code written, with a traceback for a crash in C.
const INTERPRETER_FLAGS: [&str; 6] = ["-I", "-B", "-X", "faulthandler", "-m", "openrtc_host"];

/// What the interpreter is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A host, started cold: [`CHANNEL_FD`] is its channel.
    Host,
    /// A zygote: [`CHANNEL_FD`] is the spawner's socket.
    Zygote,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Zygote => "zygote",
        }
    }
}

/// Becomes the interpreter, with the plan as its last argument; comes back only when that fails, and has said so.
pub(crate) fn become_interpreter(role: Role, arguments: &[OsString]) -> ExitCode {
    let [interpreter, plan] = arguments else {
        eprintln!("openrtc-tenant-host: expected INTERPRETER PLAN, got {} arguments", arguments.len());
        return ExitCode::from(2);
    };
    match role {
        Role::Host => {
            let errno = exec(role, interpreter, plan);
            let started = sys::channel::adopt(CHANNEL_FD);
            started.map_or_else(
                |fault| failure(&format!("become {}: {errno}; then to {fault}", interpreter.display())),
                |socket| refuse(socket, interpreter, errno),
            )
        }
        Role::Zygote => match Zygote::inherited().and_then(|zygote| start_zygote(&zygote, interpreter, plan)) {
            Ok(Never) => ExitCode::FAILURE,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                failure(&format!("{error}{cause}"))
            }
        },
    }
}

struct Never;

fn failure(what: &str) -> ExitCode {
    eprintln!("openrtc-tenant-host: failed to {what}");
    ExitCode::FAILURE
}

/// Raises what is inherited, over the exec and by every fork, and then becomes the interpreter.
fn start_zygote(zygote: &Zygote, interpreter: &OsStr, plan: &OsStr) -> Result<Never, ZygoteError> {
    zygote.prepare()?;
    lockdown::keep_identity_over_exec().map_err(ZygoteError::Walls)?;
    let errno = exec(Role::Zygote, interpreter, plan);
    let why = format!("cannot start {}: {}", interpreter.display(), dialogue::exec_remedy(errno));
    eprintln!("openrtc-tenant-host: {why}");
    zygote.unfit(&why)?;
    Ok(Never)
}

fn refuse(socket: UnixStream, interpreter: &OsStr, errno: Errno) -> ExitCode {
    let error = dialogue::tell_unstarted(&mut Channel::new(socket), &interpreter.to_string_lossy(), errno);
    failure(&error.to_string())
}

fn exec(role: Role, interpreter: &OsStr, plan: &OsStr) -> Errno {
    match try_exec(role, interpreter, plan) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

fn try_exec(role: Role, interpreter: &OsStr, plan: &OsStr) -> nix::Result<std::convert::Infallible> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL);
    let flags = INTERPRETER_FLAGS.iter().map(OsStr::new);
    let argv = std::iter::once(interpreter)
        .chain(flags)
        .chain([OsStr::new(role.name()), plan])
        .map(text)
        .collect::<nix::Result<Vec<_>>>()?;
    let env =
        environment(|name| std::env::var_os(name)).iter().map(|entry| text(entry)).collect::<nix::Result<Vec<_>>>()?;
    sys::channel::leave_open(CHANNEL_FD)?;
    signals::reset();
    nix::unistd::execve(&argv[0], &argv, &env)
}

fn environment(passed: impl Fn(&str) -> Option<OsString>) -> Vec<OsString> {
    let fixed = FIXED_VARIABLES.iter().map(|(name, value)| (*name, Some(OsString::from(value))));
    let passed = PASSED_VARIABLES.iter().map(|name| (*name, passed(name)));
    let entry = |(name, value): (&str, Option<OsString>)| {
        let mut entry = OsString::from(name);
        entry.push("=");
        entry.push(value?);
        Some(entry)
    };
    fixed.chain(passed).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_starts_with_the_fixed_environment_and_nothing_else_of_ours() {
        let given = |name: &str| (name != "TZ").then(|| OsString::from(format!("our-{name}")));
        let environment = environment(given);
        assert_eq!(environment.len(), FIXED_VARIABLES.len() + 2);
        assert!(environment.contains(&"PATH=our-PATH".into()) && environment.contains(&"LANG=our-LANG".into()));
        assert!(environment.contains(&"OPENBLAS_NUM_THREADS=1".into()));
        assert!(environment.contains(&"PYTHON_DOTENV_DISABLED=1".into()));
    }
}
