//! What a program writes: log lines and events, passed on as session events.
//!
//! Owns: the warnings about bad lines, and the last line of standard error. Never: passes on more than the bounds.

use std::cell::RefCell;
use std::error::Error;

use openrtc_ipc::LogLevel;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::command_agent::events::{EVENT_LINE_BYTES_MAX, EventError, parse};
use crate::command_agent::lines::{Line, Lines};
use crate::emit::{EmitError, LOG_LINE_BYTES_MAX, cut};
use crate::session::Session;

/// Bytes asked for in one read; after each, other sessions have their turn.
const READ_BYTES: usize = 4 * 1024;
/// Warnings about bad lines in one session; further ones are counted and told at its end.
const WARNINGS_MAX: u32 = 10;
/// Bytes of the last line of standard error that go into a session's error.
const LAST_LINE_BYTES_MAX: usize = 500;
/// Room in a cut line for the mark that says so.
const MARK_BYTES: usize = 16;

/// What is remembered of a program's output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    last_error_line: RefCell<Option<String>>,
}

impl Output {
    /// The last line on standard error that was not blank.
    pub(crate) fn last_error_line(&self) -> Option<String> {
        self.last_error_line.borrow().clone()
    }
}

/// Passes on a log stream until its end.
pub(crate) async fn pump_log(session: &Session, stream: pipe::Receiver, level: LogLevel, output: &Output) {
    pump(stream, LOG_LINE_BYTES_MAX - MARK_BYTES, |line| {
        let text = match line {
            Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Line::Cut(bytes) => format!("{}… (cut)", String::from_utf8_lossy(bytes)),
        };
        if level >= LogLevel::Warn && !text.trim().is_empty() {
            *output.last_error_line.borrow_mut() = Some(cut(text.clone(), LAST_LINE_BYTES_MAX));
        }
        session.log(level, text);
    })
    .await;
}

/// Passes on events until the end of their stream.
pub(crate) async fn pump_events(session: &Session, stream: pipe::Receiver) {
    let mut judge = Judge { session, line: 0, bad: 0, unknown: 0 };
    pump(stream, EVENT_LINE_BYTES_MAX, |line| judge.take(line)).await;
    judge.finish();
}

async fn pump(mut stream: pipe::Receiver, line_bytes_max: usize, mut each: impl FnMut(Line<'_>)) {
    let mut lines = Lines::new(line_bytes_max);
    let mut bytes = [0; READ_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        lines.push(&bytes[..count], &mut each);
        tokio::task::yield_now().await;
    }
    lines.finish(&mut each);
}

/// Why a line gave no event: what it says, or what it means.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Reads events and keeps count of the bad ones.
struct Judge<'a> {
    session: &'a Session,
    line: u64,
    bad: u32,
    unknown: u64,
}

impl Judge<'_> {
    fn take(&mut self, line: Line<'_>) {
        self.line += 1;
        match self.event(line) {
            Ok(()) => {}
            Err(LineError::Event(error @ EventError::UnknownType { .. })) => {
                self.unknown += 1;
                if self.unknown == 1 {
                    self.warn(format!("{}; further ones are only counted", self.described(&error)));
                }
            }
            Err(error) => {
                self.bad = self.bad.saturating_add(1);
                if self.bad <= WARNINGS_MAX {
                    self.warn(self.described(&error));
                }
            }
        }
    }

    fn event(&self, line: Line<'_>) -> Result<(), LineError> {
        match line {
            Line::Whole(bytes) if bytes.trim_ascii().is_empty() => Ok(()),
            Line::Whole(bytes) => Ok(self.session.emit(parse(bytes)?)?),
            Line::Cut(_) => Err(EventError::TooLong.into()),
        }
    }

    fn described(&self, error: &dyn Error) -> String {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("descriptor 3, line {}: {error}{cause}", self.line)
    }

    fn warn(&self, message: String) {
        self.session.log(LogLevel::Warn, message);
    }

    fn finish(&self) {
        if self.bad > WARNINGS_MAX {
            self.warn(format!("descriptor 3: {} bad lines in all", self.bad));
        }
        if self.unknown > 1 {
            self.warn(format!("descriptor 3: {} events of unknown types in all", self.unknown));
        }
    }
}
