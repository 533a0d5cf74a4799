//! What a zygote writes: logged line by line, its end kept for the reason of its death.
//!
//! Owns: the pipe, from its start to its end. Never: waits for it, keeps more than the last few lines, or logs more
//! than a bounded rate.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use openrtc_ipc::RuntimeName;
use openrtc_policy::bounds::{OUTPUT_LINE_BYTES_MAX, ZYGOTE_LINES_PER_S, ZYGOTE_TAIL_BYTES_MAX, ZYGOTE_TAIL_LINES_MAX};
use rustix::event::{PollFd, PollFlags};

use crate::host::line::LineCutter;
use crate::host::rate::TokenBucket;
use crate::telemetry::escape::{cut, escaped};

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// Bytes read before the spawner thread does something else.
const TURN_BYTES: usize = 128 * 1024;

/// The output of one zygote.
#[derive(Debug)]
pub(super) struct ZygoteOutput {
    runtime: RuntimeName,
    pipe: Option<OwnedFd>,
    lines: LineCutter,
    rate: TokenBucket,
    dropped: u64,
    tail: VecDeque<String>,
}

impl ZygoteOutput {
    /// Of a pipe's reading end, which does not block.
    pub(super) fn new(runtime: RuntimeName, pipe: OwnedFd) -> Self {
        let rate = TokenBucket::new(ZYGOTE_LINES_PER_S, Instant::now());
        Self { runtime, pipe: Some(pipe), lines: LineCutter::default(), rate, dropped: 0, tail: VecDeque::new() }
    }

    /// What is readable when there is something to read.
    pub(super) fn watched(&self) -> Option<PollFd<'_>> {
        self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN))
    }

    /// Logs what is there. A flood is left in the pipe for the next turn: it costs the zygote time, and not us.
    pub(super) fn read(&mut self) {
        let mut chunk = [0; READ_BYTES];
        let mut total = 0;
        while total < TURN_BYTES {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut chunk) {
                Ok(0) => return self.close(),
                Ok(count) => {
                    total += count;
                    let mut whole = Vec::new();
                    self.lines.push(&chunk[..count], OUTPUT_LINE_BYTES_MAX, |line| whole.push(line.to_vec()));
                    whole.iter().for_each(|line| self.line(line));
                }
                Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => return,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return self.close(),
            }
        }
    }

    /// Forgets what was said so far: it is warm, and was no cause of what comes.
    pub(super) fn forget(&mut self) {
        self.tail.clear();
    }

    /// The last lines, when it has ended.
    pub(super) fn last_words(mut self) -> String {
        self.read();
        self.close();
        let text = Vec::from(self.tail).join(" | ");
        let from = text.ceil_char_boundary(text.len().saturating_sub(ZYGOTE_TAIL_BYTES_MAX));
        text[from..].to_owned()
    }

    fn close(&mut self) {
        self.pipe = None;
        let mut last = None;
        self.lines.finish(|line| last = Some(line.to_vec()));
        if let Some(line) = last {
            self.line(&line);
        }
        self.tell_dropped();
    }

    fn line(&mut self, raw: &[u8]) {
        let text = String::from_utf8_lossy(raw.trim_ascii_end()).into_owned();
        if text.is_empty() {
            return;
        }
        let text = cut(&escaped(&text), OUTPUT_LINE_BYTES_MAX).to_owned();
        if self.rate.take(Instant::now(), 1) {
            self.tell_dropped();
            tracing::info!(target: "openrtc.zygote", runtime = %self.runtime, "{text}");
        } else {
            self.dropped += 1;
        }
        if self.tail.len() == ZYGOTE_TAIL_LINES_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(text);
    }

    fn tell_dropped(&mut self) {
        let lines = std::mem::take(&mut self.dropped);
        if lines > 0 {
            let limit = ZYGOTE_LINES_PER_S;
            tracing::warn!(target: "openrtc.zygote", runtime = %self.runtime, "{lines} lines dropped: more than {limit} a second");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(text: &[u8]) -> ZygoteOutput {
        let (reader, mut writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        writer.write_all(text).unwrap();
        ZygoteOutput::new(RuntimeName::parse("agency").unwrap(), reader.into())
    }

    #[test]
    fn its_last_lines_are_kept_with_what_no_newline_ended() {
        let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let last = written(format!("{text}\n\x1b[31mModuleNotFoundError").as_bytes()).last_words();
        assert!(last.contains("line 99 | ") && last.ends_with("ModuleNotFoundError"), "{last}");
        assert!(!last.contains("line 50") && !last.contains('\x1b'), "{last}");
    }

    #[test]
    fn long_lines_are_bounded_and_cut_between_characters() {
        let text = "ü".repeat(10_000);
        let last = written(format!("{text}\n{text}").as_bytes()).last_words();
        assert!(last.len() <= ZYGOTE_TAIL_BYTES_MAX && last.ends_with('ü'), "{}", last.len());
    }
}
