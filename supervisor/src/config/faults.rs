//! What is wrong with a configuration: every fault at once.
//!
//! Owns: faults, warnings, and the register of keys that were looked for. Never: shows a secret, or stops at the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::shape::Shape;
use super::suggest;
use super::tree::Origin;

/// One thing that is wrong, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, environment variable or flag that it stands in.
    pub source: String,
    /// Line within the file, from 1.
    pub line: Option<u32>,
    /// Path of the key (`tenants.acme-corp.max_sessions`), as it was written; empty for a whole file.
    pub key: String,
    /// The value as it was given, shortened; `None` where there is none or where it may be a secret.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}: {}", self.problem, self.remedy)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults {
    /// In the order of the files and their lines; never empty.
    pub faults: Vec<Fault>,
    /// What is merely suspicious.
    pub warnings: Vec<String>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.faults.len() == 1 { "fault" } else { "faults" };
        write!(f, "load the configuration: {} {plural}", self.faults.len())?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

struct UnknownKey {
    kind: String,
    path: String,
    key: String,
    origin: Origin,
}

/// What is known of a kind of section (`tenants.NAME.wall`), noted while one is read.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its keys.
    pub(super) keys: BTreeMap<&'static str, Shape>,
    /// What stands under any other name, where it may have some.
    pub(super) others: Option<Shape>,
    /// Keys that it refuses with a reason of their own.
    pub(super) refused: BTreeSet<&'static str>,
}

/// Gathers faults while a configuration is read and checked.
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    warnings: Vec<String>,
    known: BTreeMap<String, Known>,
    unknown: Vec<UnknownKey>,
}

impl Faults {
    /// Notes a fault. `value` must not be a secret.
    pub(super) fn add(
        &mut self,
        origin: &Origin,
        key: &str,
        value: Option<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.list.push(Fault {
            source: origin.source.name.clone(),
            line: origin.line,
            key: key.to_owned(),
            value,
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// Whether anything is wrong so far.
    pub(super) fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Notes something suspicious that is no fault.
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Notes that a section of this kind has this key, which takes this.
    pub(super) fn know(&mut self, kind: &str, key: &'static str, shape: impl FnOnce() -> Shape) {
        self.of_kind(kind, |known| {
            known.keys.entry(key).or_insert_with(shape);
        });
    }

    /// Notes that a section of this kind has keys of any name, which take this.
    pub(super) fn know_others(&mut self, kind: &str, shape: Shape) {
        self.of_kind(kind, |known| {
            known.others.get_or_insert(shape);
        });
    }

    /// Notes that a section of this kind refuses this key.
    pub(super) fn know_refused(&mut self, kind: &str, key: &'static str) {
        self.of_kind(kind, |known| {
            known.refused.insert(key);
        });
    }

    fn of_kind(&mut self, kind: &str, note: impl FnOnce(&mut Known)) {
        match self.known.get_mut(kind) {
            Some(known) => note(known),
            None => note(self.known.entry(kind.to_owned()).or_default()),
        }
    }

    /// Notes a key that nothing asked for; its suggestion is found when all known keys are.
    pub(super) fn unknown(&mut self, kind: &str, path: String, key: String, origin: Origin) {
        self.unknown.push(UnknownKey { kind: kind.to_owned(), path, key, origin });
    }

    /// Every key that was looked for, by the kind of its section.
    pub(super) fn known(&self) -> &BTreeMap<String, Known> {
        &self.known
    }

    fn remedy_of(&self, unknown: &UnknownKey) -> String {
        let own = self.known.get(&unknown.kind).into_iter().flat_map(|known| known.keys.keys().copied());
        let near = suggest::nearest(&unknown.key, own.clone());
        if let Some(near) = near {
            return format!("did you mean `{near}`?");
        }
        let elsewhere = self.known.iter().find(|(kind, known)| {
            **kind != unknown.kind && !kind.is_empty() && known.keys.contains_key(unknown.key.as_str())
        });
        if let Some((kind, _)) = elsewhere {
            return format!("it belongs to [{kind}]");
        }
        let keys: Vec<&str> = own.collect();
        match keys.is_empty() {
            true => "remove it".to_owned(),
            false => format!("remove it; the keys here are {}", keys.join(", ")),
        }
    }

    /// Ends the gathering: the warnings, or every fault.
    pub(super) fn finish(mut self) -> Result<Vec<String>, ConfigFaults> {
        for unknown in std::mem::take(&mut self.unknown) {
            let remedy = self.remedy_of(&unknown);
            self.add(&unknown.origin, &unknown.path, None, "unknown key", remedy);
        }
        if self.list.is_empty() {
            return Ok(self.warnings);
        }
        let mut order: Vec<String> = Vec::new();
        for fault in &self.list {
            if !order.contains(&fault.source) {
                order.push(fault.source.clone());
            }
        }
        self.list.sort_by_key(|fault| (order.iter().position(|name| *name == fault.source), fault.line));
        self.list.dedup();
        Err(ConfigFaults { faults: self.list, warnings: self.warnings })
    }
}
