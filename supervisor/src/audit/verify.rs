//! Whether a log is as it was written.
//!
//! Owns: the findings, and where in the file they are. Never: changes the file, or holds more of it than one line and its
//! holes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::head::Head;
use super::record::{Hash, LINE_BYTES_MAX, Read, read};

/// Findings that are listed; of more the number is told.
const FINDINGS_MAX: usize = 100;
/// Holes that are remembered at once; more are told as missing at once.
const HOLES_MAX: usize = 10_000;

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `altered`, `missing`, `reordered`, `repeated`, `malformed`, `torn` or `truncated`.
    pub kind: &'static str,
    /// Line of the file, from 1; after a truncated end the next one.
    pub line: u64,
    /// Number of the record, where known.
    pub seq: Option<u64>,
    /// What was expected and found.
    pub detail: String,
}

/// What is known of the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Nothing is missing up to the head that the supervisor noted.
    Head,
    /// No head was at hand; the last record is that of a supervisor that finished.
    Stopped,
    /// No head was at hand, and the last record is none that ends a run: whether records are missing is not known.
    Open,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which file.
    pub file: PathBuf,
    /// Whether it is as it was written.
    pub ok: bool,
    /// Records.
    pub records: u64,
    /// Number of the first.
    pub first_seq: Option<u64>,
    /// Number of the last.
    pub last_seq: Option<u64>,
    /// Hash of the last.
    pub last_hash: Option<String>,
    /// Whether it goes on from an earlier file, which stands for what came before.
    pub continues: bool,
    /// Records that the supervisor could not write, and said so.
    pub lost: u64,
    /// Lines that a dying supervisor, or a full disk, left unfinished, and the next record says so.
    pub torn: u64,
    /// What vouches for the end.
    pub end: End,
    /// What is wrong, in the order of the file.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
}

/// Reads a whole log. Fails only if it cannot be read.
pub fn verify(file: &Path, head: Option<&Head>) -> io::Result<Verdict> {
    let mut check = Check::new(file, head);
    let mut lines = BufReader::with_capacity(256 * 1024, File::open(file)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let taken = lines.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if taken == 0 {
            break;
        }
        check.line += 1;
        match line.strip_suffix(b"\n") {
            Some(whole) => check.line(whole),
            None if taken > LINE_BYTES_MAX => {
                check.unreadable(&[]);
                skip_line(&mut lines)?;
            }
            None => check.torn_end(&line),
        }
    }
    Ok(check.conclude())
}

/// To the end of a line that is longer than any record.
fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let (length, ended) = {
            let waiting = lines.fill_buf()?;
            match waiting.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (waiting.len(), waiting.is_empty()),
            }
        };
        lines.consume(length);
        if ended {
            return Ok(());
        }
    }
}

/// Lines that are no records, until a record says what they are.
struct Unread {
    line: u64,
    bytes: Vec<u8>,
    count: u64,
}

struct Check<'a> {
    head: Option<&'a Head>,
    verdict: Verdict,
    line: u64,
    /// The highest number so far, and the hash under which the next must know it.
    last: Option<(u64, Hash)>,
    /// The same as its bytes have it, where its stated hash is another.
    computed: Option<Hash>,
    last_event: String,
    /// First number of a hole: the number after it, and the line before which it was seen.
    holes: BTreeMap<u64, (u64, u64)>,
    unread: Option<Unread>,
}

impl<'a> Check<'a> {
    fn new(file: &Path, head: Option<&'a Head>) -> Self {
        let verdict = Verdict {
            file: file.to_owned(),
            ok: true,
            records: 0,
            first_seq: None,
            last_seq: None,
            last_hash: None,
            continues: false,
            lost: 0,
            torn: 0,
            end: End::Open,
            findings: Vec::new(),
            more_findings: 0,
        };
        let last_event = String::new();
        Self { head, verdict, line: 0, last: None, computed: None, last_event, holes: BTreeMap::new(), unread: None }
    }

    fn find(&mut self, kind: &'static str, line: u64, seq: Option<u64>, detail: String) {
        self.verdict.ok = false;
        match self.verdict.findings.len() < FINDINGS_MAX {
            true => self.verdict.findings.push(Finding { kind, line, seq, detail }),
            false => self.verdict.more_findings += 1,
        }
    }

    fn line(&mut self, line: &[u8]) {
        match read(line) {
            Some(record) => self.record(&record),
            None => self.unreadable(line),
        }
    }

    fn unreadable(&mut self, bytes: &[u8]) {
        let line = self.line;
        match &mut self.unread {
            None => self.unread = Some(Unread { line, bytes: bytes.to_vec(), count: 1 }),
            Some(unread) => {
                unread.count += 1;
                if unread.bytes.len() <= LINE_BYTES_MAX {
                    unread.bytes.push(b'\n');
                    unread.bytes.extend_from_slice(bytes);
                }
            }
        }
    }

    /// What stands before this record and is none.
    fn explain(&mut self, record: Option<&Read>) {
        let Some(unread) = self.unread.take() else { return };
        let explained = record.filter(|record| record.event == "audit.gap" && record.is_whole());
        if explained.and_then(|record| record.torn).is_some_and(|torn| torn == Hash::of(&unread.bytes)) {
            self.verdict.torn += 1;
            return;
        }
        for line in unread.line..unread.line + unread.count.min(FINDINGS_MAX as u64) {
            self.find("malformed", line, None, "is no record: changed, or written by something else".to_owned());
        }
    }

    fn record(&mut self, record: &Read) {
        self.explain(Some(record));
        self.verdict.records += 1;
        let (line, seq) = (self.line, record.seq);
        if !record.is_whole() {
            let detail = format!("its bytes have the hash {}, it says {}", record.computed, record.stated);
            self.find("altered", line, Some(seq), detail);
        }
        if let Some(head) = self.head
            && head.seq == seq
            && head.hash != record.stated
        {
            let detail =
                format!("the supervisor wrote a record with the hash {}, this has {}", head.hash, record.stated);
            self.find("altered", line, Some(seq), detail);
        }
        let last = self.last;
        match last {
            None => self.first(record),
            Some((last, _)) if seq <= last => return self.out_of_order(record),
            Some((last, hash)) => self.next(record, last, hash),
        }
        self.last = Some((seq, record.stated));
        self.computed = (!record.is_whole()).then_some(record.computed);
        record.event.clone_into(&mut self.last_event);
    }

    fn first(&mut self, record: &Read) {
        let (line, seq) = (self.line, record.seq);
        self.verdict.first_seq = Some(seq);
        // What came before is in another file: the supervisor found none and said so in the first record.
        self.verdict.continues = seq > 1 && record.event == "audit.continued";
        let gap = record.event == "audit.gap" && record.prev == Hash::NONE && record.lost.checked_add(1) == Some(seq);
        if gap {
            self.verdict.lost = self.verdict.lost.saturating_add(record.lost);
        } else if seq > 1 && !self.verdict.continues {
            self.hole(1, seq);
        } else if seq == 1 && record.prev != Hash::NONE {
            let detail = format!("follows {}, but is the first of all", record.prev);
            self.find("altered", line, Some(seq), detail);
        }
    }

    fn next(&mut self, record: &Read, last: u64, hash: Hash) {
        let (line, seq) = (self.line, record.seq);
        let bound = record.prev == hash || self.computed == Some(record.prev);
        let skipped = seq - last - 1;
        let gap = bound && record.event == "audit.gap";
        if gap {
            self.verdict.lost = self.verdict.lost.saturating_add(record.lost);
        }
        if skipped > 0 && !(gap && record.lost == skipped) {
            self.hole(last + 1, seq);
        } else if !bound {
            let detail = format!("follows a record with the hash {}, the one before has {hash}", record.prev);
            self.find("altered", line, Some(seq), detail);
        }
    }

    /// Its number was passed already: it stands in the wrong place, or twice.
    fn out_of_order(&mut self, record: &Read) {
        let (line, seq) = (self.line, record.seq);
        let hole = self.holes.range(..=seq).next_back().map(|(from, (to, before))| (*from, *to, *before));
        match hole.filter(|(_, to, _)| seq < *to) {
            Some((from, to, before)) => {
                self.holes.remove(&from);
                for (from, to) in [(from, seq), (seq + 1, to)] {
                    if from < to {
                        self.holes.insert(from, (to, before));
                    }
                }
                let detail = format!("belongs before line {before}");
                self.find("reordered", line, Some(seq), detail);
            }
            None => self.find("repeated", line, Some(seq), "its number stands in the file already".to_owned()),
        }
    }

    fn hole(&mut self, from: u64, to: u64) {
        if self.holes.len() < HOLES_MAX {
            self.holes.insert(from, (to, self.line));
        } else {
            self.missing(from, to, self.line);
        }
    }

    fn missing(&mut self, from: u64, to: u64, line: u64) {
        let which = if to == from + 1 { format!("record {from}") } else { format!("records {from} to {}", to - 1) };
        self.find("missing", line, Some(from), format!("{which} should stand before this line"));
    }

    fn torn_end(&mut self, bytes: &[u8]) {
        let detail = format!("{} bytes without an end: its writer died, or the rest was cut off", bytes.len());
        self.find("torn", self.line, None, detail);
    }

    fn conclude(mut self) -> Verdict {
        self.explain(None);
        for (from, (to, line)) in std::mem::take(&mut self.holes) {
            self.missing(from, to, line);
        }
        let last = self.last.map_or(0, |(seq, _)| seq);
        self.verdict.last_seq = self.last.map(|(seq, _)| seq);
        self.verdict.last_hash = self.last.map(|(_, hash)| hash.to_string());
        self.verdict.end = match self.head {
            Some(_) => End::Head,
            None if self.last_event == "supervisor.stopped" => End::Stopped,
            None => End::Open,
        };
        if let Some(head) = self.head.filter(|head| head.seq > last) {
            let detail = format!("the supervisor wrote up to record {}, the last here is {last}", head.seq);
            self.find("truncated", self.line + 1, Some(head.seq), detail);
        }
        self.verdict.findings.sort_by_key(|finding| finding.line);
        self.verdict
    }
}
