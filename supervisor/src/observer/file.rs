//! The file behind an observer: whole rows, in order, kept while the disk is full.
//!
//! Owns: the rows not yet written. Never: blocks on a pipe, tears a row, or keeps more than
//! [`OBSERVER_FILE_BYTES_PENDING_MAX`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use openrtc_policy::bounds::OBSERVER_FILE_BYTES_PENDING_MAX;

use super::{ObserverError, Taken};

/// After a write that took nothing, the next is tried this much later.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// So much may gather before it is written without a flush.
const GATHERED_BYTES: usize = 64 * 1024;

/// What becomes of rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// They stay.
    Kept,
    /// They go.
    Truncated,
}

/// A file of rows.
#[derive(Debug)]
pub(super) struct RowFile {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
    dropped: u64,
    failed_at: Option<Instant>,
}

impl RowFile {
    /// Opens the file for its owner alone, and makes the directories above it.
    pub(super) fn open(path: PathBuf, existing: Existing) -> Result<Self, ObserverError> {
        match Self::prepare(&path, existing) {
            Ok((file, torn)) => {
                let pending = if torn { b"\n".to_vec() } else { Vec::new() };
                Ok(Self { path, file, pending, dropped: 0, failed_at: None })
            }
            Err(source) => Err(ObserverError::Open { path, source }),
        }
    }

    fn prepare(path: &std::path::Path, existing: Existing) -> io::Result<(File, bool)> {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        let mut options = OpenOptions::new();
        // A named pipe must not make us wait for its reader.
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Ok((file, false));
        }
        match existing {
            Existing::Truncated => file.set_len(0).map(|()| (file, false)),
            Existing::Kept => Ok((file, ends_torn(path))),
        }
    }

    /// Takes one row, with its newline.
    pub(super) fn push(&mut self, row: &[u8]) -> Taken {
        if self.pending.len() + row.len() > OBSERVER_FILE_BYTES_PENDING_MAX {
            self.dropped += 1;
        } else {
            self.pending.extend_from_slice(row);
        }
        if self.pending.len() >= GATHERED_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is pending. After one that took nothing it does so again only after a moment.
    pub(super) fn flush(&mut self) -> Taken {
        if self.failed_at.is_some_and(|failed_at| failed_at.elapsed() < RETRY_AFTER) {
            return Ok(());
        }
        self.write_out()
    }

    /// Writes what is pending, now.
    pub(super) fn write_out(&mut self) -> Taken {
        let mut written = 0;
        let mut result = Ok(());
        while written < self.pending.len() && result.is_ok() {
            match self.file.write(&self.pending[written..]) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        // What was taken is gone for good, so that a row that was cut off goes on where it stopped.
        self.pending.drain(..written);
        self.failed_at = (result.is_err() && written == 0).then(Instant::now);
        result.map_err(|source| ObserverError::Write { path: self.path.clone(), source })
    }

    /// How many rows were lost since the last call, once there is room again to say so.
    pub(super) fn take_dropped(&mut self) -> Option<u64> {
        (self.dropped > 0 && self.pending.is_empty()).then(|| std::mem::take(&mut self.dropped))
    }
}

/// Whether the last row has no newline: its writer was killed.
fn ends_torn(path: &std::path::Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(last[0])
    };
    // A file that we may write and not read is taken to be whole.
    last().is_ok_and(|last| last != b'\n')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_torn_last_row_is_ended_and_rows_before_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/rows.jsonl");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\"a\": 1}\n{\"b\"").unwrap();
        let mut rows = RowFile::open(path.clone(), Existing::Kept).unwrap();
        rows.push(b"{}\n").unwrap();
        rows.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 1}\n{\"b\"\n{}\n");
        RowFile::open(path.clone(), Existing::Truncated).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/rows.jsonl");
        RowFile::open(path.clone(), Existing::Kept).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_keeps_rows_up_to_the_bound_and_counts_the_rest() {
        let mut rows = RowFile::open("/dev/full".into(), Existing::Kept).unwrap();
        let row = [b'x'; 1024];
        let failures = (0..8192).filter(|_| rows.push(&row).is_err()).count();
        assert!(failures >= 1, "the first write fails and says so");
        assert_eq!(rows.pending.len(), OBSERVER_FILE_BYTES_PENDING_MAX);
        assert_eq!(rows.dropped, 4096);
        assert!(rows.take_dropped().is_none(), "no room yet to say it");
        assert!(rows.write_out().is_err());
    }

    #[test]
    fn when_there_is_room_again_rows_go_on_where_they_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both, so that opening does not wait for the other end.
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut rows = RowFile::open(path, Existing::Kept).unwrap();
        let row = format!("{}\n", "r".repeat(999));
        let pushed = 200;
        for _ in 0..pushed {
            // The pipe takes 64 KiB and then nothing.
            let _ = rows.push(row.as_bytes());
        }
        assert!(rows.write_out().is_err() && !rows.pending.is_empty());
        let mut read = vec![0; pushed * row.len()];
        let mut have = 0;
        while have < read.len() {
            have += reader.read(&mut read[have..]).unwrap();
            let _ = rows.write_out();
        }
        assert_eq!(read, row.repeat(pushed).as_bytes());
    }
}
