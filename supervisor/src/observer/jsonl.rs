//! Everything that is told, as one JSON row each (`[observers.jsonl] path`).
//!
//! Owns: the form of a row: `kind, tenant, session_id, agent_name, host, at_unix_ms, payload`. Never: fails for a full
//! disk; rows then wait, and when there is no more room they are counted in a row of kind `gap`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::fanout::unix_ms;
use super::file::{Existing, RowFile};
use super::words::{self, Subject};
use super::{Observer, ObserverError, Taken, Told};
use crate::telemetry::json;

/// One row.
#[derive(Debug, Serialize)]
struct Row<'a> {
    kind: &'a str,
    tenant: Option<&'a str>,
    session_id: Option<String>,
    agent_name: Option<&'a str>,
    host: Option<String>,
    at_unix_ms: u64,
    payload: Value,
}

impl<'a> Row<'a> {
    fn of(told: &'a Told, told_at_unix_ms: u64) -> Self {
        let subject = Subject::of(told);
        let at_unix_ms = match told {
            Told::SessionEvent(stamp, _) | Told::Line(stamp, ..) => stamp.at_unix_ms,
            Told::SessionEnded(ended) => ended.ended_at_unix_ms,
            Told::SessionStarted(..)
            | Told::HostUp { .. }
            | Told::HostDown { .. }
            | Told::Notice(_)
            | Told::Snapshot(_) => told_at_unix_ms,
        };
        Self {
            kind: words::kind(told),
            tenant: subject.tenant.map(|tenant| tenant.as_str()),
            session_id: subject.session.map(|session| session.to_string()),
            agent_name: subject.agent.map(|agent| agent.as_str()),
            host: subject.host.map(|host| host.to_string()),
            at_unix_ms,
            payload: words::payload(told),
        }
    }

    fn gap(dropped: u64) -> Self {
        Self {
            kind: "gap",
            tenant: None,
            session_id: None,
            agent_name: None,
            host: None,
            at_unix_ms: unix_ms(),
            payload: json!({ "rows_dropped": dropped }),
        }
    }
}

/// Writes the rows.
#[derive(Debug)]
pub struct JsonlObserver {
    rows: RowFile,
}

impl JsonlObserver {
    /// Appends to this file, which is made for its owner alone if it is not there.
    pub fn open(path: PathBuf) -> Result<Self, ObserverError> {
        Ok(Self { rows: RowFile::open(path, Existing::Kept)? })
    }
}

impl Observer for JsonlObserver {
    fn name(&self) -> &str {
        "jsonl"
    }

    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        self.rows.push(&json::line(&Row::of(told, at_unix_ms))?)
    }

    async fn flush(&mut self) -> Taken {
        self.rows.flush()?;
        match self.rows.take_dropped() {
            Some(dropped) => self.rows.push(&json::line(&Row::gap(dropped))?).and_then(|()| self.rows.flush()),
            None => Ok(()),
        }
    }
}
