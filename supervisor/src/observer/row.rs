//! One thing told, as a row: the form that files and readers of events share.
//!
//! Owns: `kind, tenant, session_id, agent_name, host, at_unix_ms, payload`. Never: writes one.

use serde::Serialize;
use serde_json::{Value, json};

use super::Told;
use super::words::{self, Subject};
use crate::telemetry::unix_ms;

/// One row.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub(super) kind: &'a str,
    pub(super) tenant: Option<&'a str>,
    session_id: Option<String>,
    agent_name: Option<&'a str>,
    pub(super) host: Option<String>,
    at_unix_ms: u64,
    pub(super) payload: Value,
}

impl<'a> Row<'a> {
    /// What was told, with the time at which it was.
    pub(super) fn of(told: &'a Told, told_at_unix_ms: u64) -> Self {
        let subject = Subject::of(told);
        let at_unix_ms = match told {
            Told::SessionEvent(stamp, _) | Told::Line(stamp, ..) => stamp.at_unix_ms,
            Told::SessionEnded(ended) => ended.ended_at_unix_ms,
            Told::SessionStarted(..)
            | Told::HostUp { .. }
            | Told::HostDown { .. }
            | Told::Rejected(_)
            | Told::Notice(_)
            | Told::Snapshot(_)
            | Told::Audit(_)
            | Told::Admitted(_) => told_at_unix_ms,
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

    /// Rows that were lost.
    pub(super) fn gap(dropped: u64) -> Self {
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
