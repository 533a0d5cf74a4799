//! A configuration while it is written: one part a line, so that a fault's line leads back to what is at fault.
//!
//! Owns: lines that hold and lines that are comments, and making the one into the other until our own loader is content.
//! Never: drops a line without a word.

use std::path::Path;

use super::ApplicationError;
use super::spelling::{comment, key, text};
use crate::config::paths::Environment;
use crate::config::{Config, ConfigFaults, LoadRequest};

/// Rounds of putting faults right; each takes at least one line out.
const ROUNDS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Blank,
    /// A comment, without its `#`.
    Comment(String),
    /// A table's header, brackets included.
    Header(String),
    /// A key, its value, and what is said beside them.
    Entry(String, String, Option<String>),
}

/// A configuration.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    parts: Vec<Part>,
}

impl Draft {
    /// Says something on a line of its own.
    pub fn say(&mut self, said: &str) {
        self.parts.push(Part::Comment(comment(said)));
    }

    /// Leaves a line free.
    pub fn blank(&mut self) {
        self.parts.push(Part::Blank);
    }

    /// Begins a table: `table(&["tenants", "acme"])`.
    pub fn table(&mut self, path: &[&str]) {
        self.parts.push(Part::Header(format!("[{}]", dotted(path))));
    }

    /// Begins a table of a list.
    pub fn table_of_list(&mut self, path: &[&str]) {
        self.parts.push(Part::Header(format!("[[{}]]", dotted(path))));
    }

    /// Sets a key to a value, spelled as TOML.
    pub fn set(&mut self, name: &str, value: impl Into<String>, why: Option<&str>) {
        self.parts.push(Part::Entry(key(name), value.into(), why.map(comment)));
    }

    /// Sets a key to a text.
    pub fn set_text(&mut self, name: &str, value: &str, why: Option<&str>) {
        self.set(name, text(value), why);
    }

    /// Shows how a key could be set.
    pub fn suggest(&mut self, name: &str, value: &str, why: &str) {
        self.parts.push(Part::Comment(format!("{} = {value}   # {}", key(name), comment(why))));
    }

    /// Whether the last line begins a table: nothing stands in it yet.
    pub fn is_empty_table(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Header(_)))
    }

    /// Takes the last line back.
    pub fn take_back(&mut self) {
        self.parts.pop();
    }

    /// The text.
    pub fn text(&self) -> String {
        let line = |part: &Part| match part {
            Part::Blank => "\n".to_owned(),
            Part::Comment(said) => format!("# {said}\n"),
            Part::Header(header) => format!("{header}\n"),
            Part::Entry(name, value, None) => format!("{name} = {value}\n"),
            Part::Entry(name, value, Some(why)) => format!("{name} = {value}   # {why}\n"),
        };
        self.parts.iter().map(line).collect()
    }

    /// Makes comments of what our own loader refuses, until it refuses nothing. Relative paths are below `dir`.
    ///
    /// # Errors
    ///
    /// Faults that no line of it has.
    pub fn settle(&mut self, dir: &Path) -> Result<Config, ApplicationError> {
        // What it is loaded with elsewhere is not known here; where we keep our state is no part of it.
        let places = ["RUNTIME_DIRECTORY", "STATE_DIRECTORY"].map(|name| (name.to_owned(), "/nowhere".to_owned()));
        let request = LoadRequest { environment: Environment::from(places), ..LoadRequest::default() };
        for _ in 0..ROUNDS_MAX {
            let faults = match Config::generated(&self.text(), "the configuration", dir, &request) {
                Ok(config) => return Ok(config),
                Err(faults) => faults,
            };
            if !self.heed(&faults) {
                return Err(faults.into());
            }
        }
        Err(Config::generated(&self.text(), "the configuration", dir, &request)
            .err()
            .map_or_else(|| ApplicationError::Named { named: String::new() }, ApplicationError::from))
    }

    /// Makes comments of the lines that are at fault; whether there was one.
    fn heed(&mut self, faults: &ConfigFaults) -> bool {
        let mut heeded = false;
        let mut at_fault: Vec<(usize, String)> = faults
            .faults
            .iter()
            .filter_map(|fault| {
                let line = usize::try_from(fault.line?).ok()?.checked_sub(1)?;
                Some((line, format!("{}: {}", fault.problem, fault.remedy)))
            })
            .collect();
        // From the end, for each adds a line.
        at_fault.sort_by_key(|other| std::cmp::Reverse(other.0));
        at_fault.dedup_by_key(|(line, _)| *line);
        for (line, why) in at_fault {
            heeded |= self.leave_out(line, &why);
        }
        heeded
    }

    /// Makes a line a comment, a header with all that belongs to it.
    fn leave_out(&mut self, line: usize, why: &str) -> bool {
        let Some(part) = self.parts.get(line) else { return false };
        let last = match part {
            Part::Blank | Part::Comment(_) => return false,
            Part::Entry(..) => line,
            Part::Header(header) => {
                let below = format!("{}.", header.trim_end_matches(']'));
                let ends = |part: &Part| matches!(part, Part::Header(other) if !other.starts_with(&below));
                let rest = self.parts.iter().skip(line + 1).position(ends);
                rest.map_or(self.parts.len(), |rest| line + 1 + rest) - 1
            }
        };
        for part in &mut self.parts[line..=last] {
            *part = match part {
                Part::Entry(name, value, None) => Part::Comment(format!("{name} = {value}")),
                Part::Entry(name, value, Some(said)) => Part::Comment(format!("{name} = {value}   # {said}")),
                Part::Header(header) => Part::Comment(header.clone()),
                Part::Blank | Part::Comment(_) => continue,
            };
        }
        self.parts.insert(line, Part::Comment(comment(&format!("left out: {why}"))));
        true
    }
}

fn dotted(path: &[&str]) -> String {
    path.iter().map(|part| key(part)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::default();
        draft.set("config_version", "1", None);
        draft.table(&["agents", "a"]);
        draft.set("command", "[\"true\"]", None);
        draft
    }

    #[test]
    fn what_our_loader_refuses_becomes_a_comment_that_says_why() {
        let mut draft = draft();
        draft.table(&["supervisor"]);
        draft.set("max_concurrent_sessions", "0", Some("main.py:3"));
        draft.set("drain_timeout_s", "60", None);
        draft.table(&["tenants", "no id"]);
        draft.set("max_sessions", "3", None);
        draft.table(&["tenants", "no id", "tenant_config"]);
        draft.set_text("llm", "openai/x", None);
        draft.table(&["tenants", "good"]);
        draft.set("max_sessions", "3", None);
        let config = draft.settle(Path::new("/")).unwrap();
        assert_eq!(config.rules.drain_timeout_ms, 60_000);
        assert_eq!(config.tenants.len(), 1);
        let text = draft.text();
        assert!(text.contains("# max_concurrent_sessions = 0   # main.py:3\n"), "{text}");
        assert!(text.contains("# [tenants.\"no id\".tenant_config]\n# llm = "), "{text}");
        assert_eq!(text.matches("# left out: ").count(), 2, "{text}");
    }

    #[test]
    fn a_fault_of_no_line_is_told() {
        let mut draft = Draft::default();
        draft.set("config_version", "1", None);
        assert!(matches!(draft.settle(Path::new("/")), Err(ApplicationError::Config(_))));
    }
}
