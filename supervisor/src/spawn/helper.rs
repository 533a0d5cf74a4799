//! Helper programs: those that print a secret (`{ exec = […] }`).
//!
//! Owns: a helper from its start to its end, its output and its bounds. Never: shows what it printed.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use openrtc_policy::WaitStatus;
use openrtc_policy::bounds::{HELPER_ERROR_BYTES_MAX, HELPER_OUTPUT_BYTES_MAX};
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use zeroize::Zeroizing;

use crate::spawn::SpawnError;
use crate::spawn::children::ChildTable;
use crate::spawn::cold::Cold;
use crate::spawn::ends::pipe_to_us;
use crate::spawn::newborn::{Process, Unclaimed};
use crate::sys::process::{self, Ended, Found};

/// How long output may still come after the helper itself has ended and its group was killed.
const AFTER_END: Duration = Duration::from_millis(200);

/// The mark of too much output; no pipe gives this error by itself.
const TALKATIVE: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// What a helper left.
pub struct Output {
    /// How it ended; a helper that failed has no business being believed.
    pub status: WaitStatus,
    /// What it printed; wiped when dropped.
    pub stdout: Zeroizing<Vec<u8>>,
    /// The end of what it complained of.
    pub stderr: String,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("status", &self.status).field("stdout", &"***").finish_non_exhaustive()
    }
}

/// A helper that was just started.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
    process: Process,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Helper {
    /// Its process.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }
}

/// Starts one. On the spawner thread.
pub(super) fn start(argv: &[String], children: &ChildTable) -> Result<Helper, SpawnError> {
    let (program, args) = argv.split_first().ok_or_else(|| SpawnError::Exec {
        path: Default::default(),
        source: io::Error::from_raw_os_error(libc::ENOENT),
    })?;
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let pipes = || -> io::Result<_> {
        let (their_stdin, stdin) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&stdin, true)?;
        Ok((stdin, their_stdin, pipe_to_us()?, pipe_to_us()?))
    };
    let (stdin, their_stdin, (stdout, their_stdout), (stderr, their_stderr)) = pipes().map_err(SpawnError::Channel)?;
    let cold = Cold {
        program: Path::new(program),
        args: &args,
        directory: None,
        stdin: Some(their_stdin),
        stdout: Some(their_stdout),
        stderr: Some(their_stderr),
        channel: None,
    };
    let process = cold.spawn(children)?;
    Ok(Helper { program: program.clone(), process, stdin, stdout, stderr })
}

/// Feeds it, reads it, and sees it to its end. On the runtime.
pub(super) async fn follow(helper: Helper, input: Option<Vec<u8>>, timeout: Duration) -> Result<Output, SpawnError> {
    let Helper { program, process: child, stdin, stdout, stderr } = helper;
    // Kills and disowns it wherever this ends early, being dropped included.
    let leash = Unclaimed::new(&child, ());
    let input = input.map(Zeroizing::new);
    let failed = |source: io::Error| match source.kind() {
        TALKATIVE => SpawnError::HelperTalkative { program: program.clone(), bytes_max: HELPER_OUTPUT_BYTES_MAX },
        _ => SpawnError::Helper { program: program.clone(), source },
    };
    let limit_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let followed = async {
        let mut streams = std::pin::pin!(streams(stdin, stdout, stderr, input));
        tokio::select! {
            output = &mut streams => {
                let output = output.map_err(failed)?;
                process::ended(child.pidfd()).await.map_err(failed)?;
                Ok(output)
            }
            end = process::ended(child.pidfd()) => {
                end.map_err(failed)?;
                child.kill_group();
                let rest = tokio::time::timeout(AFTER_END, &mut streams).await;
                rest.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)
            }
        }
    };
    let followed = tokio::time::timeout(timeout, followed).await;
    child.kill_group();
    let _ = tokio::time::timeout(AFTER_END, process::ended(child.pidfd())).await;
    let status = match ChildTable::of_this_process().reap(&child) {
        Ok(Found::Ended(corpse)) => wait_status(corpse.ended),
        // It does not die; the leash gives it to the next sweep.
        Ok(Found::Running) => return Err(SpawnError::HelperSlow { program, limit_ms }),
        Err(_) => WaitStatus::Unknown,
    };
    leash.claim();
    let (stdout, stderr) = followed.map_err(|_| SpawnError::HelperSlow { program: program.clone(), limit_ms })??;
    Ok(Output { status, stdout, stderr })
}

fn wait_status(ended: Ended) -> WaitStatus {
    match ended {
        Ended::Exited(code) => WaitStatus::Exited(code),
        Ended::Signalled(signal) => WaitStatus::Signalled(signal),
    }
}

/// Writes the input and reads both outputs to their ends; [`TALKATIVE`] as soon as the first is past its bound.
async fn streams(
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    input: Option<Zeroizing<Vec<u8>>>,
) -> io::Result<(Zeroizing<Vec<u8>>, String)> {
    let mut stdin = Sender::from_owned_fd(stdin)?;
    let (stdout, stderr) = (Receiver::from_owned_fd(stdout)?, Receiver::from_owned_fd(stderr)?);
    let feed = async move {
        // A helper need not read what it is given.
        if let Some(input) = input {
            let _ = stdin.write_all(&input).await;
        }
        drop(stdin);
        Ok(())
    };
    let ((), stdout, stderr) = tokio::try_join!(feed, beginning(stdout), end(stderr))?;
    Ok((stdout, stderr))
}

async fn beginning(stdout: Receiver) -> io::Result<Zeroizing<Vec<u8>>> {
    // Reserved whole, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(HELPER_OUTPUT_BYTES_MAX + 64));
    stdout.take(HELPER_OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > HELPER_OUTPUT_BYTES_MAX { Err(TALKATIVE.into()) } else { Ok(bytes) }
}

async fn end(mut stderr: Receiver) -> io::Result<String> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stderr.read(&mut chunk).await?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&kept).trim().to_owned());
        }
        kept.extend_from_slice(&chunk[..count]);
        let surplus = kept.len().saturating_sub(HELPER_ERROR_BYTES_MAX);
        kept.drain(..surplus);
    }
}
