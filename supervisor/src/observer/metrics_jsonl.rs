//! OpenRTC's metrics stream, schema 2 (semantics J1 to J4; `[metrics] jsonl`): its readers read ours unchanged.
//!
//! Owns: the envelope, and the events that wait for the next snapshot. Never: keeps rows of an earlier run.
//!
//! As in OpenRTC, each period writes a snapshot and then the events since the last; at most
//! [`METRICS_EVENTS_MAX`] wait, and a row says how many did not fit; a failed session gives `session_failed` and
//! `session_finished`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openrtc_ipc::{HostId, SessionInfo};
use openrtc_policy::Status;
use openrtc_policy::bounds::METRICS_EVENTS_MAX;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::file::{Existing, RowFile};
use super::words::{self, Named};
use super::{Observer, ObserverError, Taken};
use crate::ledger::EndedSession;
use crate::telemetry::json;

/// Version of the envelope and of its payloads (OpenRTC 0.20.1).
pub const SCHEMA_VERSION: u32 = 2;
/// Characters of an error text; OpenRTC's number.
const ERROR_CHARS_MAX: usize = 500;
/// The agent that stands on rows about the stream itself.
const STREAM_AGENT: &str = "__openrtc__";

/// Writes the stream.
#[derive(Debug)]
pub struct MetricsJsonlObserver {
    rows: RowFile,
    seq: u64,
    waiting: Vec<Value>,
    events_max: usize,
    overflow: u64,
    interval: Duration,
    snapshot_due: Instant,
}

impl MetricsJsonlObserver {
    /// Starts the file anew, as each run of OpenRTC does. Snapshots that come sooner than `interval` are passed over;
    /// `events_max` may wait between two of them (OpenRTC: [`METRICS_EVENTS_MAX`]).
    pub fn open(path: PathBuf, interval: Duration, events_max: Option<usize>) -> Result<Self, ObserverError> {
        Ok(Self {
            rows: RowFile::open(path, Existing::Truncated)?,
            seq: 0,
            waiting: Vec::new(),
            events_max: events_max.unwrap_or(METRICS_EVENTS_MAX),
            overflow: 0,
            interval,
            snapshot_due: Instant::now(),
        })
    }

    fn event(&mut self, event: &str, agent: &str, tenant: &str, error: Option<String>) {
        if self.waiting.len() >= self.events_max {
            self.overflow += 1;
            return;
        }
        let mut payload = json!({ "event": event, "agent": agent, "tenant": tenant });
        if let Some(error) = error {
            payload["error"] = error.chars().take(ERROR_CHARS_MAX).collect::<String>().into();
        }
        self.waiting.push(payload);
    }

    fn write(&mut self, kind: &str, payload: Value) -> Taken {
        self.seq += 1;
        let wall_time_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut row = json!({
            "schema_version": SCHEMA_VERSION,
            "kind": kind,
            "seq": self.seq,
            "wall_time_unix": wall_time_unix,
            "payload": payload,
        });
        row.sort_all_objects();
        self.rows.push(&json::line(&row)?)
    }

    fn write_events(&mut self) -> Taken {
        let mut outcome = Ok(());
        for payload in std::mem::take(&mut self.waiting) {
            outcome = outcome.and(self.write("event", payload));
        }
        let overflow = std::mem::take(&mut self.overflow);
        if overflow > 0 {
            let payload =
                json!({ "event": "metrics_stream_overflow", "agent": STREAM_AGENT, "overflow_dropped": overflow });
            outcome = outcome.and(self.write("event", payload));
        }
        outcome
    }
}

impl Observer for MetricsJsonlObserver {
    fn name(&self) -> &str {
        "metrics_jsonl"
    }

    async fn on_session_start(&mut self, info: &SessionInfo, _host: HostId) -> Taken {
        self.event("session_started", info.agent.as_str(), info.tenant.as_str(), None);
        Ok(())
    }

    async fn on_session_end(&mut self, ended: &EndedSession) -> Taken {
        let outcome = &ended.conclusion.outcome;
        let (agent, tenant) = (words::agent(ended).as_str(), ended.conclusion.plan.tenant.as_str());
        if outcome.status == Status::Failed {
            let reason = Named::of(&outcome.reason);
            let error = match &outcome.error {
                Some(error) => format!("{reason}: {error}"),
                None => reason.to_string(),
            };
            self.event("session_failed", agent, tenant, Some(error));
        }
        self.event("session_finished", agent, tenant, None);
        Ok(())
    }

    async fn on_snapshot(&mut self, snapshot: &Value) -> Taken {
        let now = Instant::now();
        if now < self.snapshot_due {
            return Ok(());
        }
        self.snapshot_due = now + self.interval;
        let snapshot = self.write("snapshot", snapshot.clone());
        snapshot.and(self.write_events())
    }

    /// Between snapshots events wait; what waits at the end is written when the observer is dropped.
    async fn flush(&mut self) -> Taken {
        self.rows.flush()
    }
}

impl Drop for MetricsJsonlObserver {
    fn drop(&mut self) {
        let written = self.write_events().and_then(|()| self.rows.write_out());
        if let Err(error) = written {
            tracing::warn!(target: "openrtc.observer", error = &error as &dyn std::error::Error,
                "the last metrics were not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use openrtc_policy::Reason;

    use super::super::{Told, samples};
    use super::*;

    async fn rows(told: Vec<Told>, interval: Duration) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openrtc-metrics.jsonl");
        std::fs::write(&path, "rows of the run before\n").unwrap();
        let mut observer = MetricsJsonlObserver::open(path.clone(), interval, None).unwrap();
        for told in told {
            observer.on(&told, 1).await.unwrap();
        }
        drop(observer);
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn snapshot() -> Told {
        Told::Snapshot(std::sync::Arc::new(json!({ "timestamp": 1.5, "active_sessions": 1 })))
    }

    fn events(rows: &[Value]) -> Vec<&str> {
        rows.iter().filter_map(|row| row["payload"]["event"].as_str()).collect()
    }

    #[tokio::test]
    async fn a_row_has_openrtcs_envelope_with_sorted_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut observer = MetricsJsonlObserver::open(path.clone(), Duration::ZERO, None).unwrap();
        observer.on(&snapshot(), 1).await.unwrap();
        observer.flush().await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let start = r#"{"kind": "snapshot", "payload": {"active_sessions": 1, "timestamp": 1.5}, "schema_version": 2, "seq": 1, "wall_time_unix": "#;
        assert!(text.starts_with(start), "{text}");
        let row: Value = serde_json::from_str(&text).unwrap();
        assert!(row["wall_time_unix"].as_f64().unwrap() > 1.7e9);
    }

    #[tokio::test]
    async fn a_snapshot_comes_first_then_the_events_since_the_last() {
        let told = vec![samples::started(), snapshot(), samples::ended(Status::Success, Reason::Completed, None)];
        let rows = rows(told, Duration::ZERO).await;
        let kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["snapshot", "event", "event"]);
        assert_eq!(events(&rows), ["session_started", "session_finished"]);
        assert_eq!(
            rows[1]["payload"],
            json!({ "event": "session_started", "agent": "support", "tenant": "acme-corp" })
        );
        let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_failure_is_a_failed_row_and_a_finished_row() {
        let error = "é".repeat(600);
        let rows = rows(vec![samples::ended(Status::Failed, Reason::MemoryLimit, Some(&error))], Duration::ZERO).await;
        assert_eq!(events(&rows), ["session_failed", "session_finished"]);
        let said = rows[0]["payload"]["error"].as_str().unwrap();
        assert!(said.starts_with("memory_limit: é"));
        assert_eq!(said.chars().count(), 500);
        assert_eq!(rows[1]["payload"].get("error"), None);
        let cancelled = self::rows(vec![samples::ended(Status::Cancelled, Reason::OperatorKill, None)], Duration::ZERO);
        assert_eq!(events(&cancelled.await), ["session_finished"]);
    }

    #[tokio::test]
    async fn events_beyond_the_bound_are_counted_in_a_row_of_their_own() {
        let mut told: Vec<_> = (0..300).map(|_| samples::started()).collect();
        told.push(snapshot());
        let rows = rows(told, Duration::ZERO).await;
        assert_eq!(rows.len(), 1 + METRICS_EVENTS_MAX + 1);
        let overflow = json!({ "event": "metrics_stream_overflow", "agent": "__openrtc__", "overflow_dropped": 44 });
        assert_eq!(rows.last().unwrap()["payload"], overflow);
    }

    #[tokio::test]
    async fn snapshots_that_come_too_soon_are_passed_over() {
        let rows = rows(vec![snapshot(), snapshot(), snapshot()], Duration::from_secs(3600)).await;
        assert_eq!(rows.len(), 1);
    }
}
