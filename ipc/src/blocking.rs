//! The blocking end of a channel, for the child before it has a runtime, and for zygotes.
//!
//! Owns: one socket, its partial frame and the descriptors received. Never: used by the supervisor.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::codec::{WireError, encode_report};
use crate::command::Command;
use crate::fds;
use crate::frame::FrameReader;
use crate::report::Report;

/// Bytes asked for in one read: few, because they lie on the stack of every host, which keeps what it once touched.
const READ_BYTES: usize = 4 * 1024;

/// Why a channel gave no command.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The supervisor is gone.
    #[error("channel closed")]
    Closed,
    /// The socket failed.
    #[error("channel failed")]
    Io(#[from] io::Error),
    /// The bytes are no command.
    #[error("channel carried no command")]
    Wire(#[from] WireError),
}

/// A host's end of its channel.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    reader: FrameReader,
    fds: VecDeque<OwnedFd>,
}

impl Channel {
    /// Takes over the socket, which must block.
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, reader: FrameReader::new(), fds: VecDeque::new() }
    }

    /// Sends one report, waiting until it is taken.
    pub fn report(&mut self, report: &Report) -> Result<(), ChannelError> {
        self.socket.write_all(&encode_report(report)?)?;
        Ok(())
    }

    /// Waits for one command.
    pub fn command(&mut self) -> Result<Command, ChannelError> {
        let mut bytes = [0; READ_BYTES];
        let mut received = Vec::new();
        loop {
            if let Some(command) = self.reader.next_command()? {
                return Ok(command);
            }
            match fds::receive(self.socket.as_fd(), &mut bytes, &mut received) {
                Ok(0) => return Err(ChannelError::Closed),
                Ok(count) => self.reader.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            self.fds.extend(received.drain(..));
        }
    }

    /// The descriptors that came and were not taken yet, in their order.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        self.fds.drain(..).collect()
    }

    /// Leaves the socket open over an exec, as this descriptor, for the program that comes next. Fails when something
    /// was read that the program would then miss.
    pub fn hand_over(&self, fd: RawFd) -> io::Result<()> {
        if self.reader.is_partial() || !self.fds.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "commands came before the program was started"));
        }
        if self.socket.as_raw_fd() != fd {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the channel is on another descriptor"));
        }
        Ok(rustix::io::fcntl_setfd(&self.socket, rustix::io::FdFlags::empty())?)
    }

    /// The socket, what was read of a frame so far, and descriptors not yet taken: to go on asynchronously.
    pub fn into_parts(self) -> (UnixStream, FrameReader, VecDeque<OwnedFd>) {
        (self.socket, self.reader, self.fds)
    }
}
