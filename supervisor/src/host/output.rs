//! A host's standard output and error: read, cut, redacted, stamped and told.
//!
//! Owns: both pipes, from fork to the end of the tree, and the last line on standard error. Never: believes what a line
//! says of itself but its level, keeps more of a line than [`OUTPUT_LINE_BYTES_MAX`], or makes a well-behaved host wait.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openrtc_ipc::LogLevel;
use openrtc_policy::bounds::{
    ERROR_BYTES_MAX, OUTPUT_BYTES_PER_S, OUTPUT_LINE_BYTES_MAX, OUTPUT_READ_BYTES_PER_S, REPORTS_PER_S,
};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use super::last_words::LastWords;
use super::line::LineCutter;
use super::rate::TokenBucket;
use super::record::HostRecord;
use super::redact::Redactor;
use crate::observer::{Fanout, LineSource, Stamp, Told};
use crate::telemetry::escape::{cut, escaped};
use crate::telemetry::unix_ms;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// Bytes read of one pipe before the other has its turn.
const TURN_BYTES: usize = 64 * 1024;
/// Bytes read of a pipe after we were told to end: twice what a pipe can hold.
const LAST_BYTES: usize = 2 * 1024 * 1024;
/// What each line adds to the cost of reading it, in bytes: many short lines cost more than one long.
const LINE_COST_BYTES: usize = 64;
/// Marks a line whose rest was thrown away.
const CUT_MARK: &str = " … [line cut]";
/// Drops are told this often.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// Reads a host's output.
pub struct OutputReader;

impl OutputReader {
    /// Reads both pipes until they close, or [`OutputTail::finish`]. Each line is told with the stamp, at its own time.
    /// Fails if one of the descriptors is no pipe. Must be called within the runtime.
    pub fn spawn(
        stdout: OwnedFd,
        stderr: OwnedFd,
        stamp: Stamp,
        redactor: Arc<Redactor>,
        fanout: Fanout,
        record: Arc<HostRecord>,
    ) -> io::Result<OutputTail> {
        let stdout = Pipe::new(stdout, LineSource::Stdout)?;
        let stderr = Pipe::new(stderr, LineSource::Stderr)?;
        let last_stderr = Arc::new(Mutex::new(LastWords::default()));
        let tail_of = (Arc::clone(&last_stderr), Arc::clone(&redactor));
        let (finish, finishing) = oneshot::channel();
        let sink = Sink::new(stamp, redactor, fanout, record, last_stderr);
        let task = tokio::spawn(read(stdout, stderr, sink, finishing));
        Ok(OutputTail { last_stderr: tail_of.0, redactor: tail_of.1, finish, task })
    }
}

/// The end of a host's output, for its death report. Dropped, it ends the reading.
#[derive(Debug)]
pub struct OutputTail {
    last_stderr: Arc<Mutex<LastWords>>,
    redactor: Arc<Redactor>,
    finish: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl OutputTail {
    /// The last line so far on standard error that is not blank, redacted, escaped and at most [`ERROR_BYTES_MAX`] long.
    pub fn last_stderr(&self) -> Option<String> {
        shown_last(&self.last_stderr, &self.redactor)
    }

    /// Reads what the pipes still hold and ends, though a descendant may hold them open; gives the last line on standard
    /// error. Call it when the host's tree is dead.
    pub async fn finish(self) -> Option<String> {
        // Where the task is gone already, so is the receiver.
        let _ = self.finish.send(());
        if let Err(error) = self.task.await {
            tracing::error!(target: "openrtc.host", error = &error as &dyn std::error::Error, "reading output failed");
        }
        shown_last(&self.last_stderr, &self.redactor)
    }
}

fn shown_last(last_stderr: &Mutex<LastWords>, redactor: &Redactor) -> Option<String> {
    let raw = last_stderr.lock().unwrap_or_else(PoisonError::into_inner).text().to_vec();
    (!raw.is_empty()).then(|| shown(&String::from_utf8_lossy(&raw), redactor, ERROR_BYTES_MAX))
}

/// A line without secrets and control characters, within a bound; marked where it was longer.
fn shown(text: &str, redactor: &Redactor, bytes_max: usize) -> String {
    let clean = redactor.redact_cut(text, bytes_max);
    let harmless = escaped(&clean);
    let kept = cut(&harmless, bytes_max);
    let mark = if text.len() > bytes_max || harmless.len() > bytes_max { CUT_MARK } else { "" };
    format!("{kept}{mark}")
}

/// One of the two pipes; `None` once it is closed.
struct Pipe {
    source: LineSource,
    receiver: Option<Receiver>,
    lines: LineCutter,
}

/// Which bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Those that the runtime knows of.
    Ready,
    /// Those that are there: the runtime hears of the newest only later.
    Rest,
}

impl Pipe {
    fn new(fd: OwnedFd, source: LineSource) -> io::Result<Self> {
        Ok(Self { source, receiver: Some(Receiver::from_owned_fd(fd)?), lines: LineCutter::default() })
    }

    /// Waits until there is something to read; for ever when the pipe is closed.
    async fn readable(&self) {
        match &self.receiver {
            // An error shows again when we read.
            Some(receiver) => _ = receiver.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads what is there, at most `bytes_max`; gives what that cost, in bytes.
    fn read(&mut self, how: Read, bytes_max: usize, sink: &mut Sink) -> usize {
        let mut chunk = [0; READ_BYTES];
        let (mut total, mut cost) = (0, 0);
        while total < bytes_max {
            let Some(receiver) = &self.receiver else { return cost };
            let read = match how {
                Read::Ready => receiver.try_read(&mut chunk),
                Read::Rest => nix::unistd::read(receiver, &mut chunk).map_err(io::Error::from),
            };
            match read {
                Ok(0) => {
                    self.close(sink);
                    return cost;
                }
                Ok(count) => {
                    total += count;
                    cost += count + LINE_COST_BYTES * memchr::memchr_iter(b'\n', &chunk[..count]).count();
                    sink.now = Instant::now();
                    let line_bytes_max = sink.line_bytes_max();
                    self.lines.push(&chunk[..count], line_bytes_max, |line| sink.line(self.source, line));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return cost,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.close(sink);
                    return cost;
                }
            }
        }
        cost
    }

    fn close(&mut self, sink: &mut Sink) {
        self.receiver = None;
        self.lines.finish(|line| sink.line(self.source, line));
    }
}

/// The task: both pipes, fairly, until both are closed or we are told to finish.
async fn read(mut stdout: Pipe, mut stderr: Pipe, mut sink: Sink, mut finishing: oneshot::Receiver<()>) {
    let mut flood = TokenBucket::new(OUTPUT_READ_BYTES_PER_S, Instant::now());
    while stdout.receiver.is_some() || stderr.receiver.is_some() {
        let cost = tokio::select! {
            // An error means that nobody holds the tail any more.
            _ = &mut finishing => break,
            () = stdout.readable() => stdout.read(Read::Ready, TURN_BYTES, &mut sink),
            () = stderr.readable() => stderr.read(Read::Ready, TURN_BYTES, &mut sink),
            () = sink.drops_due() => 0,
        };
        sink.tell_drops(Instant::now());
        let wait = flood.overdraw(Instant::now(), cost as u64);
        if !wait.is_zero() {
            tokio::select! {
                _ = &mut finishing => break,
                () = sleep(wait) => {}
            }
        }
    }
    for pipe in [&mut stdout, &mut stderr] {
        pipe.read(Read::Rest, LAST_BYTES, &mut sink);
        pipe.close(&mut sink);
    }
    sink.tell_all_drops();
}

/// Lines dropped of one pipe and not told yet.
#[derive(Debug, Default, Clone, Copy)]
struct Drops {
    lines: u64,
    bytes: u64,
}

/// Where lines go.
struct Sink {
    stamp: Stamp,
    redactor: Arc<Redactor>,
    fanout: Fanout,
    record: Arc<HostRecord>,
    last_stderr: Arc<Mutex<LastWords>>,
    bytes: TokenBucket,
    lines: TokenBucket,
    /// Of standard output, of standard error.
    drops: [Drops; 2],
    /// When drops are told next; `None` while there are none.
    drops_due: Option<Instant>,
    /// When the last bytes were read.
    now: Instant,
}

impl Sink {
    fn new(
        stamp: Stamp,
        redactor: Arc<Redactor>,
        fanout: Fanout,
        record: Arc<HostRecord>,
        last_stderr: Arc<Mutex<LastWords>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stamp,
            redactor,
            fanout,
            record,
            last_stderr,
            bytes: TokenBucket::new(OUTPUT_BYTES_PER_S, now),
            lines: TokenBucket::new(REPORTS_PER_S, now),
            drops: [Drops::default(); 2],
            drops_due: None,
            now,
        }
    }

    /// A line is kept so far beyond its bound that a secret across the bound is seen whole, and that one sees that it
    /// was longer.
    fn line_bytes_max(&self) -> usize {
        OUTPUT_LINE_BYTES_MAX + self.redactor.longest() + 1
    }

    fn line(&mut self, source: LineSource, raw: &[u8]) {
        let raw = raw.trim_ascii_end();
        if raw.is_empty() {
            return;
        }
        if source == LineSource::Stderr {
            let bytes_max = ERROR_BYTES_MAX + self.redactor.longest() + 1;
            self.last_stderr.lock().unwrap_or_else(PoisonError::into_inner).hear(raw, bytes_max);
        }
        let now = self.now;
        let length = raw.len() as u64;
        // Both are asked: a line that one refuses may cost the other something, which is the host's loss.
        if !(self.lines.take(now, 1) && self.bytes.take(now, length)) {
            let drops = &mut self.drops[usize::from(source == LineSource::Stderr)];
            drops.lines += 1;
            drops.bytes += length;
            self.drops_due.get_or_insert(now + DROPS_TOLD_EVERY);
            return;
        }
        let text = String::from_utf8_lossy(raw);
        let level = alleged_level(&text);
        let line = shown(&text, &self.redactor, OUTPUT_LINE_BYTES_MAX);
        self.tell(source, level, line);
    }

    fn tell(&self, source: LineSource, level: LogLevel, line: String) {
        let stamp = Stamp { at_unix_ms: unix_ms(), ..self.stamp.clone() };
        self.fanout.tell(Told::Line(stamp, source, level, line));
    }

    /// Waits until drops are to be told; for ever while there are none.
    async fn drops_due(&self) {
        match self.drops_due {
            Some(due) => sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    }

    fn tell_drops(&mut self, now: Instant) {
        if self.drops_due.is_some_and(|due| due <= now) {
            self.tell_all_drops();
        }
    }

    fn tell_all_drops(&mut self) {
        self.drops_due = None;
        let drops = std::mem::take(&mut self.drops);
        for (source, drops) in [LineSource::Stdout, LineSource::Stderr].into_iter().zip(drops) {
            if drops.lines == 0 {
                continue;
            }
            self.record.gauge(|gauges| gauges.dropped += drops.lines);
            let Drops { lines, bytes } = drops;
            let line = format!(
                "{lines} lines ({bytes} bytes) dropped: more than {OUTPUT_BYTES_PER_S} bytes or {REPORTS_PER_S} lines \
                 a second"
            );
            self.tell(source, LogLevel::Warn, line);
        }
    }
}

/// The level that a line claims, if it is a JSON object with one (as Python's and OpenRTC's formatters write it); the
/// only thing in a line that is believed. Everything else in it is text.
fn alleged_level(line: &str) -> LogLevel {
    #[derive(serde::Deserialize)]
    struct Alleged {
        #[serde(alias = "levelname", alias = "severity")]
        level: String,
    }
    if !line.starts_with('{') {
        return LogLevel::Info;
    }
    let Ok(alleged) = serde_json::from_str::<Alleged>(line) else { return LogLevel::Info };
    match alleged.level.to_ascii_lowercase().as_str() {
        "trace" | "debug" => LogLevel::Debug,
        "warn" | "warning" => LogLevel::Warn,
        "error" | "critical" | "fatal" => LogLevel::Error,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeWriter, Write, pipe};
    use std::sync::mpsc::{Receiver as Lines_, SyncSender, sync_channel};

    use openrtc_ipc::SecretText;

    use super::*;
    use crate::observer::{JsonlObserver, LogObserver, Observer, samples};
    use crate::telemetry::{Style, tests::Captured};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Passes on every line it is told.
    struct Lines(SyncSender<(Stamp, LineSource, LogLevel, String)>);

    impl Observer for Lines {
        fn name(&self) -> &str {
            "lines"
        }

        async fn on_line(
            &mut self,
            stamp: &Stamp,
            source: LineSource,
            level: LogLevel,
            line: &str,
        ) -> crate::observer::Taken {
            // Whoever listened may have heard enough.
            Ok(_ = self.0.send((stamp.clone(), source, level, line.to_owned())))
        }
    }

    /// A host that is nothing but its two pipes.
    struct Printing {
        stdout: PipeWriter,
        stderr: PipeWriter,
        tail: OutputTail,
        record: Arc<HostRecord>,
        fanout: Fanout,
        lines: Lines_<(Stamp, LineSource, LogLevel, String)>,
    }

    impl Printing {
        fn start(secrets: &[(&str, &str)]) -> Self {
            let secret = |&(label, text): &(&str, &str)| (label.to_owned(), SecretText::new(text.to_owned()));
            let redactor = Redactor::new(secrets.iter().map(secret).collect()).unwrap();
            let (out, stdout) = pipe().unwrap();
            let (err, stderr) = pipe().unwrap();
            let record = Arc::new(HostRecord::new(samples::plan(), 1, crate::spawn::How::Cold, 0));
            let fanout = Fanout::default();
            let (sender, lines) = sync_channel(100_000);
            fanout.add(Lines(sender)).unwrap();
            let stamp = Stamp { session: None, agent: None, ..samples::stamp() };
            let (redactor, told) = (Arc::new(redactor), fanout.clone());
            let tail = OutputReader::spawn(out.into(), err.into(), stamp, redactor, told, Arc::clone(&record)).unwrap();
            Self { stdout, stderr, tail, record, fanout, lines }
        }

        /// Closes the pipes and gives the lines told, and the last on standard error.
        async fn end(self) -> (Vec<(LineSource, LogLevel, String)>, Option<String>) {
            drop((self.stdout, self.stderr));
            let last = self.tail.finish().await;
            let late = self.fanout.shutdown(tokio::time::Instant::now() + PATIENCE).await;
            assert!(late.is_empty());
            (self.lines.try_iter().map(|(_, source, level, line)| (source, level, line)).collect(), last)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lines_of_both_pipes_are_told_with_the_host_s_stamp() {
        let mut host = Printing::start(&[]);
        host.stdout.write_all(b"one\ntwo\r\n\n").unwrap();
        host.stderr.write_all(b"bad\n").unwrap();
        let mut first = host.lines.recv_timeout(PATIENCE).unwrap();
        assert!(first.0.at_unix_ms > 1_700_000_000_000);
        first.0.at_unix_ms = 5;
        assert_eq!(first.0, Stamp { session: None, agent: None, ..samples::stamp() });
        host.stdout.write_all(b"no newline").unwrap();
        let (mut rest, last) = host.end().await;
        rest.push((first.1, first.2, first.3));
        rest.sort_by(|a, b| a.2.cmp(&b.2));
        let line = |source, text: &str| (source, LogLevel::Info, text.to_owned());
        let (out, err) = (LineSource::Stdout, LineSource::Stderr);
        assert_eq!(rest, [line(err, "bad"), line(out, "no newline"), line(out, "one"), line(out, "two")]);
        assert_eq!(last.as_deref(), Some("bad"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_forged_json_line_carries_our_stamp_and_only_its_level_is_believed() {
        let mut host = Printing::start(&[]);
        let forged = r#"{"level": "ERROR", "tenant": "b", "session_id": "s-00000001-1", "message": "ha"}"#;
        writeln!(host.stdout, "{forged}").unwrap();
        let (stamp, source, level, line) = host.lines.recv_timeout(PATIENCE).unwrap();
        assert_eq!((stamp.tenant.as_str(), level), ("acme-corp", LogLevel::Error));
        let told = Told::Line(stamp, source, level, line);
        for style in [Style::Json, Style::Text { color: false }] {
            let (captured, _guard) = Captured::start(style);
            LogObserver.on(&told, 1).await.unwrap();
            let text = captured.text();
            assert_eq!(text.lines().count(), 1);
            match style {
                Style::Json => {
                    assert!(text.contains(r#""tenant": "acme-corp""#) && !text.contains(r#""tenant": "b""#), "{text}");
                    assert_eq!(captured.rows()[0]["session_id"], serde_json::Value::Null);
                    assert_eq!(captured.rows()[0]["message"], forged);
                }
                Style::Text { .. } => assert!(text.contains("ERROR tenant=acme-corp host=h3.1 {"), "{text}"),
            }
        }
        host.end().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_secret_that_a_host_prints_shows_nowhere() {
        const KEY: &str = "sk-live-0123456789";
        let mut host = Printing::start(&[("env:OPENAI", KEY)]);
        writeln!(host.stdout, "environ: OPENAI_API_KEY={KEY}").unwrap();
        writeln!(host.stdout, "{}{KEY}", "x".repeat(OUTPUT_LINE_BYTES_MAX - 5)).unwrap();
        writeln!(host.stderr, "ValueError: bad key {KEY}").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("observed.jsonl");
        let mut jsonl = JsonlObserver::open(path.clone()).unwrap();
        let (captured, _guard) = Captured::start(Style::Json);
        for _ in 0..3 {
            let (stamp, source, level, line) = host.lines.recv_timeout(PATIENCE).unwrap();
            let told = Told::Line(stamp, source, level, line);
            LogObserver.on(&told, 1).await.unwrap();
            jsonl.on(&told, 1).await.unwrap();
        }
        jsonl.flush().await.unwrap();
        let (_, last) = host.end().await;
        assert_eq!(last.as_deref(), Some("ValueError: bad key ***(env:OPENAI)"));
        for text in [captured.text(), std::fs::read_to_string(path).unwrap()] {
            // Not even its beginning, where a line was cut within it.
            assert!(!text.contains("sk-l"), "{text}");
            assert_eq!(text.matches("***(e").count(), 3, "two whole labels, and one that is cut");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_mebibyte_without_a_newline_is_one_cut_line_and_the_next_is_whole() {
        let mut host = Printing::start(&[]);
        let mut stderr = host.stderr.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            stderr.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
            stderr.write_all(b"\nnext\n").unwrap();
        });
        let line = host.lines.recv_timeout(PATIENCE).unwrap().3;
        assert_eq!(line, format!("{}{CUT_MARK}", "x".repeat(OUTPUT_LINE_BYTES_MAX)));
        assert_eq!(host.lines.recv_timeout(PATIENCE).unwrap().3, "next");
        writing.join().unwrap();
        host.stderr.write_all(&[b'y'; 10_000]).unwrap();
        let last = host.end().await.1.unwrap();
        assert_eq!(last, format!("{}{CUT_MARK}", "y".repeat(ERROR_BYTES_MAX)), "bounded in the death report too");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn control_characters_and_broken_text_are_made_harmless() {
        let mut host = Printing::start(&[]);
        host.stderr.write_all(b"\x1b]0;owned\x07\x1b[2J \xff\xfe \xe2\x80\xae ok\n").unwrap();
        let (lines, last) = host.end().await;
        assert_eq!(lines[0].2, "\\x1b]0;owned\\x07\\x1b[2J \u{fffd}\u{fffd} \\u{202e} ok");
        assert_eq!(last.as_ref(), Some(&lines[0].2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_counted_told_and_costs_the_host_alone() {
        let host = Printing::start(&[]);
        let mut stdout = host.stdout.try_clone().unwrap();
        let written = 2048;
        let writing = std::thread::spawn(move || {
            let line = [&[b'f'; 8191], &b"\n"[..]].concat();
            (0..written).for_each(|_| stdout.write_all(&line).unwrap());
        });
        tokio::task::spawn_blocking(|| writing.join().unwrap()).await.unwrap();
        let (record, fanout) = (Arc::clone(&host.record), host.fanout.clone());
        let (lines, _) = host.end().await;
        let dropped = record.gauges().dropped;
        // A burst of a second's worth and what flows in while it is written; the machine may be slow.
        assert!(dropped > 0 && dropped < written, "{dropped} of {written} dropped");
        let tally = &fanout.tallies()[0];
        let notes = lines.iter().filter(|(_, level, _)| *level == LogLevel::Warn).count() as u64;
        assert!(notes >= 1, "drops are told in band");
        let told = tally.taken + tally.dropped;
        assert!(told >= written - dropped + notes, "every line was told or counted: {told} {dropped} {notes}");
    }

    // On one thread, the runtime has not yet heard of the bytes when we are told to end.
    #[tokio::test]
    async fn finish_ends_though_a_descendant_holds_the_pipes_open() {
        let mut host = Printing::start(&[]);
        let held = (host.stdout.try_clone().unwrap(), host.stderr.try_clone().unwrap());
        host.stderr.write_all(b"Traceback\nMemoryError\n  \n").unwrap();
        let (lines, last) = tokio::time::timeout(PATIENCE, host.end()).await.unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(last.as_deref(), Some("MemoryError"));
        drop(held);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_that_prints_in_measure_never_waits_and_loses_nothing() {
        let mut host = Printing::start(&[]);
        for nth in 0..4000 {
            // Far more than a pipe holds in all; each line is heard before the next is written.
            writeln!(host.stdout, "line {nth} {}", "x".repeat(100)).unwrap();
            assert!(host.lines.recv_timeout(PATIENCE).unwrap().3.starts_with(&format!("line {nth} ")));
        }
        assert_eq!(host.record.gauges().dropped, 0);
        host.end().await;
    }

    #[test]
    fn levels_are_read_from_json_lines_only() {
        let level = |line| alleged_level(line);
        assert_eq!(level(r#"{"levelname": "CRITICAL"}"#), LogLevel::Error);
        assert_eq!(level(r#"{"severity": "warning", "x": [1]}"#), LogLevel::Warn);
        assert_eq!(level(r#"{"level": 30}"#), LogLevel::Info);
        assert_eq!(level("ERROR: not JSON"), LogLevel::Info);
        assert_eq!(level(&"{\"a\":".repeat(5000)), LogLevel::Info);
    }
}
