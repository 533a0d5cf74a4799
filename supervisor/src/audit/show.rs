//! Records, read back.
//!
//! Owns: the filter. Never: holds more records than were asked for, or judges them; that is `verify`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record::LINE_BYTES_MAX;

/// Records shown when nobody says how many.
pub const LAST_DEFAULT: u64 = 50;
/// Most that are shown.
pub const LAST_MAX: u64 = 100_000;

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// This event, or all that begin with it.
    pub event: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this actor.
    pub actor: Option<String>,
}

impl Filter {
    fn takes(&self, record: &Value) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|it| record[name] == it.as_str());
        let event = record["event"].as_str().unwrap_or_default();
        self.event.as_ref().is_none_or(|it| event.starts_with(it.as_str()))
            && is(&self.tenant, "tenant")
            && is(&self.actor, "actor")
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// As it stands in the file.
    pub record: Value,
    /// When, for a person.
    pub time: String,
}

/// The last so many records that the filter takes; lines that are no records are passed over.
pub fn last(file: &Path, filter: &Filter, count: u64) -> io::Result<Vec<Shown>> {
    let count = usize::try_from(count.min(LAST_MAX)).unwrap_or_default();
    let mut found = VecDeque::new();
    let mut lines = BufReader::with_capacity(256 * 1024, File::open(file)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let Ok(record) = serde_json::from_slice::<Value>(&line) else { continue };
        if filter.takes(&record) {
            if found.len() == count {
                found.pop_front();
            }
            found.push_back(record);
        }
    }
    Ok(found.into_iter().map(|record| Shown { time: time(&record), record }).collect())
}

fn time(record: &Value) -> String {
    let seconds = record["timestamp"].as_f64().unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds as i64).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}
