//! The one file that names the codec: bincode 2.0.1 with serde, always under a limit.
//!
//! Owns: encoding, decoding and every way they fail. Never: allocates above the frame's cap, panics on any bytes, or
//! accepts bytes left over.
//!
//! The crate is unmaintained (RUSTSEC-2025-0141); `docs/decisions/` says why it is here and how to leave it.

use bincode::config::{Configuration, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::Command;
use crate::frame::{FRAME_BYTES_MAX, Frame, FrameReader, HEADER_BYTES, Lane, ORDINARY_BYTES_MAX, header};
use crate::report::Report;

/// What the decoder may read and reserve on the ordinary lane. The codec counts a number of one byte as eight, so this
/// is twice what a body may have; it then still refuses a text of more than so many bytes before it reserves any.
const ORDINARY_LIMIT: usize = 2 * ORDINARY_BYTES_MAX;
const ORDINARY: Limited<ORDINARY_LIMIT> = bincode::config::standard().with_limit::<ORDINARY_LIMIT>();
const BULK: Limited<FRAME_BYTES_MAX> = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();
type Limited<const BYTES: usize> = Configuration<LittleEndian, Varint, bincode::config::Limit<BYTES>>;

/// Bytes of [`WireError::Malformed`]'s detail. Longer: cut.
const DETAIL_BYTES_MAX: usize = 256;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A header claims, or a message needs, more than its lane allows.
    #[error("frame of {bytes} bytes is over the cap of {bytes_max}")]
    Oversized {
        /// Claimed.
        bytes: usize,
        /// Allowed.
        bytes_max: usize,
    },
    /// A header names no lane.
    #[error("frame on unknown lane {lane}")]
    UnknownLane {
        /// The lane byte.
        lane: u8,
    },
    /// A message came on the lane of another kind.
    #[error("message on the wrong lane")]
    WrongLane,
    /// The body is no message.
    #[error("body is no message: {detail}")]
    Malformed {
        /// What the decoder met.
        detail: String,
    },
    /// The body holds a message and more.
    #[error("{bytes} bytes left over after the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A message could not be written; only our own fault can cause it.
    #[error("encode a message: {detail}")]
    Encode {
        /// What the encoder met.
        detail: String,
    },
}

fn report_lane(report: &Report) -> Lane {
    match report {
        Report::Snapshot(_) => Lane::Bulk,
        _ => Lane::Ordinary,
    }
}

fn command_lane(command: &Command) -> Lane {
    match command {
        Command::Welcome(_) | Command::Proceed { .. } | Command::Configure(_) | Command::StartSession { .. } => {
            Lane::Bulk
        }
        Command::LeaveRoom { .. }
        | Command::EndSession { .. }
        | Command::Ping { .. }
        | Command::Drain
        | Command::Shutdown { .. } => Lane::Ordinary,
    }
}

/// The end of a buffer, as the encoder's writer. `std::io::Write` would cost a check and a loop for every number.
struct Tail<'buffer>(&'buffer mut BytesMut);

impl Writer for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends a whole frame to `buffer`; on failure the buffer is as it was.
fn encode(message: &impl Serialize, lane: Lane, buffer: &mut BytesMut) -> Result<(), WireError> {
    let start = buffer.len();
    buffer.put_bytes(0, HEADER_BYTES);
    let encoded = bincode::serde::encode_into_writer(message, Tail(buffer), BULK)
        .map_err(|error| WireError::Encode { detail: error.to_string() })
        .and_then(|()| header(lane, buffer.len() - start - HEADER_BYTES));
    match encoded {
        Ok(header) => {
            buffer[start..start + HEADER_BYTES].copy_from_slice(&header);
            Ok(())
        }
        Err(fault) => {
            buffer.truncate(start);
            Err(fault)
        }
    }
}

fn decode<M: DeserializeOwned>(lane: Lane, body: &[u8], lane_of: impl Fn(&M) -> Lane) -> Result<M, WireError> {
    let decoded = match lane {
        Lane::Ordinary => bincode::serde::decode_from_slice::<M, _>(body, ORDINARY),
        Lane::Bulk => bincode::serde::decode_from_slice::<M, _>(body, BULK),
    };
    let (message, used) = decoded.map_err(|error| WireError::Malformed { detail: detail(&error) })?;
    if used != body.len() {
        return Err(WireError::Trailing { bytes: body.len() - used });
    }
    if lane_of(&message) != lane {
        return Err(WireError::WrongLane);
    }
    Ok(message)
}

fn detail(error: &DecodeError) -> String {
    let mut detail = error.to_string();
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
    detail
}

/// Appends a report as a whole frame.
pub fn encode_report_into(report: &Report, buffer: &mut BytesMut) -> Result<(), WireError> {
    encode(report, report_lane(report), buffer)
}

/// A report as a whole frame.
pub fn encode_report(report: &Report) -> Result<Bytes, WireError> {
    let mut buffer = BytesMut::new();
    encode_report_into(report, &mut buffer)?;
    Ok(buffer.freeze())
}

/// A command as a whole frame.
pub fn encode_command(command: &Command) -> Result<Bytes, WireError> {
    let mut buffer = BytesMut::new();
    encode(command, command_lane(command), &mut buffer)?;
    Ok(buffer.freeze())
}

/// The report in a frame.
pub fn decode_report(frame: &Frame) -> Result<Report, WireError> {
    decode(frame.lane, &frame.body, report_lane)
}

/// The command in a frame.
pub fn decode_command(frame: &Frame) -> Result<Command, WireError> {
    decode(frame.lane, &frame.body, command_lane)
}

impl FrameReader {
    /// The next whole report, decoded where it lies. Call until it gives `None` before pushing more.
    pub fn next_report(&mut self) -> Result<Option<Report>, WireError> {
        self.next_with(|lane, body| decode(lane, body, report_lane))
    }

    /// The next whole command, likewise.
    pub fn next_command(&mut self) -> Result<Option<Command>, WireError> {
        self.next_with(|lane, body| decode(lane, body, command_lane))
    }
}
