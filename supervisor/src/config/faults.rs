//! What is wrong with a configuration: every fault at once.
//!
//! Owns: faults, warnings, and the register of keys that were looked for. Never: shows a secret, or stops at the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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

/// Gathers faults while a configuration is read and checked.
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    warnings: Vec<String>,
    known: BTreeMap<String, BTreeSet<&'static str>>,
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

    /// Notes that a section of this kind has this key.
    pub(super) fn know(&mut self, kind: &str, key: &'static str) {
        match self.known.get_mut(kind) {
            Some(keys) => {
                keys.insert(key);
            }
            None => {
                self.known.insert(kind.to_owned(), BTreeSet::from([key]));
            }
        }
    }

    /// Notes a key that nothing asked for; its suggestion is found when all known keys are.
    pub(super) fn unknown(&mut self, kind: &str, path: String, key: String, origin: Origin) {
        self.unknown.push(UnknownKey { kind: kind.to_owned(), path, key, origin });
    }

    /// Every key that was looked for, by the kind of its section (`tenants.NAME.wall`).
    #[cfg(test)]
    pub(super) fn known(&self) -> &BTreeMap<String, BTreeSet<&'static str>> {
        &self.known
    }

    fn remedy_of(&self, unknown: &UnknownKey) -> String {
        let own = self.known.get(&unknown.kind);
        let near = suggest::nearest(&unknown.key, own.into_iter().flatten().copied());
        if let Some(near) = near {
            return format!("did you mean `{near}`?");
        }
        let elsewhere = self.known.iter().find(|(kind, keys)| {
            **kind != unknown.kind && !kind.is_empty() && keys.iter().any(|key| *key == unknown.key)
        });
        if let Some((kind, _)) = elsewhere {
            return format!("it belongs to [{kind}]");
        }
        let keys: Vec<&str> = own.into_iter().flatten().copied().collect();
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
