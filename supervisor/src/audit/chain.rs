//! The file: records appended one by one, each bound to the one before.
//!
//! Owns: the number and the hash of the last record, what was lost while the disk was full, and the head. Never: tears a
//! record without saying so in the next, or numbers two records alike.
//!
//! ```text
//! opened ─► writing ─ write fails ─► losing (numbers are used up, counted) ─ there is room ─► `audit.gap` ─► writing
//! ```

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::actor::Actor;
use super::entry::Entry;
use super::head::Head;
use super::record::{Hash, seal};
use super::tail::{self, Tail};
use crate::telemetry::unix_ms;

/// Why the log does not take a record.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// It could not be opened.
    #[error("audit.path: cannot open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else than a file.
    #[error("audit.path: {} is no regular file; name a file, which is made if it is not there", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("audit.path: {} is written by another supervisor; name one file for each", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("audit.path: {} does not end with a record of an audit log; name another file", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The file with the last known head cannot be read.
    #[error("read the head of the audit log, {}", path.display())]
    Head {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record was not written; its number is used up.
    #[error("write to the audit log {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Records were written and may not survive a power failure; or the head was not.
    #[error("sync the audit log: {}", path.display())]
    Sync {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record could not be written as JSON.
    #[error("write an audit record as JSON")]
    Json(#[from] serde_json::Error),
}

/// What was not written since the last record that was.
#[derive(Debug, Default)]
struct Loss {
    /// Numbers used up.
    lost: u64,
    /// A part of a line that stands in the file and could not be taken back.
    torn: Vec<u8>,
    why: String,
}

/// An open log.
#[derive(Debug)]
pub struct Chain {
    path: PathBuf,
    head_path: PathBuf,
    version: Option<String>,
    file: File,
    is_regular: bool,
    /// Bytes of it that are whole records.
    length: u64,
    /// Number of the last record, written or lost.
    seq: u64,
    /// Hash of the last that was written, and its number.
    hash: Hash,
    written: u64,
    loss: Option<Loss>,
    unsynced: bool,
    last_event: Option<String>,
    /// Records lost since it was opened.
    lost: u64,
}

impl Chain {
    /// Opens the log for its owner alone and goes on where it ended. What is not as it was left is recorded, as the first
    /// records of the new run.
    pub fn open(path: &Path, head_path: &Path, version: Option<String>) -> Result<Self, AuditFault> {
        let head = Head::read(head_path);
        let head = head.map_err(|source| AuditFault::Head { path: head_path.to_owned(), source })?;
        let head = head.filter(|head| head.path == path);
        let (file, is_regular) = open(path)?;
        let tail = match is_regular {
            true => tail::read(&file).map_err(|source| AuditFault::Open { path: path.to_owned(), source })?,
            false => Tail::default(),
        };
        if tail.last.is_none() && tail.length > 0 && head.is_none() {
            return Err(AuditFault::Foreign { path: path.to_owned() });
        }
        let mut chain = Self {
            path: path.to_owned(),
            head_path: head_path.to_owned(),
            version,
            file,
            is_regular,
            length: tail.length - tail.torn.len() as u64,
            seq: 0,
            hash: Hash::NONE,
            written: 0,
            loss: None,
            unsynced: false,
            last_event: tail.last.as_ref().map(|last| last.event.clone()),
            lost: 0,
        };
        chain.go_on(&tail, head.as_ref())?;
        Ok(chain)
    }

    fn go_on(&mut self, tail: &Tail, head: Option<&Head>) -> Result<(), AuditFault> {
        let found = tail.last.as_ref().map(|last| (last.seq, last.stated)).unwrap_or((0, Hash::NONE));
        let (seq, hash) = head.map(|head| (head.seq, head.hash)).filter(|head| head.0 > found.0).unwrap_or(found);
        (self.seq, self.hash, self.written) = (seq, hash, seq);
        if !tail.torn.is_empty() {
            let why = "a line without an end was found: its writer died".to_owned();
            self.loss = Some(Loss { lost: 0, torn: tail.torn.clone(), why });
        }
        if let Some(head) = head.filter(|head| head.lost > 0 && head.seq == seq) {
            self.seq = self.seq.saturating_add(head.lost);
            let loss = self.loss.get_or_insert_default();
            loss.lost = head.lost;
            loss.why = "records were lost before the last stop".to_owned();
        }
        let missing = tail.length == 0;
        if !missing {
            self.close_gap(unix_ms())?;
        }
        if let Some(why) = changed(tail, head) {
            tracing::error!(target: "openrtc.audit", path = %self.path.display(), why, found_seq = found.0,
                expected_seq = head.map(|head| head.seq), "audit log is not as it was left");
            let entry = Entry::new("audit.continued", Actor::System, "").resulting("failed").with("why", why);
            let entry = entry.with("found_seq", found.0).with_some("expected_seq", head.map(|head| head.seq));
            // In a new file it comes before a gap that is still to be told: it says why the first number is not 1.
            self.write(&entry, unix_ms())?;
        }
        self.close_gap(unix_ms())
    }

    /// The last event of the run before; `None`: there was none.
    pub fn last_event(&self) -> Option<&str> {
        self.last_event.as_deref()
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records lost since it was opened.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes one record. If that fails its number is used up, and the next record that can be written is preceded by an
    /// `audit.gap` which says how many are missing, and why.
    pub fn append(&mut self, entry: &Entry, at_unix_ms: u64) -> Result<(), AuditFault> {
        if !self.unsynced && self.is_gone() {
            self.begin_anew();
        }
        if let Err(fault) = self.close_gap(at_unix_ms).and_then(|()| self.write(entry, at_unix_ms)) {
            self.seq = self.seq.saturating_add(1);
            self.lost += 1;
            let loss = self.loss.get_or_insert_default();
            loss.lost += 1;
            loss.why = cause(&fault);
            self.unsynced = true;
            return Err(fault);
        }
        Ok(())
    }

    /// Has the disk keep what was written, and notes the head.
    pub fn sync(&mut self) -> Result<(), AuditFault> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| AuditFault::Sync { path, source }
        };
        if self.is_regular {
            self.file.sync_data().map_err(failed(&self.path))?;
        }
        let lost = self.seq - self.written;
        let head = Head { path: self.path.clone(), seq: self.written, hash: self.hash, lost };
        head.write(&self.head_path).map_err(failed(&self.head_path))
    }

    /// Whether the name stands for another file now, or for none: it was removed, or moved away to be kept.
    fn is_gone(&self) -> bool {
        let same = |there: fs::Metadata| {
            self.file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        self.is_regular && !fs::metadata(&self.path).is_ok_and(same)
    }

    /// Goes on in a new file of the old name. Where that cannot be had the old one is written further.
    fn begin_anew(&mut self) {
        let fresh = open(&self.path).and_then(|(file, is_regular)| {
            let empty = file.metadata().is_ok_and(|found| found.len() == 0);
            if empty { Ok((file, is_regular)) } else { Err(AuditFault::Foreign { path: self.path.clone() }) }
        });
        match fresh {
            Ok((file, is_regular)) => {
                (self.file, self.is_regular, self.length) = (file, is_regular, 0);
                if let Some(loss) = &mut self.loss {
                    loss.torn.clear();
                }
                let entry = Entry::new("audit.continued", Actor::System, "").with("why", "file_missing");
                let entry = entry.with("found_seq", 0).with("expected_seq", self.written);
                // Before a gap that is still to be told, so that it is the first line. If it fails, whoever appends next
                // meets the same.
                let _ = self.write(&entry, unix_ms());
            }
            Err(fault) => {
                tracing::error!(target: "openrtc.audit", error = &fault as &dyn std::error::Error,
                    "audit log was moved away and none can be begun in its place");
            }
        }
    }

    /// Says what was lost, if anything was.
    fn close_gap(&mut self, at_unix_ms: u64) -> Result<(), AuditFault> {
        let Some(loss) = &self.loss else { return Ok(()) };
        let mut entry = Entry::new("audit.gap", Actor::System, "").resulting("failed").with("lost", loss.lost);
        entry = entry.with("why", loss.why.as_str());
        if !loss.torn.is_empty() {
            let hash = Hash::of(&loss.torn).to_string();
            entry = entry.with("torn_bytes", loss.torn.len()).with("torn_sha256", hash);
        }
        self.write(&entry, at_unix_ms)?;
        self.loss = None;
        Ok(())
    }

    fn write(&mut self, entry: &Entry, at_unix_ms: u64) -> Result<(), AuditFault> {
        let seq = self.seq.saturating_add(1);
        let (line, hash) = seal(seq, at_unix_ms, self.version.as_deref(), entry, self.hash)?;
        let torn = self.loss.as_ref().is_some_and(|loss| !loss.torn.is_empty());
        let bytes = if torn { [b"\n", &line[..]].concat() } else { line };
        let (written, result) = write_all(&mut self.file, &bytes);
        if let Err(source) = result {
            self.take_back(&bytes[..written]);
            return Err(AuditFault::Write { path: self.path.clone(), source });
        }
        let before = self.loss.as_ref().map_or(0, |loss| loss.torn.len() as u64);
        self.length += before + bytes.len() as u64;
        (self.seq, self.hash, self.written) = (seq, hash, seq);
        self.unsynced = true;
        Ok(())
    }

    /// Takes part of a line out of the file again, or remembers that it stands there.
    fn take_back(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        let torn = self.loss.as_ref().map_or(0, |loss| loss.torn.len() as u64);
        if !self.is_regular || self.file.set_len(self.length + torn).is_err() {
            self.loss.get_or_insert_default().torn.extend_from_slice(part);
        }
    }
}

/// What is not as the supervisor left it.
fn changed(tail: &Tail, head: Option<&Head>) -> Option<&'static str> {
    let Some(last) = &tail.last else {
        return head.filter(|head| head.seq > 0).map(|_| if tail.length == 0 { "file_missing" } else { "altered" });
    };
    if !last.is_whole() || tail.foreign {
        return Some("altered");
    }
    match head {
        Some(head) if head.seq > last.seq => Some("truncated"),
        Some(head) if head.seq == last.seq && head.hash != last.stated => Some("altered"),
        Some(_) | None => None,
    }
}

/// Opens or makes the file, for its owner alone, for us alone. Character devices are let through, and never read.
fn open(path: &Path) -> Result<(File, bool), AuditFault> {
    let failed = |source| AuditFault::Open { path: path.to_owned(), source };
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    // A named pipe must not make us wait for its reader.
    options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.file_type().is_char_device() {
        return Ok((file, false));
    }
    if !found.is_file() {
        return Err(AuditFault::NotAFile { path: path.to_owned() });
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(AuditFault::Taken { path: path.to_owned() }),
        Err(error) => return Err(failed(error.into())),
    }
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((file, true))
}

/// Writes it all, or says how much was taken.
fn write_all(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// What the system said, in short.
fn cause(fault: &AuditFault) -> String {
    std::error::Error::source(fault).map_or_else(|| fault.to_string(), ToString::to_string)
}
