//! One log line: what every line says, as JSON or as text.
//!
//! Owns: the fields of a line (semantics E2) and their order. Never: lets a message stand where our stamp stands.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::escape::escaped;

/// The fields that say whose a line is; in text they come before the message, so that no message can forge them.
const STAMP: [&str; 4] = ["tenant", "session_id", "agent_name", "host"];

/// Fields of an event or a span, as they were recorded.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.set(name, value.clone());
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn rest(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter().filter(|(name, _)| !STAMP.contains(name) && !matches!(*name, "message" | "exc_info"))
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.set(field.name(), text.into());
    }
}

/// A whole line.
pub(super) struct Line<'a> {
    pub(super) timestamp: String,
    pub(super) level: Level,
    pub(super) logger: &'a str,
    pub(super) fields: Fields,
}

impl Line<'_> {
    /// Python's names, as in OpenRTC's lines.
    fn level_name(&self) -> &'static str {
        match self.level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        }
    }

    /// The line as text, with its newline.
    pub(super) fn text(&self, color: bool) -> String {
        let (paint, dim, plain) = if color { (self.paint(), "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{dim}{}{plain} {paint}{:>5}{plain}", self.timestamp, self.level.as_str());
        for name in STAMP {
            if let Some(value) = self.fields.get(name) {
                _ = write!(text, " {dim}{name}={plain}{}", shown(value));
            }
        }
        if let Some(message) = self.fields.get("message") {
            _ = write!(text, " {}", escaped(message.as_str().unwrap_or_default()));
        }
        for (name, value) in self.fields.rest() {
            _ = write!(text, " {dim}{}={plain}{}", escaped(name), shown(value));
        }
        if let Some(value) = self.fields.get("exc_info") {
            _ = write!(text, " {dim}exc_info={plain}{}", shown(value));
        }
        text.push('\n');
        text
    }

    fn paint(&self) -> &'static str {
        match self.level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            Level::DEBUG | Level::TRACE => "\x1b[34m",
        }
    }
}

/// A value in a text line; quoted when it could be mistaken for more than one.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => {
            Cow::Borrowed(text)
        }
        Value::String(text) => Cow::Owned(format!("\"{}\"", escaped(&text.replace('"', "\\\"")))),
        value => Cow::Owned(value.to_string()),
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let field = |name| self.fields.get(name).unwrap_or(&Value::Null);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("level", self.level_name())?;
        map.serialize_entry("session_id", field("session_id"))?;
        map.serialize_entry("agent_name", field("agent_name"))?;
        map.serialize_entry("tenant", field("tenant"))?;
        map.serialize_entry("logger", self.logger)?;
        map.serialize_entry("message", field("message").as_str().unwrap_or_default())?;
        if let Some(value) = self.fields.get("exc_info") {
            map.serialize_entry("exc_info", value)?;
        }
        if let Some(value) = self.fields.get("host") {
            map.serialize_entry("host", value)?;
        }
        for (name, value) in self.fields.rest() {
            // A field may not take the place of one of ours.
            if matches!(*name, "timestamp" | "level" | "logger") {
                continue;
            }
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
