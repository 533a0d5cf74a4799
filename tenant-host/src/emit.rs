//! From an agent's event to one that may be sent: checked, and cut to its bounds.
//!
//! Owns: the bounds of every event. Never: sends; the session does.

use std::collections::BTreeMap;

use openrtc_ipc::{Report, SessionEvent, SessionId, Usage};

/// Bytes of an event's text or JSON. Longer text is cut, longer JSON refused. Below the 64 KiB of a frame.
pub const EVENT_TEXT_BYTES_MAX: usize = 60 * 1024;
/// Bytes of one log line. Longer: cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a stage's, a state's or an event's name. Longer, or empty: refused.
pub const EVENT_NAME_BYTES_MAX: usize = 64;
/// Bytes of the error of a session. Longer: cut.
pub(crate) const ERROR_BYTES_MAX: usize = 2048;

const CUT: &str = "… (cut)";

/// Why an event cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// A name is empty or too long.
    #[error("{field} must have 1 to {EVENT_NAME_BYTES_MAX} bytes, not {bytes}")]
    NameLength {
        /// `stage`, `state` or `name`.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A turn ends before it begins.
    #[error("a turn must not end ({end_ms} ms) before it starts ({start_ms} ms)")]
    TurnBackwards {
        /// Where it began.
        start_ms: u64,
        /// Where it ended.
        end_ms: u64,
    },
    /// Usage is cumulative, and one of its numbers went down.
    #[error("usage is cumulative: {field} must not fall from {before} to {after}")]
    UsageFell {
        /// Which number.
        field: &'static str,
        /// What it was.
        before: u64,
        /// What was given.
        after: u64,
    },
    /// The text of a custom event is no JSON.
    #[error("the data of a custom event must be JSON")]
    NotJson,
    /// A custom event is too long.
    #[error("the data of a custom event must have at most {EVENT_TEXT_BYTES_MAX} bytes, not {bytes}")]
    DataLength {
        /// Its length.
        bytes: usize,
    },
}

/// The event as it may be sent. `used` is what the session had used before; a good usage replaces it.
pub(crate) fn bounded(event: SessionEvent, used: &mut Usage) -> Result<SessionEvent, EmitError> {
    match event {
        SessionEvent::Turn { speaker, text, start_ms, end_ms } => {
            if end_ms < start_ms {
                return Err(EmitError::TurnBackwards { start_ms, end_ms });
            }
            Ok(SessionEvent::Turn { speaker, text: cut(text, EVENT_TEXT_BYTES_MAX), start_ms, end_ms })
        }
        SessionEvent::Usage(usage) => {
            rising(used, &usage)?;
            *used = usage;
            Ok(SessionEvent::Usage(usage))
        }
        SessionEvent::Latency { stage, micros } => Ok(SessionEvent::Latency { stage: named("stage", stage)?, micros }),
        SessionEvent::Log { level, message } => {
            Ok(SessionEvent::Log { level, message: cut(message, LOG_LINE_BYTES_MAX) })
        }
        SessionEvent::State { state } => Ok(SessionEvent::State { state: named("state", state)? }),
        SessionEvent::Custom { name, json } => {
            let name = named("name", name)?;
            if json.len() > EVENT_TEXT_BYTES_MAX {
                return Err(EmitError::DataLength { bytes: json.len() });
            }
            if serde_json::from_str::<serde::de::IgnoredAny>(&json).is_err() {
                return Err(EmitError::NotJson);
            }
            Ok(SessionEvent::Custom { name, json })
        }
    }
}

/// The same for whole reports, of all the sessions of a host whose agents are not written in Rust.
#[derive(Debug, Default)]
pub struct ReportBounds {
    used: BTreeMap<SessionId, Usage>,
}

impl ReportBounds {
    /// The report as it may be sent.
    pub fn apply(&mut self, report: Report) -> Result<Report, EmitError> {
        match report {
            Report::SessionEvent { session, event } => {
                let event = bounded(event, self.used.entry(session).or_default())?;
                Ok(Report::SessionEvent { session, event })
            }
            Report::SessionEnded { session, status, error } => {
                self.used.remove(&session);
                let error = error.map(|error| cut(error, ERROR_BYTES_MAX));
                Ok(Report::SessionEnded { session, status, error })
            }
            Report::Log { level, message } => Ok(Report::Log { level, message: cut(message, LOG_LINE_BYTES_MAX) }),
            report => Ok(report),
        }
    }
}

fn named(field: &'static str, name: String) -> Result<String, EmitError> {
    match name.len() {
        1..=EVENT_NAME_BYTES_MAX => Ok(name),
        bytes => Err(EmitError::NameLength { field, bytes }),
    }
}

fn rising(before: &Usage, after: &Usage) -> Result<(), EmitError> {
    let numbers = [
        ("llm_tokens_in", before.llm_tokens_in, after.llm_tokens_in),
        ("llm_tokens_out", before.llm_tokens_out, after.llm_tokens_out),
        ("stt_ms", before.stt_ms, after.stt_ms),
        ("tts_characters", before.tts_characters, after.tts_characters),
    ];
    match numbers.into_iter().find(|(_, before, after)| after < before) {
        Some((field, before, after)) => Err(EmitError::UsageFell { field, before, after }),
        None => Ok(()),
    }
}

/// A text of at most so many bytes, marked where it was cut.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - CUT.len()));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use openrtc_ipc::{EndStatus, LogLevel, Speaker, encode_report};

    use super::*;

    #[test]
    fn every_event_within_its_bounds_fits_a_frame() {
        let long = "ü".repeat(EVENT_TEXT_BYTES_MAX);
        let json = serde_json::to_string(&"x".repeat(EVENT_TEXT_BYTES_MAX - 2)).unwrap();
        let name = "n".repeat(EVENT_NAME_BYTES_MAX);
        let events = [
            SessionEvent::Turn { speaker: Speaker::User, text: long.clone(), start_ms: u64::MAX, end_ms: u64::MAX },
            SessionEvent::Log { level: LogLevel::Info, message: long },
            SessionEvent::Custom { name, json },
        ];
        for event in events {
            let event = bounded(event, &mut Usage::default()).unwrap();
            let session = SessionId { run: u32::MAX, seq: u64::MAX };
            encode_report(&Report::SessionEvent { session, event }).unwrap();
        }
    }

    #[test]
    fn usage_that_falls_is_refused_and_forgotten() {
        let mut used = Usage::default();
        let up = Usage { llm_tokens_in: 5, stt_ms: 10, ..Usage::default() };
        bounded(SessionEvent::Usage(up), &mut used).unwrap();
        let down = Usage { stt_ms: 9, llm_tokens_in: 50, ..Usage::default() };
        let error = bounded(SessionEvent::Usage(down), &mut used).unwrap_err();
        assert_eq!(error, EmitError::UsageFell { field: "stt_ms", before: 10, after: 9 });
        assert_eq!(used, up);
    }

    #[test]
    fn names_data_and_times_out_of_bounds_are_refused() {
        let used = &mut Usage::default();
        let state = |text: &str| SessionEvent::State { state: text.into() };
        assert!(matches!(bounded(state(""), used), Err(EmitError::NameLength { field: "state", bytes: 0 })));
        assert!(matches!(bounded(state(&"s".repeat(65)), used), Err(EmitError::NameLength { bytes: 65, .. })));
        let custom = |json: &str| SessionEvent::Custom { name: "c".into(), json: json.into() };
        assert_eq!(bounded(custom("{"), used), Err(EmitError::NotJson));
        let long = format!("[{}]", " ".repeat(EVENT_TEXT_BYTES_MAX));
        assert!(matches!(bounded(custom(&long), used), Err(EmitError::DataLength { .. })));
        let turn = SessionEvent::Turn { speaker: Speaker::User, text: String::new(), start_ms: 2, end_ms: 1 };
        assert_eq!(bounded(turn, used), Err(EmitError::TurnBackwards { start_ms: 2, end_ms: 1 }));
    }

    #[test]
    fn a_report_is_cut_to_its_bounds_and_a_sessions_usage_rises_until_its_end() {
        let mut bounds = ReportBounds::default();
        let long = "x".repeat(1024 * 1024);
        let line = bounds.apply(Report::Log { level: LogLevel::Warn, message: long.clone() }).unwrap();
        assert!(matches!(line, Report::Log { message, .. } if message.len() == LOG_LINE_BYTES_MAX));
        let session = SessionId { run: 1, seq: 1 };
        let mut used = |llm_tokens_in| {
            let event = SessionEvent::Usage(Usage { llm_tokens_in, ..Usage::default() });
            bounds.apply(Report::SessionEvent { session, event }).is_ok()
        };
        assert!(used(5) && used(5) && !used(4));
        let ended = Report::SessionEnded { session, status: EndStatus::Failed, error: Some(long) };
        let ended = bounds.apply(ended).unwrap();
        assert!(matches!(ended, Report::SessionEnded { error: Some(error), .. } if error.len() == ERROR_BYTES_MAX));
        assert!(bounds.used.is_empty());
    }

    #[test]
    fn a_cut_text_keeps_whole_characters_and_says_so() {
        let text = cut("ä".repeat(100), 51);
        assert!(text.len() <= 51 && text.ends_with(CUT), "{text}");
    }
}
