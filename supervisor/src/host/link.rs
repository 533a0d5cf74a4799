//! One host's channel: bytes in and out, checked, stamped and bounded.
//!
//! Owns: framing, deadlines, phase and lane checks of what a host says, and the queue of what it is told. Never: waits
//! for a host to read, receives descriptors, or lets a report through that its phase does not permit.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::{Buf, Bytes};
use openrtc_ipc::{Command, FrameReader, Phase, Report, WireError, encode_command, fds, permitted};
use openrtc_policy::bounds::{COMMANDS_QUEUED_MAX, FRAME_DEADLINE_MS};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

/// Bytes taken from the socket at a time, at first: an idle host costs the supervisor no more than this.
const READ_BYTES_MIN: usize = 2 * 1024;
/// Bytes taken from the socket at a time, once a host is busy: a whole ordinary frame.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Longest wait until a host has taken what it was sent, before it counts as not reading.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Why a channel can no longer be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// The host closed it.
    #[error("host closed its channel")]
    Closed,
    /// The socket failed.
    #[error("host's channel failed")]
    Io(#[source] io::Error),
    /// The host broke the protocol; `kind` is the stable name in `protocol_violation{kind}`.
    #[error("host broke the protocol: {kind}")]
    Violation {
        /// `malformed`, `oversized`, `phase`, `slow`, `not_reading`, `ownership`, `version`.
        kind: &'static str,
    },
}

impl From<WireError> for LinkFault {
    fn from(error: WireError) -> Self {
        let kind = match error {
            WireError::Oversized { .. } => "oversized",
            WireError::UnknownLane { .. } | WireError::WrongLane => "lane",
            WireError::Malformed { .. } => "malformed",
            WireError::Trailing { .. } => "trailing",
            WireError::Encode { .. } => "encode",
        };
        Self::Violation { kind }
    }
}

/// A frame on its way out, perhaps with descriptors.
#[derive(Debug)]
struct Outgoing {
    bytes: Bytes,
    fds: Vec<OwnedFd>,
}

/// One host's channel.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    reader: FrameReader,
    read_bytes: usize,
    partial_since: Option<Instant>,
    outgoing: VecDeque<Outgoing>,
    stalled_since: Option<Instant>,
    /// How far the host has come.
    pub phase: Phase,
}

impl Link {
    /// Takes over the supervisor's end of a newborn's channel.
    pub fn new(socket: std::os::unix::net::UnixStream) -> Result<Self, LinkFault> {
        socket.set_nonblocking(true).map_err(LinkFault::Io)?;
        Ok(Self {
            socket: UnixStream::from_std(socket).map_err(LinkFault::Io)?,
            reader: FrameReader::new(),
            read_bytes: READ_BYTES_MIN,
            partial_since: None,
            outgoing: VecDeque::new(),
            stalled_since: None,
            phase: Phase::Born,
        })
    }

    /// Queues a command, and the descriptors that it announces.
    pub fn command(&mut self, command: &Command, fds: Vec<OwnedFd>) -> Result<(), LinkFault> {
        if self.outgoing.len() >= COMMANDS_QUEUED_MAX {
            return Err(LinkFault::Violation { kind: "not_reading" });
        }
        self.outgoing.push_back(Outgoing { bytes: encode_command(command)?, fds });
        self.stalled_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Whether another command would find room.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < COMMANDS_QUEUED_MAX
    }

    /// The next report that its phase permits, sending what is queued meanwhile.
    ///
    /// Cancel safe: nothing read is lost and nothing is sent twice when the future is dropped.
    pub async fn report(&mut self) -> Result<Report, LinkFault> {
        loop {
            if let Some(report) = self.reader.next_report()? {
                self.partial_since = None;
                if !permitted(self.phase, &report) {
                    return Err(LinkFault::Violation { kind: "phase" });
                }
                return Ok(report);
            }
            if self.reader.is_partial() {
                self.partial_since.get_or_insert_with(Instant::now);
            }
            self.exchange().await?;
        }
    }

    /// Reads and writes once, as far as either is possible, or finds that a deadline has passed.
    async fn exchange(&mut self) -> Result<(), LinkFault> {
        let slow = self.partial_since.map(|since| since + Duration::from_millis(FRAME_DEADLINE_MS));
        let stuck = self.stalled_since.map(|since| since + WRITE_DEADLINE);
        let interest =
            if self.outgoing.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = tokio::select! {
            ready = self.socket.ready(interest) => ready.map_err(LinkFault::Io)?,
            () = passed(slow) => return Err(LinkFault::Violation { kind: "slow" }),
            () = passed(stuck) => return Err(LinkFault::Violation { kind: "not_reading" }),
        };
        if ready.is_writable() {
            self.flush()?;
        }
        if ready.is_readable() { self.fill() } else { Ok(()) }
    }

    /// Reads what is there. Plain `read` drops descriptors that a host might push (scenario 23).
    fn fill(&mut self) -> Result<(), LinkFault> {
        let buffer = self.reader.buffer_mut();
        buffer.reserve(self.read_bytes);
        match self.socket.try_read_buf(buffer) {
            Ok(0) => Err(LinkFault::Closed),
            Ok(count) if count >= self.read_bytes => {
                self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(LinkFault::Closed),
            Err(error) => Err(LinkFault::Io(error)),
        }
    }

    /// Sends as much as the socket takes.
    fn flush(&mut self) -> Result<(), LinkFault> {
        while let Some(front) = self.outgoing.front_mut() {
            let fds: Vec<_> = front.fds.iter().map(AsFd::as_fd).collect();
            let sent = self.socket.try_io(Interest::WRITABLE, || fds::send(self.socket.as_fd(), &front.bytes, &fds));
            match sent {
                Ok(count) => {
                    front.fds.clear();
                    front.bytes.advance(count);
                    self.stalled_since = Some(Instant::now());
                    if front.bytes.is_empty() {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    return Err(LinkFault::Closed);
                }
                Err(error) => return Err(LinkFault::Io(error)),
            }
        }
        self.stalled_since = None;
        Ok(())
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
