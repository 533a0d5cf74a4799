//! Logs of the supervisor itself: text on a terminal, JSON otherwise, on standard error.
//!
//! Owns: the tracing subscriber and the thread that writes. Never: blocks who logs; a standard error that takes nothing
//! costs counted lines.

use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

use openrtc_policy::bounds::LOG_LINES_QUEUED_MAX;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Rfc3339};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry};

pub mod escape;
mod journal;
pub mod json;
mod line;

use line::{Fields, Line};

/// How lines are written (`[logs] format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line, as OpenRTC writes it (semantics E2).
    Json,
}

/// Whether text is coloured (`--color`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// This process logs already.
    #[error("set up logging twice")]
    Twice(#[source] TryInitError),
}

/// Logging while it lives; dropped, it writes what still waits, for a second at most.
#[derive(Debug)]
pub struct Telemetry {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Telemetry {
    /// Lines lost because standard error took them too slowly.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }
}

/// Logs to standard error from now on, for the whole process: our own lines up to `level`, those of libraries only when
/// they warn. Fails if the process logs already.
pub fn start(format: Format, level: LevelFilter, color: Color) -> Result<Telemetry, TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let style = match format {
        Format::Text => Style::Text { color: colored(color, terminal) },
        Format::Auto if terminal => Style::Text { color: colored(color, terminal) },
        Format::Auto | Format::Json => Style::Json,
    };
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES_QUEUED_MAX).thread_name("log");
    let (writer, guard) = builder.finish(io::stderr());
    let dropped = writer.error_counter();
    let prefixed = journal::is_stderr();
    subscriber(style, prefixed, level, writer).try_init().map_err(TelemetryError::Twice)?;
    Ok(Telemetry { dropped, _writer: guard })
}

/// Now, in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn colored(color: Color, terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Text { color: bool },
    Json,
}

/// The subscriber that [`start`] installs, writing elsewhere.
pub(crate) fn subscriber<W>(
    style: Style,
    prefixed: bool,
    level: LevelFilter,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("openrtc", level);
    Registry::default().with(Lines { style, prefixed, writer }.with_filter(filter))
}

/// Writes one line for each event, with the fields of the spans around it.
struct Lines<W> {
    style: Style,
    /// Whether each begins with its priority, for the journal.
    prefixed: bool,
    writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.merge(outer);
            }
        }
        event.record(&mut fields);
        let mut timestamp = String::new();
        // Writing to a String cannot fail.
        let _ = Rfc3339.format_time(&mut Writer::new(&mut timestamp));
        let metadata = event.metadata();
        let line = Line { timestamp, level: *metadata.level(), logger: metadata.target(), fields };
        let bytes = match self.style {
            Style::Text { color } => line.text(color).into_bytes(),
            // Only strings and numbers are in it, which are always JSON.
            Style::Json => json::line(&line).unwrap_or_default(),
        };
        let mut whole = if self.prefixed { journal::prefix(*metadata.level()).to_vec() } else { Vec::new() };
        whole.extend(bytes);
        // Nobody can be told that the log cannot be written.
        let _ = io::Write::write_all(&mut self.writer.make_writer(), &whole);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    /// Collects what is logged in this thread while the guard lives.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        pub(crate) fn start(style: Style) -> (Self, tracing::subscriber::DefaultGuard) {
            let captured = Self::default();
            let writer = captured.clone();
            let subscriber = subscriber(style, false, LevelFilter::DEBUG, move || writer.clone());
            (captured, tracing::subscriber::set_default(subscriber))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn rows(&self) -> Vec<Value> {
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    #[test]
    fn a_json_line_has_openrtcs_fields_in_order_and_pythons_spacing() {
        let (captured, _guard) = Captured::start(Style::Json);
        tracing::warn!(target: "openrtc.test", tenant = "acme-corp", host = "h1.1", pid = 7, "it is {}", "late");
        let text = captured.text();
        assert!(text.contains(r#""tenant": "acme-corp""#), "{text}");
        let at = |key: &str| text.find(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("{key} in {text}"));
        let keys = ["timestamp", "level", "session_id", "agent_name", "tenant", "logger", "message", "host", "pid"];
        assert!(keys.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
        assert!(text.contains(r#""level": "WARNING", "session_id": null"#), "{text}");
        assert!(text.contains(r#""message": "it is late""#), "{text}");
    }

    #[test]
    fn fields_of_the_spans_around_are_on_the_line() {
        let (captured, _guard) = Captured::start(Style::Json);
        let span = tracing::info_span!(target: "openrtc.test", "host", tenant = "acme", host = tracing::field::Empty);
        span.record("host", "h2.1");
        span.in_scope(|| tracing::info!(target: "openrtc.test", "hello"));
        let row = &captured.rows()[0];
        assert_eq!((row["tenant"].as_str(), row["host"].as_str()), (Some("acme"), Some("h2.1")));
    }

    #[test]
    fn text_puts_our_stamp_before_the_message_and_writes_control_characters_out() {
        let (captured, _guard) = Captured::start(Style::Text { color: false });
        tracing::info!(target: "openrtc.test", tenant = "acme", note = "two words", "bad \x1b[2J\ntenant=evil");
        let text = captured.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(text.contains(r#" INFO tenant=acme bad \x1b[2J\ntenant=evil note="two words""#), "{text}");
    }

    #[test]
    fn for_the_journal_each_line_begins_with_its_priority() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(Style::Json, true, LevelFilter::DEBUG, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "openrtc.test", "bad\n<0>forged");
            tracing::info!(target: "openrtc.test", "well");
        });
        let text = captured.text();
        let starts: Vec<&str> = text.lines().map(|line| &line[..4]).collect();
        assert_eq!(starts, ["<3>{", "<6>{"], "{text}");
    }

    #[test]
    fn libraries_are_heard_only_when_they_warn() {
        let (captured, _guard) = Captured::start(Style::Json);
        tracing::debug!(target: "hyper::proto", "chatter");
        tracing::warn!(target: "hyper::proto", "trouble");
        tracing::debug!(target: "openrtc_supervisor::driver", "ours");
        let messages: Vec<_> = captured.rows().iter().map(|row| row["message"].as_str().unwrap().to_owned()).collect();
        assert_eq!(messages, ["trouble", "ours"]);
    }

    #[test]
    fn a_process_logs_once() {
        let _telemetry = start(Format::Json, LevelFilter::OFF, Color::Auto).unwrap();
        assert!(matches!(start(Format::Json, LevelFilter::OFF, Color::Auto), Err(TelemetryError::Twice(_))));
    }
}
