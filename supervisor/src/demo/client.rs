//! The demo's only contact with the supervisor: its control API over the Unix socket, and its JSONL observer's file.
//!
//! Owns: requests, and reading answers into the few figures the demo needs. Never: reaches into the supervisor; what
//! is read here any client could read.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;

/// Bytes of an answer. Longer: an error.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest wait for an answer; a dispatch that waits takes as long as its call.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Why the supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token file cannot be read.
    #[error("read the control token {path}")]
    Token {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be reached.
    #[error("connect to the control socket {path}")]
    Connect {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The request failed on its way.
    #[error("ask the supervisor for {what}")]
    Http {
        /// Method and path.
        what: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer did not come, was too long or was no JSON.
    #[error("read the supervisor's answer to {what}: {detail}")]
    Answer {
        /// Method and path.
        what: String,
        /// What was wrong with it.
        detail: String,
    },
    /// The supervisor refused what the demo needs.
    #[error("have the supervisor do {what}: it answered {status} {detail}")]
    Refused {
        /// Method and path.
        what: String,
        /// HTTP status.
        status: u16,
        /// The problem as it was told.
        detail: String,
    },
    /// The observer's file cannot be read.
    #[error("read the events in {path}")]
    Events {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A session to be asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose.
    pub tenant: &'static str,
    /// Which agent.
    pub agent: &'static str,
    /// The room.
    pub room: String,
    /// Job metadata.
    pub metadata: Value,
    /// The recording, if the agent needs one.
    pub input: Option<PathBuf>,
}

/// How an asked-for session came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was admitted and ended.
    Ended {
        /// Its id.
        session: String,
        /// `success`, `failed` or `cancelled`.
        status: String,
        /// Why it ended.
        reason: String,
    },
    /// It was refused.
    Rejected {
        /// Why.
        reason: String,
        /// When to ask again, in milliseconds, where known.
        retry_after_ms: Option<u64>,
    },
}

/// One wall as the supervisor vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WallSeen {
    /// Its name.
    pub wall: String,
    /// `kernel`, `sampled` or `absent`.
    pub strength: String,
    /// By which means, or why it is absent.
    pub means: String,
}

/// One host in a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSeen {
    /// Whose.
    pub tenant: String,
    /// Memory of its own whole tree.
    pub memory_mb: f64,
    /// CPU, 100 being one core.
    pub cpu_pct: f64,
    /// The walls around it.
    pub walls: Vec<WallSeen>,
}

/// What the demo reads of a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Live hosts.
    pub hosts: Vec<HostSeen>,
    /// Live sessions by tenant.
    pub sessions: BTreeMap<String, u64>,
    /// State of each tenant's breaker.
    pub breakers: BTreeMap<String, String>,
}

/// What happened in a session, from the observer's file.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A step's time.
    Latency {
        /// Which step.
        stage: String,
        /// Microseconds.
        micros: u64,
    },
    /// Somebody spoke.
    Turn,
    /// An event of the agent's own.
    Custom {
        /// Its name.
        name: String,
        /// What it carries.
        data: Value,
    },
    /// The session is over.
    Ended,
}

/// One line of the observer's file that the demo understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// In which session.
    pub session: String,
    /// When the supervisor had it, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What.
    pub what: What,
}

/// The supervisor's control API, and where its observer writes.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    token_file: PathBuf,
    events: PathBuf,
}

impl Client {
    /// A client of the supervisor that listens, or will listen, here.
    pub fn new(socket: PathBuf, token_file: PathBuf, events: PathBuf) -> Self {
        Self { socket, token_file, events }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value), ClientError> {
        let what = format!("{method} {path}");
        let answer = tokio::time::timeout(ANSWER_DEADLINE, self.exchange(method, path, body, &what)).await;
        answer.unwrap_or_else(|_| Err(ClientError::Answer { what, detail: "none within 60 s".to_owned() }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        what: &str,
    ) -> Result<(StatusCode, Value), ClientError> {
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(|source| ClientError::Token { path: self.token_file.clone(), source })?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Connect { path: self.socket.clone(), source })?;
        let http = |source| ClientError::Http { what: what.to_owned(), source };
        let answer = |detail: String| ClientError::Answer { what: what.to_owned(), detail };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .body(Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default()))
            .map_err(|error| answer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(http)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| answer(error.to_string()))?.to_bytes();
        connection.abort();
        if bytes.is_empty() {
            return Ok((status, Value::Null));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| answer(format!("{status}, {error}")))?;
        Ok((status, value))
    }

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let (status, value) = self.ask(Method::GET, path, None).await?;
        if status.is_success() { Ok(value) } else { Err(refused(&format!("GET {path}"), status, &value)) }
    }

    /// Asks for a session and waits for its end.
    ///
    /// # Errors
    /// When there is no understandable answer; a refusal by admission is an [`Answer`].
    pub async fn dispatch(&self, ask: &Ask) -> Result<Answer, ClientError> {
        let body = json!({
            "room": ask.room, "tenant": ask.tenant, "agent": ask.agent, "metadata": ask.metadata.to_string(),
            "input": ask.input, "wait": true,
        });
        let (status, value) = self.ask(Method::POST, "/v1/dispatch", Some(body)).await?;
        if status == StatusCode::CONFLICT || value.get("reason").is_some() {
            let retry_after_ms = value.get("retry_after_s").and_then(Value::as_f64).map(|s| (s * 1000.0).ceil() as u64);
            return Ok(Answer::Rejected { reason: text(&value, "reason"), retry_after_ms });
        }
        match (value.get("admitted"), value.get("ended")) {
            (Some(admitted), Some(ended)) if status.is_success() => Ok(Answer::Ended {
                session: text(admitted, "session"),
                status: text(ended, "status"),
                reason: text(ended, "reason"),
            }),
            _ => Err(refused("POST /v1/dispatch", status, &value)),
        }
    }

    /// The supervisor's view of now.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let value = self.get("/v1/snapshot").await?;
        let hosts = value.get("hosts").and_then(Value::as_array).map(|hosts| hosts.iter().map(host_seen).collect());
        let sessions = value
            .get("sessions_by_tenant")
            .and_then(Value::as_object)
            .map(|counts| counts.iter().map(|(tenant, count)| (tenant.clone(), count.as_u64().unwrap_or(0))).collect());
        let breakers = value.get("breakers").and_then(Value::as_object).map(|breakers| {
            breakers.iter().map(|(tenant, breaker)| (tenant.clone(), text(breaker, "state"))).collect()
        });
        Ok(Snapshot {
            hosts: hosts.unwrap_or_default(),
            sessions: sessions.unwrap_or_default(),
            breakers: breakers.unwrap_or_default(),
        })
    }

    /// How the host of an ended session exited, if that ended it: the stable reason, such as `oom_own_limit`.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn exit_of(&self, session: &str) -> Result<Option<String>, ClientError> {
        let value = self.get("/v1/sessions?ended=true").await?;
        let rows = value.as_array().or_else(|| value.get("sessions").and_then(Value::as_array));
        let row = rows.into_iter().flatten().find(|row| text(row, "session_id") == session);
        let exit = row.and_then(|row| row.get("exit")).filter(|exit| !exit.is_null());
        Ok(exit.map(|exit| exit.as_str().map_or_else(|| text(exit, "reason"), str::to_owned)))
    }

    /// Asks the supervisor to finish.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        let (status, value) = self.ask(Method::POST, "/v1/shutdown", None).await?;
        if status.is_success() { Ok(()) } else { Err(refused("POST /v1/shutdown", status, &value)) }
    }

    /// What the observer has written so far. A last line that is not whole is left for the next time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn happenings(&self) -> Result<Vec<Happening>, ClientError> {
        let text = tokio::fs::read_to_string(&self.events)
            .await
            .map_err(|source| ClientError::Events { path: self.events.clone(), source })?;
        Ok(text.lines().filter_map(happening).collect())
    }
}

fn refused(what: &str, status: StatusCode, value: &Value) -> ClientError {
    ClientError::Refused { what: what.to_owned(), status: status.as_u16(), detail: value.to_string() }
}

/// A field as text; empty if it is not there. A reason with particulars (`{"reason": "host_signal", "signal": 6}`) is
/// its name.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(inner)) => inner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn host_seen(host: &Value) -> HostSeen {
    let number = |key: &str| host.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let walls = host.get("walls").and_then(Value::as_array).into_iter().flatten();
    HostSeen {
        tenant: text(host, "tenant"),
        memory_mb: number("memory_mb"),
        cpu_pct: number("cpu_pct"),
        walls: walls.filter_map(wall_seen).collect(),
    }
}

/// A wall as `{"wall": "memory", "state": {"kernel": "cgroup v2"}, …}`.
fn wall_seen(wall: &Value) -> Option<WallSeen> {
    let (strength, means) = wall.get("state")?.as_object()?.iter().next()?;
    let means = means.as_str().unwrap_or_default().to_owned();
    Some(WallSeen { wall: text(wall, "wall"), strength: strength.clone(), means })
}

/// One line of the observer's file; `None` for lines about other things.
fn happening(line: &str) -> Option<Happening> {
    let line: Value = serde_json::from_str(line).ok()?;
    let payload = line.get("payload").unwrap_or(&line);
    let field = |key: &str| payload.get(key).or_else(|| line.get(key));
    let session = field("session_id")?.as_str()?.to_owned();
    let at_unix_ms = field("at_unix_ms").and_then(Value::as_u64)?;
    let named = ["event", "kind", "type"].iter().filter_map(|key| field(key)?.as_str());
    let what = match named.clone().any(|name| name == "session_end") {
        true => What::Ended,
        false => what_happened(payload)?,
    };
    Some(Happening { session, at_unix_ms, what })
}

/// Finds the session event in a payload by its fields, at whatever depth it stands.
fn what_happened(value: &Value) -> Option<What> {
    let object = value.as_object()?;
    let string = |key: &str| object.get(key).and_then(Value::as_str);
    if let (Some(stage), Some(micros)) = (string("stage"), object.get("micros").and_then(Value::as_u64)) {
        return Some(What::Latency { stage: stage.to_owned(), micros });
    }
    if string("speaker").is_some() && object.contains_key("end_ms") {
        return Some(What::Turn);
    }
    if let (Some(name), Some(data)) = (string("name"), object.get("data").or_else(|| object.get("json"))) {
        let data = data.as_str().map_or_else(|| Ok(data.clone()), serde_json::from_str).ok()?;
        return Some(What::Custom { name: name.to_owned(), data });
    }
    object.values().find_map(what_happened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: Value) -> String {
        json!({"schema_version": 2, "kind": "event", "seq": 1, "payload":
            {"event": "session_event", "tenant": "acme", "session_id": "s-1-1", "at_unix_ms": 5, "payload": event}})
        .to_string()
    }

    #[test]
    fn events_are_understood_flat_and_in_envelopes() {
        let latency = What::Latency { stage: "frame".to_owned(), micros: 7 };
        let inner = json!({"type": "latency", "stage": "frame", "micros": 7});
        assert_eq!(happening(&line(inner)).unwrap().what, latency);
        let flat = r#"{"event":"session_event","session_id":"s-1-1","at_unix_ms":5,"stage":"frame","micros":7}"#;
        assert_eq!(happening(flat).unwrap().what, latency);
        let turn = json!({"Turn": {"speaker": "user", "text": "", "start_ms": 1, "end_ms": 2}});
        assert_eq!(happening(&line(turn)).unwrap().what, What::Turn);
    }

    #[test]
    fn an_agents_own_event_is_read_as_json_and_as_json_text() {
        let wanted = What::Custom { name: "hog_touched".to_owned(), data: json!({"mb": 16}) };
        for carried in [json!({"name": "hog_touched", "data": {"mb": 16}}), {
            json!({"Custom": {"name": "hog_touched", "json": "{\"mb\":16}"}})
        }] {
            assert_eq!(happening(&line(carried)).unwrap().what, wanted);
        }
    }

    #[test]
    fn an_end_is_known_by_its_kind_and_other_lines_are_passed_over() {
        let end = r#"{"kind":"session_end","session_id":"s-1-1","at_unix_ms":9,"status":"failed"}"#;
        assert_eq!(happening(end).unwrap().what, What::Ended);
        assert_eq!(happening(r#"{"kind":"host_up","tenant":"acme","at_unix_ms":9}"#), None);
        assert_eq!(happening("{\"kind\":\"sess"), None);
    }

    #[test]
    fn a_wall_is_read_with_its_strength_and_means() {
        let wall = json!({"wall": "memory", "state": {"sampled": "every 250 ms"}, "evidence": "observed"});
        let seen = wall_seen(&wall).unwrap();
        assert_eq!((seen.wall.as_str(), seen.strength.as_str()), ("memory", "sampled"));
        assert_eq!(wall_seen(&json!({"wall": "memory"})), None);
    }
}
