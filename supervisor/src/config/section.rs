//! Reads one table key by key: types, ranges and leftovers.
//!
//! Owns: the messages about types and ranges. Never: knows a key by name; what is not asked for is an unknown key.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::faults::Faults;
use super::shape::Shape;
use super::tree::{Entry, Node, Origin, Value};

/// A value with its place, for faults found later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) key: String,
    pub(super) origin: Origin,
}

/// A number, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Off,
    At(u64),
}

impl Limit {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::At(number) => Some(number),
        }
    }
}

/// A number, `"off"` or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auto {
    Auto,
    Limit(Limit),
}

/// One table being read.
pub(super) struct Section<'a> {
    path: String,
    kind: String,
    pub(super) origin: Origin,
    entries: Vec<Entry>,
    pub(super) faults: &'a mut Faults,
}

pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

impl<'a> Section<'a> {
    /// The root of a configuration.
    pub(super) fn root(entries: Vec<Entry>, origin: Origin, faults: &'a mut Faults) -> Self {
        Self { path: String::new(), kind: String::new(), origin, entries, faults }
    }

    /// Path of this table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Reports what nothing asked for. Called for tables by those that open them; by the reader for the root.
    pub(super) fn finish(self) {
        for entry in self.entries {
            let path = entry.written.unwrap_or_else(|| join(&self.path, &entry.key));
            self.faults.unknown(&self.kind, path, entry.key, entry.origin);
        }
    }

    fn take(&mut self, key: &'static str, shape: impl FnOnce() -> Shape) -> Option<Entry> {
        self.faults.know(&self.kind, key, shape);
        self.take_any(key)
    }

    fn take_any(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    fn spot(&mut self, key: &'static str, shape: impl FnOnce() -> Shape) -> Option<Spot<Value>> {
        let entry = self.take(key, shape)?;
        let path = entry.written.unwrap_or_else(|| join(&self.path, key));
        Some(Spot { value: entry.node.value, key: path, origin: entry.node.origin })
    }

    /// Takes a value whole; the caller checks that it is of this shape.
    pub(super) fn node(&mut self, key: &'static str, shape: impl FnOnce() -> Shape) -> Option<Spot<Value>> {
        let spot = self.spot(key, shape)?;
        Some(Spot { value: spot.value.typed(&spot.origin), ..spot })
    }

    fn refuse<T>(&mut self, spot: &Spot<Value>, wanted: &str) -> Option<T> {
        let problem = format!("is {}, not {wanted}", spot.value.kind());
        self.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), problem, format!("give {wanted}"));
        None
    }

    fn in_range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        spot: &Spot<Value>,
        number: Option<T>,
        range: &RangeInclusive<T>,
        unit: &str,
        else_off: bool,
    ) -> Option<T> {
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let off = if else_off { ", or \"off\" for none" } else { "" };
        let remedy = match range.start() == range.end() {
            true => format!("give {}{unit}{off}", range.start()),
            false => format!("give {} to {}{unit}{off}", range.start(), range.end()),
        };
        self.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), "is out of range", remedy);
        None
    }

    fn whole_of(&mut self, spot: &Spot<Value>, range: &RangeInclusive<u64>, else_off: bool) -> Option<u64> {
        match spot.value {
            Value::Whole(number) => self.in_range(spot, u64::try_from(number).ok(), range, "", else_off),
            _ => self.refuse(spot, if else_off { "a whole number or \"off\"" } else { "a whole number" }),
        }
    }

    /// A whole number within a range.
    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let spot = self.node(key, || Shape::Whole(range.clone()))?;
        self.whole_of(&spot, &range, false)
    }

    /// A whole number within a range, or `"off"`.
    pub(super) fn limit(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Limit> {
        let spot = self.node(key, || Shape::Limit(range.clone()))?;
        self.limit_of(&spot, &range)
    }

    /// The same, for a value that was taken already.
    pub(super) fn limit_of(&mut self, spot: &Spot<Value>, range: &RangeInclusive<u64>) -> Option<Limit> {
        match &spot.value {
            Value::Text(text) if text == "off" => Some(Limit::Off),
            _ => self.whole_of(spot, range, true).map(Limit::At),
        }
    }

    /// The same for the seeds' memory keys, where 0 too is off.
    pub(super) fn limit_or_zero(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Limit> {
        let spot = self.node(key, || Shape::LimitOrZero(range.clone()))?;
        match spot.value {
            Value::Whole(0) => Some(Limit::Off),
            _ => self.limit_of(&spot, &range),
        }
    }

    /// A whole number within a range, `"off"` or `"auto"`.
    pub(super) fn auto(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Auto> {
        let spot = self.node(key, || Shape::Auto(range.clone()))?;
        match &spot.value {
            Value::Text(text) if text == "auto" => Some(Auto::Auto),
            _ => self.limit_of(&spot, &range).map(Auto::Limit),
        }
    }

    /// Seconds, whole or not, within a range of milliseconds; gives milliseconds.
    pub(super) fn seconds(&mut self, key: &'static str, range_ms: RangeInclusive<u64>) -> Option<u64> {
        let spot = self.node(key, || Shape::Seconds(range_ms.clone()))?;
        self.seconds_of(&spot, &range_ms)
    }

    /// The same, for a value that was taken already.
    pub(super) fn seconds_of(&mut self, spot: &Spot<Value>, range_ms: &RangeInclusive<u64>) -> Option<u64> {
        let seconds = match spot.value {
            Value::Whole(number) => number as f64,
            Value::Fraction(number) => number,
            _ => return self.refuse(spot, "a number of seconds"),
        };
        let range = *range_ms.start() as f64 / 1000.0..=*range_ms.end() as f64 / 1000.0;
        let seconds = self.in_range(spot, Some(seconds), &range, "seconds", false)?;
        Some((seconds * 1000.0).round() as u64)
    }

    /// A number within a range.
    pub(super) fn ratio(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let spot = self.node(key, || Shape::Ratio(range.clone()))?;
        match spot.value {
            Value::Whole(number) => self.in_range(&spot, Some(number as f64), &range, "", false),
            Value::Fraction(number) => self.in_range(&spot, Some(number), &range, "", false),
            _ => self.refuse(&spot, "a number"),
        }
    }

    /// `true`, `false`, `"on"` or `"off"`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let spot = self.node(key, || Shape::Flag)?;
        match &spot.value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) if text == "on" => Some(true),
            Value::Text(text) if text == "off" => Some(false),
            _ => self.refuse(&spot, "true or false"),
        }
    }

    /// Text, with its place.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Spot<String>> {
        self.text_of(key, || Shape::Text)
    }

    /// The same; the caller checks that it is of this shape.
    pub(super) fn text_of(&mut self, key: &'static str, shape: impl FnOnce() -> Shape) -> Option<Spot<String>> {
        let spot = self.spot(key, shape)?;
        match spot.value {
            Value::Text(value) | Value::Raw(value) => Some(Spot { value, key: spot.key, origin: spot.origin }),
            _ => self.refuse(&spot, "text in quotes"),
        }
    }

    /// Text that is not empty; `""` counts as absent.
    pub(super) fn text_or_none(&mut self, key: &'static str) -> Option<Spot<String>> {
        self.text(key).filter(|spot| !spot.value.is_empty())
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let spot = self.text_of(key, || Shape::Word(words.iter().map(|(word, _)| *word).collect()))?;
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == spot.value) {
            return Some(*choice);
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let value = Some(Value::Text(spot.value).shown());
        self.faults.add(&spot.origin, &spot.key, value, "is none of the choices", format!("use {}", list.join(" or ")));
        None
    }

    /// The items of a list, each with its place; the caller checks that it is of this shape.
    pub(super) fn items(&mut self, key: &'static str, shape: impl FnOnce() -> Shape) -> Option<Spot<Vec<Spot<Value>>>> {
        let spot = self.node(key, shape)?;
        match spot.value {
            Value::List(list) => {
                let name = |at: usize| format!("{}[{at}]", spot.key);
                let items = list.into_iter().enumerate();
                let value = items.map(|(at, node)| Spot { value: node.value, key: name(at), origin: node.origin });
                Some(Spot { value: value.collect(), key: spot.key, origin: spot.origin })
            }
            _ => self.refuse(&spot, "a list"),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Spot<Vec<Spot<String>>>> {
        self.texts_of(key, || Shape::Texts)
    }

    /// The same; the caller checks that it is of this shape.
    pub(super) fn texts_of(
        &mut self,
        key: &'static str,
        shape: impl FnOnce() -> Shape,
    ) -> Option<Spot<Vec<Spot<String>>>> {
        let list = self.items(key, shape)?;
        let mut texts = Vec::new();
        for item in list.value {
            match item.value {
                Value::Text(value) => texts.push(Spot { value, key: item.key, origin: item.origin }),
                _ => {
                    self.refuse::<()>(&item, "text in quotes");
                }
            }
        }
        Some(Spot { value: texts, key: list.key, origin: list.origin })
    }

    /// A path, made absolute; `""` and `"off"` count as absent.
    pub(super) fn path_or_none(&mut self, key: &'static str) -> Option<PathBuf> {
        let spot = self.text_or_none(key).filter(|spot| spot.value != "off")?;
        Some(spot.origin.resolve(&spot.value))
    }

    /// A list of paths, made absolute.
    pub(super) fn paths(&mut self, key: &'static str) -> Option<Vec<PathBuf>> {
        let list = self.texts(key)?;
        Some(list.value.iter().map(|spot| spot.origin.resolve(&spot.value)).collect())
    }

    /// A table, read by `read`; an absent one is read as empty, so that its keys are known.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.table_of(key, || Shape::Table, read)
    }

    fn table_of<T>(
        &mut self,
        key: &'static str,
        shape: impl FnOnce() -> Shape,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let (entries, origin) = match self.spot(key, shape) {
            None => (Vec::new(), self.origin.clone()),
            Some(Spot { value: Value::Table(entries), origin, .. }) => (entries, origin),
            Some(spot) => {
                // The value is not shown: it may be a whole table of secrets, from an environment variable.
                let (problem, remedy) = (spot.value.kind(), format!("write [{}] and its keys below", spot.key));
                self.faults.add(&spot.origin, &spot.key, None, format!("is {problem}, not a table"), remedy);
                (Vec::new(), spot.origin)
            }
        };
        let kind = join(&self.kind, key);
        let mut section = Section { path: join(&self.path, key), kind, origin, entries, faults: &mut *self.faults };
        let read = read(&mut section);
        section.finish();
        read
    }

    /// A table whose keys are names, each a table read by `read`, in the order of the file.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        kind: &str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<(Spot<String>, T)> {
        let shape = || Shape::Named(kind.to_owned());
        self.table_of(key, shape, |tables| {
            let mut named = Vec::new();
            for entry in std::mem::take(&mut tables.entries) {
                let path = join(&tables.path, &entry.key);
                let name = Spot { value: entry.key, key: path.clone(), origin: entry.origin };
                let Value::Table(entries) = entry.node.value else {
                    let value = Some(entry.node.value.shown());
                    let remedy = format!("write [{path}] and its keys below");
                    tables.faults.add(&name.origin, &path, value, "is not a table", remedy);
                    continue;
                };
                let mut section = Section {
                    path,
                    kind: kind.to_owned(),
                    origin: entry.node.origin,
                    entries,
                    faults: &mut *tables.faults,
                };
                named.push((name, read(&mut section)));
                section.finish();
            }
            named
        })
    }

    /// A list of tables, each read by `read`.
    pub(super) fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let Some(list) = self.items(key, || Shape::Tables) else { return Vec::new() };
        let kind = join(&self.kind, key);
        let mut tables = Vec::new();
        for item in list.value {
            let Value::Table(entries) = item.value else {
                self.refuse::<()>(&item, "a table");
                continue;
            };
            let mut section =
                Section { path: item.key, kind: kind.clone(), origin: item.origin, entries, faults: &mut *self.faults };
            tables.push(read(&mut section));
            section.finish();
        }
        tables
    }

    /// What is left, whatever its keys are called; the caller checks that each is of this shape.
    pub(super) fn rest_of(&mut self, shape: Shape) -> Vec<(String, Node, String)> {
        self.faults.know_others(&self.kind, shape);
        self.rest()
    }

    /// Takes what is left without a look.
    pub(super) fn rest(&mut self) -> Vec<(String, Node, String)> {
        let entries = std::mem::take(&mut self.entries);
        let path = &self.path;
        entries.into_iter().map(|entry| (entry.key.clone(), entry.node, join(path, &entry.key))).collect()
    }

    /// Refuses a key that belongs elsewhere.
    pub(super) fn refuse_here(&mut self, key: &'static str, problem: &str, remedy: &str) {
        self.faults.know_refused(&self.kind, key);
        if let Some(entry) = self.take_any(key) {
            let path = join(&self.path, key);
            self.faults.add(&entry.origin, &path, None, problem, remedy);
        }
    }

    /// Refuses keys that a later version builds.
    pub(super) fn later(&mut self, keys: &[(&'static str, &str)]) {
        for (key, remedy) in keys {
            self.refuse_here(key, "is not built in this version", remedy);
        }
    }
}
