//! What a key takes, as far as it can be said of a key alone.
//!
//! Owns: the shapes, noted by the reader of each key as it reads it, so that a schema cannot say another thing than the
//! loader does. Never: checks a value; what stands in one key and depends on another has no shape.

use std::ops::RangeInclusive;

/// What a key takes.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A whole number within a range.
    Whole(RangeInclusive<u64>),
    /// The same, or `"off"`.
    Limit(RangeInclusive<u64>),
    /// The same, or 0, which is off too.
    LimitOrZero(RangeInclusive<u64>),
    /// A whole number within a range, `"off"` or `"auto"`.
    Auto(RangeInclusive<u64>),
    /// Seconds, within a range of milliseconds.
    Seconds(RangeInclusive<u64>),
    /// A list of those, of 1 to 16 waits.
    Waits(RangeInclusive<u64>),
    /// A number within a range.
    Ratio(RangeInclusive<f64>),
    /// `true`, `false`, `"on"` or `"off"`.
    Flag,
    /// A text.
    Text,
    /// A text that is not longer than so many bytes, and not empty.
    Short(u64),
    /// A text of this pattern.
    Pattern(&'static str),
    /// One of these words.
    Word(Vec<&'static str>),
    /// A list of texts.
    Texts,
    /// A list of so many texts at least.
    SomeTexts(u64),
    /// A list of these words; one at least, where that is so.
    Words(Vec<&'static str>, bool),
    /// This word, or a list of texts.
    WordOrTexts(&'static str),
    /// A text, or a port.
    AddressOrPort,
    /// `"any"`, or TCP ports.
    Ports,
    /// First and last uid.
    Uids,
    /// A reference to a secret.
    Secret,
    /// A text, a whole number, or a reference to a secret.
    Variable,
    /// A text, a whole number, `true` or `false`.
    Scalar,
    /// A provider.
    Provider,
    /// A table of free form.
    Free,
    /// A table; its keys are those of its own kind of section.
    Table,
    /// Tables under names, of this kind of section.
    Named(String),
    /// A list of tables; their keys are those of its own kind of section.
    Tables,
}
