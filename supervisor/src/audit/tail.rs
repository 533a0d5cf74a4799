//! The end of a log as it was found.
//!
//! Owns: finding the last record. Never: reads more than the last lines, or changes anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record::{LINE_BYTES_MAX, Read, read as read_line};

/// Bytes that are looked at from the end: the longest line, and what may stand behind it.
const TAIL_BYTES: u64 = 2 * LINE_BYTES_MAX as u64;

/// How a log ends.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Bytes of the file.
    pub(super) length: u64,
    /// The last record.
    pub(super) last: Option<Read>,
    /// A last line without its newline.
    pub(super) torn: Vec<u8>,
    /// Whether lines that are no records stand behind the last one.
    pub(super) foreign: bool,
}

/// Looks at the end of a file.
pub(super) fn read(file: &File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
    file.read_exact_at(&mut bytes, from)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = bytes.split_off(whole);
    let mut tail = Tail { length, torn, ..Tail::default() };
    let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if lines.is_empty() {
        return Ok(tail);
    }
    for line in lines.rsplit(|byte| *byte == b'\n') {
        match read_line(line) {
            Some(record) => {
                tail.last = Some(record);
                break;
            }
            None => tail.foreign = true,
        }
    }
    Ok(tail)
}
