//! The supervisor's last word on where its log ends, kept in the state directory.
//!
//! Owns: that file. Never: runs ahead of the log: it is written after the log was synced.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Hash;

/// Its name in the state directory.
pub const HEAD_FILE: &str = "audit.head";

/// Where a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log.
    pub path: PathBuf,
    /// Number of its last record.
    pub seq: u64,
    /// Hash of that record.
    pub hash: Hash,
    /// Numbers used up since by records that could not be written.
    pub lost: u64,
}

#[derive(Serialize, Deserialize)]
struct Form {
    path: PathBuf,
    seq: u64,
    hash: String,
    #[serde(default)]
    lost: u64,
}

impl Head {
    /// Reads one; `None` where there is none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let form: Form = serde_json::from_slice(&text)?;
        let hash = Hash::parse(&form.hash).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Some(Self { path: form.path, seq: form.seq, hash, lost: form.lost }))
    }

    /// Puts it in the place of the last one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let form = Form { path: self.path.clone(), seq: self.seq, hash: self.hash.to_string(), lost: self.lost };
        replace(path, &serde_json::to_vec(&form)?)
    }
}

/// Writes a file for its owner alone, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let written = options.open(&beside).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| fs::rename(&beside, path))
}
