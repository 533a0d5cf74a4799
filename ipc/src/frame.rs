//! Frames without I/O: push bytes, take frames (decision P10).
//!
//! Owns: the header and its caps. Never: reserves what a header claims; a frame grows only as its bytes arrive.
//!
//! A frame is a four-byte header and a body. The header is, in little-endian order, three bytes of body length and one
//! byte of [`Lane`]. The lane sets the cap, so that a header alone is enough to refuse a frame.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::WireError;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 4;
/// Longest body on the ordinary lane: events, logs, life-cycle reports.
pub const ORDINARY_BYTES_MAX: usize = 64 * 1024;
/// Longest body of anything.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Which cap a frame is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// At most [`ORDINARY_BYTES_MAX`].
    Ordinary = 0,
    /// At most [`FRAME_BYTES_MAX`]: snapshots, configuration, session starts.
    Bulk = 1,
}

impl Lane {
    /// The longest body on this lane, in bytes.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Ordinary => ORDINARY_BYTES_MAX,
            Self::Bulk => FRAME_BYTES_MAX,
        }
    }
}

/// One whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its lane.
    pub lane: Lane,
    /// Its body.
    pub body: Bytes,
}

/// Builds a header. The body must fit its lane.
pub fn header(lane: Lane, body_bytes: usize) -> Result<[u8; HEADER_BYTES], WireError> {
    if body_bytes > lane.bytes_max() {
        return Err(WireError::Oversized { bytes: body_bytes, bytes_max: lane.bytes_max() });
    }
    let [a, b, c, _] = (body_bytes as u32).to_le_bytes();
    Ok([a, b, c, lane as u8])
}

/// Reads a header.
pub fn parse_header(header: [u8; HEADER_BYTES]) -> Result<(Lane, usize), WireError> {
    let [a, b, c, lane] = header;
    let bytes = u32::from_le_bytes([a, b, c, 0]) as usize;
    let lane = match lane {
        0 => Lane::Ordinary,
        1 => Lane::Bulk,
        lane => return Err(WireError::UnknownLane { lane }),
    };
    if bytes > lane.bytes_max() {
        return Err(WireError::Oversized { bytes, bytes_max: lane.bytes_max() });
    }
    Ok((lane, bytes))
}

/// Turns a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer itself, for readers that read straight into it.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether the beginning of a frame is held whose end has not come.
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame. Call until it gives `None` before pushing more.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some((lane, bytes)) = self.whole()? else { return Ok(None) };
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(Frame { lane, body: self.buffer.split_to(bytes).freeze() }))
    }

    /// What `read` makes of the next whole frame, which is then gone. The body is not copied, and no owner of it is made.
    pub(crate) fn next_with<M>(
        &mut self,
        read: impl FnOnce(Lane, &[u8]) -> Result<M, WireError>,
    ) -> Result<Option<M>, WireError> {
        let Some((lane, bytes)) = self.whole()? else { return Ok(None) };
        let message = read(lane, &self.buffer[HEADER_BYTES..HEADER_BYTES + bytes]);
        self.buffer.advance(HEADER_BYTES + bytes);
        message.map(Some)
    }

    /// Lane and length of the frame at the front, once all of it has come.
    fn whole(&self) -> Result<Option<(Lane, usize)>, WireError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (lane, bytes) = parse_header(*header)?;
        Ok((self.buffer.len() >= HEADER_BYTES + bytes).then_some((lane, bytes)))
    }
}
