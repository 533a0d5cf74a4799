//! A spawner's end of a zygote's socket, for tests that drive the real program.
//!
//! Owns: one zygote process and its socket. Never: waits without a deadline.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use openrtc_ipc::zygote::MESSAGE_BYTES_MAX;
use openrtc_ipc::{Need, ZygoteFork, ZygoteReply, fds};

use crate::supervisor::{DEADLINE, exec};

/// A zygote and our end of its socket. Dropping it kills the process.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) socket: Option<OwnedFd>,
}

impl Spawned {
    /// Starts the host program with these arguments, a spawner's socket on its descriptor 3.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let limit = TimeVal::seconds(DEADLINE.as_secs() as i64);
        setsockopt(&ours, sockopt::ReceiveTimeout, &limit).unwrap();
        Self { child: exec(arguments, theirs), socket: Some(ours) }
    }

    /// Its next answer, and the pidfd that came with it.
    pub(crate) fn answer(&self) -> (ZygoteReply, Option<OwnedFd>) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let mut received = Vec::new();
        let count = fds::receive(self.socket.as_ref().unwrap(), &mut bytes, &mut received).expect("an answer in time");
        (ZygoteReply::decode(&bytes[..count]).expect("an answer, not the end"), received.pop())
    }

    /// Asks for a host; gives its pid and our end of its channel.
    pub(crate) fn fork(&self) -> (i32, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let output = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let ends = [theirs.as_fd(), output.as_fd(), output.as_fd()];
        fds::send(self.socket.as_ref().unwrap(), &ZygoteFork { need: Need::Now }.encode(), &ends).unwrap();
        match self.answer() {
            (ZygoteReply::Forked { pid }, Some(_)) => (pid, ours),
            other => panic!("{other:?}"),
        }
    }

    /// What it wrote on standard error, to its end.
    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
