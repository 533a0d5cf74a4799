//! A record as a line, and its hash.
//!
//! Owns: the form of a line. The hash is SHA-256 over the line's own bytes up to `, "hash"`, so that whoever checks it
//! needs no rules of how JSON is written. Never: writes.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::telemetry::json;

/// Bytes of one line; a longer one is no record.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
const BEFORE_HASH: &[u8] = b", \"hash\": \"";
const AFTER_HASH: &[u8] = b"\"}";
const HEX: usize = 64;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record of all follows.
    pub const NONE: Self = Self([0; 32]);

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From its 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != HEX || digits.iter().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a line says before its hash.
struct Unsealed<'a> {
    seq: u64,
    at_unix_ms: u64,
    version: Option<&'a str>,
    entry: &'a Entry,
    prev: Hash,
}

impl Serialize for Unsealed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.entry;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("timestamp", &(self.at_unix_ms as f64 / 1000.0))?;
        map.serialize_entry("event", entry.event)?;
        map.serialize_entry("actor", &entry.actor.to_string())?;
        map.serialize_entry("target", &entry.target)?;
        map.serialize_entry("result", entry.result)?;
        map.serialize_entry("version", &self.version)?;
        for (name, value) in &entry.extras {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("prev_hash", &self.prev.to_string())?;
        map.end()
    }
}

/// The line of a record, with its newline, and its hash.
pub(super) fn seal(
    seq: u64,
    at_unix_ms: u64,
    version: Option<&str>,
    entry: &Entry,
    prev: Hash,
) -> Result<(Vec<u8>, Hash), serde_json::Error> {
    let mut line = json::line(&Unsealed { seq, at_unix_ms, version, entry, prev })?;
    // Without `}` and the newline.
    line.truncate(line.len().saturating_sub(2));
    let hash = Hash::of(&line);
    line.extend_from_slice(BEFORE_HASH);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(AFTER_HASH);
    line.push(b'\n');
    Ok((line, hash))
}

/// What the chain needs to know of a line.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) seq: u64,
    pub(super) event: String,
    pub(super) prev: Hash,
    /// As the line says.
    pub(super) stated: Hash,
    /// As its bytes have it.
    pub(super) computed: Hash,
    /// Of an `audit.gap`: numbers that were used up and never written.
    pub(super) lost: u64,
    /// Of an `audit.gap`: the bytes of a line that was cut off, before it.
    pub(super) torn: Option<Hash>,
}

impl Read {
    /// Whether nobody touched the line by itself.
    pub(super) fn is_whole(&self) -> bool {
        self.stated == self.computed
    }
}

#[derive(Deserialize)]
struct Fields {
    seq: u64,
    event: String,
    prev_hash: String,
    #[serde(default)]
    lost: u64,
    torn_sha256: Option<String>,
}

/// Reads a line without its newline; `None`: it is no record.
pub(super) fn read(line: &[u8]) -> Option<Read> {
    let rest = line.strip_suffix(AFTER_HASH)?;
    let at = rest.len().checked_sub(HEX)?;
    let stated = Hash::parse(std::str::from_utf8(&rest[at..]).ok()?)?;
    let sealed = rest[..at].strip_suffix(BEFORE_HASH)?;
    let fields: Fields = serde_json::from_slice(line).ok()?;
    Some(Read {
        seq: fields.seq,
        event: fields.event,
        prev: Hash::parse(&fields.prev_hash)?,
        stated,
        computed: Hash::of(sealed),
        lost: fields.lost,
        torn: fields.torn_sha256.as_deref().and_then(Hash::parse),
    })
}
