//! Everything that is told, as one JSON row each (`[observers.jsonl] path`).
//!
//! Owns: the form of a row: `kind, tenant, session_id, agent_name, host, at_unix_ms, payload`. Never: fails for a full
//! disk; rows then wait, and when there is no more room they are counted in a row of kind `gap`.

use std::path::PathBuf;

use super::file::{Existing, RowFile};
use super::row::Row;
use super::{Observer, ObserverError, Taken, Told};
use crate::telemetry::json;

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

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::super::samples;
    use super::*;

    async fn rows(told: &[Told]) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("observed.jsonl");
        let mut observer = JsonlObserver::open(path.clone()).unwrap();
        for told in told {
            observer.on(told, 99).await.unwrap();
        }
        observer.flush().await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_thing_told_is_one_row_with_every_field() {
        let told = samples::every();
        let rows = rows(&told).await;
        assert_eq!(rows.len(), told.len());
        for row in &rows {
            let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = ["kind", "tenant", "session_id", "agent_name", "host", "at_unix_ms", "payload"].to_vec();
            expected.sort_unstable();
            assert_eq!(keys, expected, "{row}");
            assert!(row["payload"].is_object(), "{row}");
        }
        let mut kinds: Vec<_> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
        kinds.dedup();
        let expected = [
            "session_start",
            "session_event",
            "session_end",
            "host_up",
            "host_down",
            "log",
            "rejection",
            "notice",
            "snapshot",
        ];
        assert_eq!(kinds, expected);
    }

    #[tokio::test]
    async fn a_session_s_rows_say_whose_where_and_why() {
        let rows = rows(&[samples::started(), samples::failed(), samples::died()]).await;
        for row in &rows[..2] {
            assert_eq!(row["tenant"], "acme-corp");
            assert_eq!(row["session_id"], "s-1a2b3c4d-17");
            assert_eq!(row["agent_name"], "support", "the agent that ran it, not the one first chosen");
            assert_eq!(row["host"], "h3.1");
        }
        assert_eq!(rows[0]["at_unix_ms"], 99);
        assert_eq!(rows[0]["payload"]["metadata"]["tenant"], "acme-corp");
        assert_eq!(rows[1]["at_unix_ms"], 6);
        assert_eq!(rows[1]["payload"]["status"], "failed");
        assert_eq!(rows[1]["payload"]["reason"], "host_exit");
        assert_eq!(rows[1]["payload"]["reason_details"], json!({ "code": 3 }));
        assert_eq!(rows[1]["payload"]["usage"]["llm_tokens_in"], 7);
        assert_eq!(rows[2]["payload"]["reason"], "mem_watchdog");
        assert_eq!(rows[2]["payload"]["sessions"], json!(["s-1a2b3c4d-17"]));
        assert_eq!(rows[2]["payload"]["evidence"]["last_stderr"], "MemoryError");
    }

    #[tokio::test]
    async fn events_are_spelt_as_command_agents_spell_them() {
        let rows = rows(&samples::every()).await;
        let types: Vec<_> = rows.iter().filter_map(|row| row["payload"]["type"].as_str()).collect();
        assert_eq!(types, ["turn", "usage", "latency", "state", "log", "custom"]);
        assert_eq!(rows[1]["payload"]["speaker"], "user");
        assert_eq!(rows[6]["payload"]["data"], json!({ "value": 1 }));
    }

    #[tokio::test]
    async fn when_there_is_no_room_rows_are_lost_with_a_count_and_the_rest_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both, so that opening does not wait for the other end.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let wide = nix::fcntl::FcntlArg::F_SETPIPE_SZ(1024 * 1024);
        nix::fcntl::fcntl(&reader, wide).unwrap();
        let mut observer = JsonlObserver::open(path).unwrap();
        let long = samples::line(&"x".repeat(16 * 1024));
        let mut failures = 0;
        let told = 400;
        for _ in 0..told {
            failures += u32::from(observer.on(&long, 1).await.is_err());
        }
        assert!(failures > 0, "a full pipe is an error");
        // Now somebody makes room.
        let reading = std::thread::spawn(move || {
            let rows = BufReader::new(reader).lines().map(|row| serde_json::from_str::<Value>(&row.unwrap()).unwrap());
            for (whole, row) in (0u64..).zip(rows) {
                if row["kind"] == "gap" {
                    return (whole, row["payload"]["rows_dropped"].as_u64().unwrap());
                }
            }
            panic!("the pipe ended without a gap row");
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !reading.is_finished() {
            assert!(Instant::now() < deadline, "no gap row came");
            _ = observer.flush().await;
        }
        let (whole, dropped) = reading.join().unwrap();
        assert!(dropped > 0);
        assert_eq!(whole + dropped, told);
    }
}
