//! Reports on their way out: a bounded queue without I/O.
//!
//! Owns: the queue, its two bounds and the count of events dropped. Never: drops a report about a session's life, or
//! waits for the supervisor to read; whoever drives it writes what the socket takes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use openrtc_ipc::{Report, WireError, encode_report};

/// Bytes of reports that wait before events are dropped and counted.
pub const EVENT_BYTES_QUEUED_MAX: usize = 1024 * 1024;
/// Bytes of reports that wait before the host gives up on a supervisor that does not read. A report about a session's
/// life takes a few kilobytes at most, so thousands of them must wait to reach this.
pub const REPORT_BYTES_QUEUED_MAX: usize = 8 * 1024 * 1024;
/// Bytes gathered into one write.
const WRITE_BYTES: usize = 64 * 1024;
/// Frames gathered into one write.
const WRITE_FRAMES: usize = 64;

/// The outgoing half of a channel.
#[derive(Debug, Default)]
pub struct Outgoing {
    frames: VecDeque<Bytes>,
    bytes: usize,
    events_dropped: u64,
}

impl Outgoing {
    /// Queues a report that is never dropped: about a session's life, or the answer to a ping.
    pub fn report(&mut self, report: &Report) -> Result<(), WireError> {
        self.push(encode_report(report)?);
        Ok(())
    }

    /// Queues an event or a log line; when the queue is full it is dropped and counted, and the answer is no.
    pub fn offer(&mut self, report: &Report) -> Result<bool, WireError> {
        let frame = encode_report(report)?;
        if self.bytes + frame.len() > EVENT_BYTES_QUEUED_MAX {
            self.events_dropped += 1;
            return Ok(false);
        }
        self.push(frame);
        Ok(true)
    }

    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Events dropped since the start.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether more waits than [`REPORT_BYTES_QUEUED_MAX`]: the supervisor does not read, and the host should give up.
    pub fn is_overfull(&self) -> bool {
        self.bytes > REPORT_BYTES_QUEUED_MAX
    }

    /// Hands everything to `write`, which gives the bytes that it took, until nothing waits or it fails; a non-blocking
    /// socket that is full fails with `WouldBlock`.
    pub fn write_with(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            let (mut count, mut bytes) = (0, 0);
            for frame in self.frames.iter().take(WRITE_FRAMES) {
                bytes += frame.len();
                if count > 0 && bytes > WRITE_BYTES {
                    break;
                }
                slices[count] = IoSlice::new(frame);
                count += 1;
            }
            let written = write(&slices[..count])?;
            self.consume(written);
        }
        Ok(())
    }

    fn consume(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0 {
            let Some(front) = self.frames.front_mut() else { return };
            let taken = written.min(front.len());
            front.advance(taken);
            written -= taken;
            if front.is_empty() {
                self.frames.pop_front();
            }
        }
        if self.frames.is_empty() {
            self.frames.shrink_to(WRITE_FRAMES);
        }
    }
}

#[cfg(test)]
mod tests {
    use openrtc_ipc::LogLevel;

    use super::*;

    fn line() -> Report {
        Report::Log { level: LogLevel::Info, message: "x".repeat(16 * 1024) }
    }

    #[test]
    fn events_are_dropped_and_counted_long_before_a_report_is_refused() {
        let mut outgoing = Outgoing::default();
        while outgoing.offer(&line()).unwrap() {}
        assert_eq!(outgoing.events_dropped(), 1);
        assert!(!outgoing.is_overfull());
        outgoing.report(&Report::Pong { nonce: 1 }).unwrap();
        while !outgoing.is_overfull() {
            outgoing.report(&line()).unwrap();
        }
        assert!(!outgoing.offer(&line()).unwrap());
        assert_eq!(outgoing.events_dropped(), 2);
    }

    #[test]
    fn what_a_socket_takes_in_pieces_comes_out_whole() {
        let mut outgoing = Outgoing::default();
        let mut expected = Vec::new();
        for nonce in 0..200 {
            outgoing.report(&Report::Pong { nonce }).unwrap();
            expected.extend_from_slice(&encode_report(&Report::Pong { nonce }).unwrap());
        }
        let (mut written, mut turn) = (Vec::new(), 0);
        while !outgoing.is_empty() {
            let result = outgoing.write_with(|slices| {
                turn += 1;
                if turn % 3 == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).take(7).collect();
                written.extend_from_slice(&bytes);
                Ok(bytes.len())
            });
            assert!(result.is_ok() == outgoing.is_empty());
        }
        assert_eq!(written, expected);
    }
}
