//! The asynchronous continuation of a host's channel: commands and descriptors in, bounded reports out.
//!
//! Owns: the socket after boot, and whose turn it is to write. Never: drops a report about a session's life, or waits
//! for the supervisor to read.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use openrtc_ipc::blocking::{Channel, ChannelError};
use openrtc_ipc::{Command, Report, WireError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::incoming::Incoming;
use crate::outgoing::{Outgoing, REPORT_BYTES_QUEUED_MAX};

/// Both directions of a channel. Needs a runtime.
pub(crate) fn split(channel: Channel) -> io::Result<(Inbox, Outbox)> {
    let (socket, reader, fds) = channel.into_parts();
    socket.set_nonblocking(true)?;
    let socket = Rc::new(UnixStream::from_std(socket)?);
    let inbox = Inbox { socket: Rc::clone(&socket), incoming: Incoming::new(reader, fds) };
    let queue = Queue { socket, outgoing: RefCell::default(), filled: Notify::new(), emptied: Notify::new() };
    Ok((inbox, Outbox(Rc::new(queue))))
}

/// Commands, as they come.
#[derive(Debug)]
pub(crate) struct Inbox {
    socket: Rc<UnixStream>,
    incoming: Incoming,
}

impl Inbox {
    /// The next command. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Command, ChannelError> {
        loop {
            if let Some(command) = self.incoming.next_command()? {
                return Ok(command);
            }
            let Self { socket, incoming } = self;
            if socket.async_io(Interest::READABLE, || incoming.receive(&**socket)).await? == 0 {
                return Err(ChannelError::Closed);
            }
        }
    }

    /// The descriptor that came with the oldest command that announced one.
    pub(crate) fn take_fd(&mut self) -> Option<OwnedFd> {
        self.incoming.take_fd()
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
    outgoing: RefCell<Outgoing>,
    filled: Notify,
    emptied: Notify,
}

impl Outbox {
    /// Queues a report that is never dropped: about a session's life, or the answer to a ping.
    pub(crate) fn report(&self, report: &Report) -> Result<(), WireError> {
        self.0.outgoing.borrow_mut().report(report)?;
        self.0.filled.notify_one();
        Ok(())
    }

    /// Queues an event or a log line; when the queue is full it is dropped and counted, and the answer is no.
    pub(crate) fn offer(&self, report: &Report) -> Result<bool, WireError> {
        let taken = self.0.outgoing.borrow_mut().offer(report)?;
        if taken {
            self.0.filled.notify_one();
        }
        Ok(taken)
    }

    /// Events dropped since the start.
    pub(crate) fn events_dropped(&self) -> u64 {
        self.0.outgoing.borrow().events_dropped()
    }

    /// Writes what the socket takes at once. For answers that should not wait for the writer's turn.
    pub(crate) fn write_now(&self) -> io::Result<()> {
        let Queue { socket, outgoing, emptied, .. } = &*self.0;
        outgoing.borrow_mut().write_with(|slices| socket.try_write_vectored(slices))?;
        emptied.notify_waiters();
        Ok(())
    }

    /// Writes for ever; ends only when reports can no longer be sent.
    pub(crate) async fn write(&self) -> OutboxError {
        loop {
            if self.0.outgoing.borrow().is_overfull() {
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
        while !self.0.outgoing.borrow().is_empty() {
            self.0.emptied.notified().await;
        }
    }
}
