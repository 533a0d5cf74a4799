//! A TOML text as a tree in which everything knows where it stands.
//!
//! Owns: parsing, positions and the order of keys as written. Never: knows a key, or shows the line of a syntax error
//! (a secret may stand in it).
//!
//! Not serde: a derived `Deserialize` stops at its first error, and faults are to be told all at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::faults::Faults;

/// Bytes of one configuration file; more is refused.
pub(super) const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Characters of a value shown in a fault.
const SHOWN_CHARS_MAX: usize = 60;

/// A file, environment variable or flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// As shown to a person.
    pub(super) name: String,
    /// What relative paths in it are relative to.
    pub(super) dir: PathBuf,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// In which source.
    pub(super) source: Arc<Source>,
    /// On which line, from 1.
    pub(super) line: Option<u32>,
}

impl Origin {
    /// The whole of a source.
    pub(super) fn whole(name: impl Into<String>, dir: &Path) -> Self {
        Self { source: Arc::new(Source { name: name.into(), dir: dir.to_owned() }), line: None }
    }

    /// A path written here, made absolute.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.source.dir.join(path).components().collect()
    }
}

/// A value. It has no `Debug`: it may be a secret.
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Fraction(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// From an environment variable or a flag: text, number or list, as the key wants it.
    Raw(String),
}

/// A value and its place.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A key and its value.
pub(super) struct Entry {
    pub(super) key: String,
    /// The path as the user wrote it, where that differs (a seed's spelling).
    pub(super) written: Option<String>,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Value {
    /// The value for a fault: short, and empty shells for lists and tables.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) | Self::Raw(text) => {
                let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                let cut = if short.len() < text.len() { "…" } else { "" };
                format!("{short:?}{cut}")
            }
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Date(date) => date.clone(),
            Self::List(_) => "[…]".to_owned(),
            Self::Table(_) => "{…}".to_owned(),
        }
    }

    /// What kind of value this is, for a person.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "text",
            Self::Whole(_) | Self::Fraction(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// A raw value as TOML would read it, else as text.
    pub(super) fn typed(self, origin: &Origin) -> Self {
        match self {
            Self::Raw(text) => match DeValue::parse(&text) {
                Ok(value) => convert(value.into_inner(), &mut |_| origin.clone()).value_or_text(text),
                Err(_) => Self::Text(text),
            },
            typed => typed,
        }
    }

    fn value_or_text(self, text: String) -> Self {
        match self {
            Self::Date(_) => Self::Text(text),
            other => other,
        }
    }

    /// The value as JSON; `None` where JSON has no such number.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match self {
            Self::Text(text) | Self::Raw(text) | Self::Date(text) => Json::from(text.as_str()),
            Self::Whole(number) => Json::from(i64::try_from(*number).ok()?),
            Self::Fraction(number) => Json::Number(serde_json::Number::from_f64(*number)?),
            Self::Flag(flag) => Json::from(*flag),
            Self::List(list) => Json::Array(list.iter().map(|node| node.value.json()).collect::<Option<_>>()?),
            Self::Table(entries) => Json::Object(json_object(entries)?),
        })
    }
}

/// A table as JSON; `None` where JSON has no such number.
pub(super) fn json_object(entries: &[Entry]) -> Option<serde_json::Map<String, serde_json::Value>> {
    entries.iter().map(|entry| Some((entry.key.clone(), entry.node.value.json()?))).collect()
}

/// Starts of lines, to find the line of a byte.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(starts).collect())
    }

    fn line(&self, byte: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= byte)).unwrap_or(u32::MAX)
    }
}

/// Parses a text into the entries of its root table; syntax errors become faults and an empty root.
pub(super) fn parse(text: &str, source: &Arc<Source>, faults: &mut Faults) -> Vec<Entry> {
    let lines = Lines::of(text);
    let whole = Origin { source: source.clone(), line: None };
    if text.len() > FILE_BYTES_MAX {
        let size = Some(format!("{} bytes", text.len()));
        faults.add(&whole, "", size, "file is too large", format!("keep it below {FILE_BYTES_MAX} bytes"));
        return Vec::new();
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map(|span| lines.line(span.start));
        let origin = Origin { source: source.clone(), line };
        faults.add(&origin, "", None, format!("not TOML: {}", error.message()), "correct the syntax");
    }
    if !errors.is_empty() {
        return Vec::new();
    }
    let mut place = |byte: usize| Origin { source: source.clone(), line: Some(lines.line(byte)) };
    table(root.into_inner(), &mut place)
}

fn table(table: DeTable<'_>, place: &mut impl FnMut(usize) -> Origin) -> Vec<Entry> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, value)| {
            let origin = place(key.span().start);
            let at = place(value.span().start);
            let node = Node { value: convert(value.into_inner(), place), origin: at };
            Entry { key: key.into_inner().into_owned(), written: None, origin, node }
        })
        .collect()
}

fn convert(value: DeValue<'_>, place: &mut impl FnMut(usize) -> Origin) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Whole(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(number) => Value::Fraction(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(list) => Value::List(
            list.into_iter()
                .map(|item| {
                    let origin = place(item.span().start);
                    Node { value: convert(item.into_inner(), place), origin }
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, place)),
    }
}
