//! The pre-warmed, single-threaded process that forks hosts as the supervisor's children.
//!
//! Owns: the check for one thread before each fork, and the zygote's half of `openrtc_ipc::zygote`. Never: holds a
//! tenant's secret or code, forks beside a second thread, or outlives the supervisor.
//!
//! ```text
//! exec ──walls pre-set──► warm-up ──► Ready ──Fork──► clone3 ──► Forked ──► (again)
//!                            └──► Unfit            └─ child: session, signals, descriptors ──► the host
//! end of the socket ──► exit
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use openrtc_ipc::zygote::{FORK_FDS, MESSAGE_BYTES};
use openrtc_ipc::{Need, ZygoteFork, ZygoteReply, fds};

use crate::lockdown::{self, LockdownError};
use crate::sys::clone::{self, Forked, ZygoteSocket};
use crate::threads;

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

/// What a language's runtime must do around a fork that it does not make itself. Nothing by default.
pub trait ForkHooks {
    /// Before the process is copied.
    fn before(&mut self) {}
    /// After it, in the zygote, whether there is a copy or not.
    fn after_in_zygote(&mut self) {}
    /// After it, first thing in the copy.
    fn after_in_child(&mut self) {}
}

/// The hooks of a program that needs none.
#[derive(Debug, Default)]
pub struct NoHooks;

impl ForkHooks for NoHooks {}

/// Serves forks until the supervisor closes the socket; in each child, becomes `host` with its channel.
pub fn run(host: impl FnOnce(UnixStream) -> ExitCode) -> ExitCode {
    let served = Zygote::inherited().and_then(|zygote| {
        zygote.prepare()?;
        zygote.serve(&mut NoHooks, 1)
    });
    match served {
        // There is nothing that a host of ours could do before it is needed.
        Ok(Some((channel, _))) => host(channel),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            eprintln!("zygote: failed to {error}: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// This process as a zygote: its end of the spawner's socket.
#[derive(Debug)]
pub struct Zygote {
    socket: ZygoteSocket,
}

impl Zygote {
    /// Finds the socket where a spawner leaves it.
    pub fn inherited() -> Result<Self, ZygoteError> {
        Ok(Self { socket: ZygoteSocket::inherited().map_err(ZygoteError::Socket)? })
    }

    /// Binds this process to the supervisor's life and raises what every host inherits from here for nothing:
    /// `RLIMIT_CORE` 0, `no_new_privs` and the inherited part of the filter (decision W4). Hosts tell
    /// [`crate::lockdown::apply`] that they have it.
    pub fn prepare(&self) -> Result<(), ZygoteError> {
        clone::die_with_parent().map_err(ZygoteError::ParentDeath)?;
        lockdown::preset_zygote().map_err(ZygoteError::Walls)
    }

    /// The same after an exec, over which all of that is kept: makes up for what is not there.
    pub fn resume(&self) -> Result<(), ZygoteError> {
        if lockdown::is_preset() {
            return clone::die_with_parent().map_err(ZygoteError::ParentDeath);
        }
        self.prepare()
    }

    /// Says that this process cannot become warm, for a person to read. It must exit then.
    pub fn unfit(&self, why: &str) -> Result<(), ZygoteError> {
        self.reply(&ZygoteReply::Unfit { why: why.to_owned() }, &[])
    }

    /// Says that it is warm, and forks on request. Comes back in each new host, with its channel and when it is needed; and
    /// with `None` when the supervisor is gone or wants no zygote any more.
    ///
    /// A fork is refused, with the threads' names, while there are more than `threads_max`. Only 1 is safe: whatever lock
    /// another thread holds at that moment stays held in the host for ever.
    pub fn serve(
        self,
        hooks: &mut impl ForkHooks,
        threads_max: usize,
    ) -> Result<Option<(UnixStream, Need)>, ZygoteError> {
        // A supervisor that died before `die_with_parent` has closed its end: this fails, or the first read finds the end.
        self.reply(&ZygoteReply::Ready, &[])?;
        loop {
            let Some((need, fds)) = self.request().map_err(ZygoteError::Talk)? else { return Ok(None) };
            if let Some(refused) = refusal(threads::names(), threads_max) {
                self.reply(&refused, &[])?;
                continue;
            }
            hooks.before();
            let forked = clone::fork_sibling();
            if let Ok(Forked::Child) = forked {
                hooks.after_in_child();
                let [channel, stdout, stderr] = fds;
                let channel = clone::become_host(channel, stdout, stderr).map_err(ZygoteError::Become)?;
                return Ok(Some((channel, need)));
            }
            hooks.after_in_zygote();
            match forked {
                Ok(Forked::Zygote { pid, pidfd }) => self.reply(&ZygoteReply::Forked { pid }, &[&pidfd])?,
                Ok(Forked::Child) => return Ok(None),
                Err(error) => {
                    self.reply(&ZygoteReply::Failed { errno: error.raw_os_error().unwrap_or(0) }, &[])?;
                }
            }
        }
    }

    /// When the next host is needed, and its descriptors; `None` at the end of the socket.
    fn request(&self) -> io::Result<Option<(Need, [OwnedFd; FORK_FDS])>> {
        let mut bytes = [0; MESSAGE_BYTES + 1];
        let mut received = Vec::with_capacity(FORK_FDS);
        let count = loop {
            match fds::receive(&self.socket, &mut bytes, &mut received) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                result => break result?,
            }
        };
        if count == 0 {
            return Ok(None);
        }
        let ZygoteFork { need } = ZygoteFork::decode(&bytes[..count])?;
        let wrong =
            |fds: Vec<OwnedFd>| io::Error::new(io::ErrorKind::InvalidData, format!("{} descriptors", fds.len()));
        <[OwnedFd; FORK_FDS]>::try_from(received).map(|fds| Some((need, fds))).map_err(wrong)
    }

    fn reply(&self, reply: &ZygoteReply, with: &[&OwnedFd]) -> Result<(), ZygoteError> {
        let with: Vec<_> = with.iter().map(|fd| fd.as_fd()).collect();
        fds::send(&self.socket, &reply.encode(), &with).map(|_| ()).map_err(ZygoteError::Talk)
    }
}

/// The answer to a request for a fork that must not be made; threads that could not be counted count as 0.
fn refusal(names: io::Result<Vec<String>>, threads_max: usize) -> Option<ZygoteReply> {
    let names = names.unwrap_or_default();
    if (1..=threads_max).contains(&names.len()) {
        return None;
    }
    let beside_main = names.get(1..).unwrap_or_default().join(", ");
    Some(ZygoteReply::Refused { threads: names.len() as i32, names: beside_main })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_process_with_a_second_thread_is_refused_with_that_threads_name() {
        let (end, ended) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let run = move || {
            started.send(()).unwrap();
            ended.recv()
        };
        let second = std::thread::Builder::new().name("tokenizer-pool".into()).spawn(run).unwrap();
        starts.recv().unwrap();
        match refusal(threads::names(), 1) {
            Some(ZygoteReply::Refused { threads, names }) => {
                assert!(threads >= 2, "{threads} threads");
                assert!(names.split(", ").any(|name| name == "tokenizer-pool"), "{names}");
            }
            other => panic!("two threads passed for one: {other:?}"),
        }
        drop(end);
        assert!(second.join().unwrap().is_err());
    }

    #[test]
    fn one_thread_passes_and_what_cannot_be_counted_is_refused() {
        let tasks = tempfile::tempdir().unwrap();
        thread(tasks.path(), 70, "python");
        assert_eq!(refusal(threads::names_in(tasks.path(), 70), 1), None);
        thread(tasks.path(), 9, "OpenBLAS");
        thread(tasks.path(), 71, "grpc");
        let refused = ZygoteReply::Refused { threads: 3, names: "OpenBLAS, grpc".into() };
        assert_eq!(refusal(threads::names_in(tasks.path(), 70), 1), Some(refused), "all but the main one, by name");
        let uncounted = ZygoteReply::Refused { threads: 0, names: String::new() };
        assert_eq!(refusal(threads::names_in(&tasks.path().join("missing"), 70), 1), Some(uncounted));
    }

    fn thread(tasks: &Path, id: u32, name: &str) {
        let dir = tasks.join(id.to_string());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("comm"), format!("{name}\n")).unwrap();
    }
}
