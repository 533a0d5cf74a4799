//! The pre-warmed, single-threaded process that forks hosts as the supervisor's children.
//!
//! Owns: the check for one thread before each fork, and the zygote's half of `openrtc_ipc::zygote`. Never: holds a
//! tenant's secret or code, forks beside a second thread, or outlives the supervisor.
//!
//! ```text
//! exec ──walls pre-set──► Ready ──Fork──► clone3 ──► Forked ──► (again)
//!                                            └─ child: session, signals, descriptors ──► the host
//! end of the socket ──► exit
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use openrtc_ipc::zygote::{FORK_FDS, MESSAGE_BYTES};
use openrtc_ipc::{ZygoteFork, ZygoteReply, fds};

use crate::lockdown::LockdownError;
use crate::sys::clone::{self, Forked, ZygoteSocket};

/// Why a zygote stops.
#[derive(Debug, thiserror::Error)]
pub enum ZygoteError {
    /// It was not started by a spawner.
    #[error("find the spawner's socket")]
    Socket(#[source] io::Error),
    /// It could not be bound to its parent's life.
    #[error("ask to die with the supervisor")]
    ParentDeath(#[source] io::Error),
    /// A wall that hosts inherit could not be raised.
    #[error("pre-set the walls that hosts inherit")]
    Walls(#[source] LockdownError),
    /// The socket failed, or carried what no spawner says.
    #[error("talk with the spawner")]
    Talk(#[source] io::Error),
    /// A new host could not arrange its session, signals and descriptors.
    #[error("become a host")]
    Become(#[source] io::Error),
}

/// What a zygote's main function goes on with.
enum Turn {
    /// It is a new host.
    Host(UnixStream),
    /// The supervisor is gone, or wants no zygote any more.
    End,
}

/// Serves forks until the supervisor closes the socket; in each child, becomes `host` with its channel.
pub fn run(host: impl FnOnce(UnixStream) -> ExitCode) -> ExitCode {
    match serve() {
        Ok(Turn::Host(channel)) => host(channel),
        Ok(Turn::End) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            eprintln!("zygote: failed to {error}: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<Turn, ZygoteError> {
    let socket = ZygoteSocket::inherited().map_err(ZygoteError::Socket)?;
    clone::die_with_parent().map_err(ZygoteError::ParentDeath)?;
    preset_walls().map_err(ZygoteError::Walls)?;
    // A supervisor that died before `die_with_parent` has closed its end: this fails, or the first read finds the end.
    reply(&socket, ZygoteReply::Ready, &[]).map_err(ZygoteError::Talk)?;
    loop {
        let Some(fds) = request(&socket).map_err(ZygoteError::Talk)? else { return Ok(Turn::End) };
        if let Err(Threads(threads)) = single_threaded(Path::new(TASKS)) {
            reply(&socket, ZygoteReply::Refused { threads, names: String::new() }, &[]).map_err(ZygoteError::Talk)?;
            continue;
        }
        match clone::fork_sibling() {
            Ok(Forked::Child) => return become_host(fds),
            Ok(Forked::Zygote { pid, pidfd }) => reply(&socket, ZygoteReply::Forked { pid }, &[&pidfd]),
            Err(error) => reply(&socket, ZygoteReply::Failed { errno: error.raw_os_error().unwrap_or(0) }, &[]),
        }
        .map_err(ZygoteError::Talk)?;
    }
}

/// What every host inherits from here for nothing: `RLIMIT_CORE` 0, `no_new_privs` and the inherited part of the filter
/// (decision W4). Its children tell [`crate::lockdown::apply`] that they have them.
fn preset_walls() -> Result<(), LockdownError> {
    crate::lockdown::preset_zygote()
}

fn become_host([channel, stdout, stderr]: [OwnedFd; FORK_FDS]) -> Result<Turn, ZygoteError> {
    clone::become_host(channel, stdout, stderr).map(Turn::Host).map_err(ZygoteError::Become)
}

/// The descriptors of the next host; `None` at the end of the socket.
fn request(socket: &ZygoteSocket) -> io::Result<Option<[OwnedFd; FORK_FDS]>> {
    let mut bytes = [0; MESSAGE_BYTES + 1];
    let mut received = Vec::with_capacity(FORK_FDS);
    let count = loop {
        match fds::receive(socket, &mut bytes, &mut received) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            result => break result?,
        }
    };
    if count == 0 {
        return Ok(None);
    }
    ZygoteFork::decode(&bytes[..count])?;
    let wrong = |fds: Vec<OwnedFd>| io::Error::new(io::ErrorKind::InvalidData, format!("{} descriptors", fds.len()));
    <[OwnedFd; FORK_FDS]>::try_from(received).map(Some).map_err(wrong)
}

fn reply(socket: &ZygoteSocket, reply: ZygoteReply, with: &[&OwnedFd]) -> io::Result<()> {
    let with: Vec<_> = with.iter().map(|fd| fd.as_fd()).collect();
    fds::send(socket, &reply.encode(), &with).map(|_| ())
}

/// Where the kernel lists this process's threads.
const TASKS: &str = "/proc/self/task";

/// How many threads there are, when there is not exactly one (0: they could not be counted).
#[derive(Debug, PartialEq, Eq)]
struct Threads(i32);

fn single_threaded(tasks: &Path) -> Result<(), Threads> {
    let count = std::fs::read_dir(tasks).map_or(0, |entries| entries.take(1024).count());
    if count == 1 { Ok(()) } else { Err(Threads(count as i32)) }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_process_with_a_second_thread_is_refused() {
        let (end, ended) = mpsc::channel::<()>();
        let second = std::thread::spawn(move || ended.recv());
        match single_threaded(Path::new(TASKS)) {
            Err(Threads(threads)) => assert!(threads >= 2, "{threads} threads"),
            Ok(()) => panic!("two threads passed for one"),
        }
        drop(end);
        assert!(second.join().unwrap().is_err());
    }

    #[test]
    fn one_thread_passes_and_what_cannot_be_counted_is_refused() {
        let pid_of_one = tempdir_with_one_entry();
        assert_eq!(single_threaded(&pid_of_one), Ok(()));
        std::fs::remove_dir_all(&pid_of_one).unwrap();
        assert_eq!(single_threaded(&pid_of_one), Err(Threads(0)));
    }

    fn tempdir_with_one_entry() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("openrtc-zygote-{}", std::process::id()));
        std::fs::create_dir_all(path.join("1")).unwrap();
        path
    }
}
