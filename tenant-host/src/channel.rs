//! The asynchronous continuation of a host's channel: commands and descriptors in, bounded reports out.
//!
//! Owns: the socket after boot, the queue of reports and the count of events dropped. Never: drops a report about a
//! session's life, or waits for the supervisor to read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::{Command, FrameReader, Report, WireError, encode_report, fds};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Bytes of reports that wait before events are dropped and counted.
const EVENT_BYTES_QUEUED_MAX: usize = 1024 * 1024;
/// Bytes of reports that wait before the host gives up on a supervisor that does not read. A report about a session's
/// life takes a few kilobytes at most, so thousands of them must wait to reach this.
const REPORT_BYTES_QUEUED_MAX: usize = 8 * 1024 * 1024;
/// Bytes gathered into one write.
const WRITE_BYTES: usize = 64 * 1024;
/// Frames gathered into one write.
const WRITE_FRAMES: usize = 64;
/// Bytes asked for in one read: a ping is a dozen, a session's start rarely more than a few thousand.
const READ_BYTES: usize = 4 * 1024;
/// Descriptors that may wait for the session that they belong to.
const FDS_WAITING_MAX: usize = 64;

/// Both directions of a channel. Needs a runtime.
pub(crate) fn split(channel: Channel) -> io::Result<(Inbox, Outbox)> {
    let (socket, reader, fds) = channel.into_parts();
    socket.set_nonblocking(true)?;
    let socket = Rc::new(UnixStream::from_std(socket)?);
    let buffer = vec![0; READ_BYTES].into_boxed_slice();
    let inbox = Inbox { socket: Rc::clone(&socket), reader, fds, received: Vec::new(), buffer };
    let queue = Queue {
        socket,
        frames: RefCell::default(),
        bytes: Cell::new(0),
        events_dropped: Cell::new(0),
        filled: Notify::new(),
        emptied: Notify::new(),
    };
    Ok((inbox, Outbox(Rc::new(queue))))
}

/// Commands, as they come.
#[derive(Debug)]
pub(crate) struct Inbox {
    socket: Rc<UnixStream>,
    reader: FrameReader,
    fds: VecDeque<OwnedFd>,
    received: Vec<OwnedFd>,
    buffer: Box<[u8]>,
}

impl Inbox {
    /// The next command. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Command, ChannelError> {
        loop {
            if let Some(command) = self.reader.next_command()? {
                return Ok(command);
            }
            let Self { socket, buffer, received, .. } = self;
            let count = socket.async_io(Interest::READABLE, || fds::receive(&**socket, buffer, received)).await?;
            if count == 0 {
                return Err(ChannelError::Closed);
            }
            self.reader.push(&self.buffer[..count]);
            self.fds.extend(self.received.drain(..));
            if self.fds.len() > FDS_WAITING_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors without sessions").into());
            }
        }
    }

    /// The descriptor that came with the oldest command that announced one.
    pub(crate) fn take_fd(&mut self) -> Option<OwnedFd> {
        self.fds.pop_front()
    }
}

/// Why reports can no longer be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    /// The socket failed.
    #[error("write reports")]
    Io(#[from] io::Error),
    /// The supervisor has not read for so long that reports about sessions pile up.
    #[error("hold more than {bytes_max} bytes of reports that the supervisor does not read")]
    NotRead {
        /// The bound.
        bytes_max: usize,
    },
}

/// Reports on their way out. Cloning gives another handle on the same queue.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Rc<Queue>);

#[derive(Debug)]
struct Queue {
    socket: Rc<UnixStream>,
    frames: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    events_dropped: Cell<u64>,
    filled: Notify,
    emptied: Notify,
}

impl Outbox {
    /// Queues a report that is never dropped: about a session's life, or the answer to a ping.
    pub(crate) fn report(&self, report: &Report) -> Result<(), WireError> {
        self.push(encode_report(report)?);
        Ok(())
    }

    /// Queues an event or a log line; when the queue is full it is dropped and counted, and the answer is no.
    pub(crate) fn offer(&self, report: &Report) -> Result<bool, WireError> {
        let frame = encode_report(report)?;
        if self.0.bytes.get() + frame.len() > EVENT_BYTES_QUEUED_MAX {
            self.0.events_dropped.set(self.0.events_dropped.get() + 1);
            return Ok(false);
        }
        self.push(frame);
        Ok(true)
    }

    /// Events dropped since the start.
    pub(crate) fn events_dropped(&self) -> u64 {
        self.0.events_dropped.get()
    }

    fn push(&self, frame: Bytes) {
        self.0.bytes.set(self.0.bytes.get() + frame.len());
        self.0.frames.borrow_mut().push_back(frame);
        self.0.filled.notify_one();
    }

    /// Writes what the socket takes at once. For answers that should not wait for the writer's turn.
    pub(crate) fn write_now(&self) -> io::Result<()> {
        loop {
            let written = {
                let frames = self.0.frames.borrow();
                if frames.is_empty() {
                    self.0.emptied.notify_waiters();
                    return Ok(());
                }
                let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
                let (mut count, mut bytes) = (0, 0);
                for frame in frames.iter().take(WRITE_FRAMES) {
                    bytes += frame.len();
                    if count > 0 && bytes > WRITE_BYTES {
                        break;
                    }
                    slices[count] = IoSlice::new(frame);
                    count += 1;
                }
                self.0.socket.try_write_vectored(&slices[..count])?
            };
            self.consume(written);
        }
    }

    fn consume(&self, mut written: usize) {
        self.0.bytes.set(self.0.bytes.get() - written);
        let mut frames = self.0.frames.borrow_mut();
        while written > 0 {
            let Some(front) = frames.front_mut() else { return };
            let taken = written.min(front.len());
            front.advance(taken);
            written -= taken;
            if front.is_empty() {
                frames.pop_front();
            }
        }
        if frames.is_empty() {
            frames.shrink_to(WRITE_FRAMES);
        }
    }

    /// Writes for ever; ends only when reports can no longer be sent.
    pub(crate) async fn write(&self) -> OutboxError {
        loop {
            if self.0.bytes.get() > REPORT_BYTES_QUEUED_MAX {
                return OutboxError::NotRead { bytes_max: REPORT_BYTES_QUEUED_MAX };
            }
            let waited = match self.write_now() {
                Ok(()) => {
                    self.0.filled.notified().await;
                    Ok(())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                    ready = self.0.socket.writable() => ready,
                    () = self.0.filled.notified() => Ok(()),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = waited {
                return error.into();
            }
        }
    }

    /// Waits until everything queued is written; somebody else must be writing.
    pub(crate) async fn flushed(&self) {
        while !self.0.frames.borrow().is_empty() {
            self.0.emptied.notified().await;
        }
    }
}
