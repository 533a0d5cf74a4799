//! What arrives on a host's channel once it serves: bytes become commands, descriptors wait for theirs.
//!
//! Owns: the partial frame and the descriptors not yet taken. Never: waits; whoever drives it does, with tokio or with
//! asyncio (decision P10).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use openrtc_ipc::{Command, FrameReader, WireError, fds};

/// Bytes asked for in one read: a ping is a dozen, a session's start rarely more than a few thousand.
const READ_BYTES: usize = 4 * 1024;
/// Descriptors that may wait for the session that they belong to.
pub const FDS_WAITING_MAX: usize = 64;

/// The incoming half of a channel.
#[derive(Debug)]
pub struct Incoming {
    reader: FrameReader,
    fds: VecDeque<OwnedFd>,
    received: Vec<OwnedFd>,
    buffer: Box<[u8]>,
}

impl Incoming {
    /// Goes on with what a blocking channel had read (`Channel::into_parts`).
    pub fn new(reader: FrameReader, fds: VecDeque<OwnedFd>) -> Self {
        Self { reader, fds, received: Vec::new(), buffer: vec![0; READ_BYTES].into_boxed_slice() }
    }

    /// The next command that has come whole. Call until it gives `None` before receiving more.
    pub fn next_command(&mut self) -> Result<Option<Command>, WireError> {
        self.reader.next_command()
    }

    /// Reads once; gives the bytes read, 0 at the end of the channel. [`FDS_WAITING_MAX`] descriptors may wait.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let count = fds::receive(socket, &mut self.buffer, &mut self.received)?;
        self.reader.push(&self.buffer[..count]);
        self.fds.extend(self.received.drain(..));
        if self.fds.len() > FDS_WAITING_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors without sessions"));
        }
        Ok(count)
    }

    /// The descriptor that came with the oldest command that announced one.
    pub fn take_fd(&mut self) -> Option<OwnedFd> {
        self.fds.pop_front()
    }
}
