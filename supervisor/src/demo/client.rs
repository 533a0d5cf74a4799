//! The demo's only contact with the supervisor: its control API over the Unix socket, and its JSONL observer's file.
//!
//! Owns: requests, and reading answers into the few figures the demo needs. Never: reaches into the supervisor; what
//! is read here any client could read.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use openrtc_control_api::{DispatchRequest, DispatchResponse, LivekitCheck, Problem, Snapshot};
use openrtc_policy::RejectReason;
use serde::de::DeserializeOwned;
use serde_json::Value;
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

impl ClientError {
    /// Whether it may be that the supervisor is not up yet.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Token { .. } | Self::Connect { .. } | Self::Http { .. } => true,
            // The token may have been read before it was written whole.
            Self::Refused { status, .. } => [401, 503].contains(status),
            Self::Answer { .. } | Self::Events { .. } => false,
        }
    }
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
        /// How its host exited, if that ended it: the stable reason, such as `oom_own_limit`.
        exit: Option<String>,
    },
    /// It was refused.
    Rejected {
        /// Why.
        reason: String,
        /// When to ask again, in milliseconds, where known.
        retry_after_ms: Option<u64>,
    },
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

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let what = format!("{method} {path}");
        let answer = tokio::time::timeout(ANSWER_DEADLINE, self.exchange(method, path, body, &what)).await;
        answer.unwrap_or_else(|_| Err(ClientError::Answer { what, detail: "none within 60 s".to_owned() }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        what: &str,
    ) -> Result<(StatusCode, Bytes), ClientError> {
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
            .body(Full::new(body))
            .map_err(|error| answer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(http)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| answer(error.to_string()))?.to_bytes();
        connection.abort();
        Ok((status, bytes))
    }

    /// Asks for a session and waits for its end.
    ///
    /// # Errors
    /// When there is no understandable answer; a refusal by admission is an [`Answer`].
    pub async fn dispatch(&self, ask: &Ask) -> Result<Answer, ClientError> {
        let what = "POST /v1/dispatch";
        let request = DispatchRequest {
            room: ask.room.clone(),
            tenant: Some(ask.tenant.to_owned()),
            agent: Some(ask.agent.to_owned()),
            metadata: Some(ask.metadata.to_string()),
            room_metadata: None,
            input: ask.input.clone(),
            output: None,
            wait: true,
        };
        let body = serde_json::to_vec(&request).map_err(|error| malformed(what, &error))?;
        let (status, bytes) = self.ask(Method::POST, "/v1/dispatch", body.into()).await?;
        if !status.is_success() {
            let problem: Problem = read(what, status, &bytes)?;
            let by_admission = RejectReason::ALL.iter().any(|reason| reason.name() == problem.reason);
            return if by_admission { Ok(rejected(problem)) } else { Err(refused(what, status, &bytes)) };
        }
        let response: DispatchResponse = read(what, status, &bytes)?;
        let ended = response.ended.ok_or_else(|| refused(what, status, &bytes))?;
        let exit = ended.exit.as_ref().and_then(|exit| exit.get("reason")?.as_str());
        Ok(Answer::Ended {
            session: ended.session_id,
            status: ended.status,
            reason: ended.reason,
            exit: exit.map(str::to_owned),
        })
    }

    /// The supervisor's view of now.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let (status, bytes) = self.ask(Method::GET, "/v1/snapshot", Bytes::new()).await?;
        if !status.is_success() {
            return Err(refused("GET /v1/snapshot", status, &bytes));
        }
        read("GET /v1/snapshot", status, &bytes)
    }

    /// Asks the supervisor to finish.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        let (status, bytes) = self.ask(Method::POST, "/v1/shutdown", Bytes::new()).await?;
        if status.is_success() { Ok(()) } else { Err(refused("POST /v1/shutdown", status, &bytes)) }
    }

    /// What the observer has written so far. A last line that is not whole is left for the next time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn happenings(&self) -> Result<Vec<Happening>, ClientError> {
        Ok(self.rows().await?.iter().filter_map(happening).collect())
    }

    /// The same, each line as it is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn rows(&self) -> Result<Vec<Value>, ClientError> {
        let text = tokio::fs::read_to_string(&self.events)
            .await
            .map_err(|source| ClientError::Events { path: self.events.clone(), source })?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// What the supervisor knows of the calls of a room, and the server.
    ///
    /// # Errors
    /// When there is no understandable answer.
    pub async fn livekit_check(&self, room: &str) -> Result<LivekitCheck, ClientError> {
        let path = format!("/v1/livekit/check?room={room}");
        let (status, bytes) = self.ask(Method::GET, &path, Bytes::new()).await?;
        if !status.is_success() {
            return Err(refused("GET /v1/livekit/check", status, &bytes));
        }
        read("GET /v1/livekit/check", status, &bytes)
    }
}

fn refused(what: &str, status: StatusCode, bytes: &Bytes) -> ClientError {
    let detail = String::from_utf8_lossy(bytes).into_owned();
    ClientError::Refused { what: what.to_owned(), status: status.as_u16(), detail }
}

fn malformed(what: &str, error: &serde_json::Error) -> ClientError {
    ClientError::Answer { what: what.to_owned(), detail: error.to_string() }
}

fn read<T: DeserializeOwned>(what: &str, status: StatusCode, bytes: &Bytes) -> Result<T, ClientError> {
    let detail = |error| format!("{status}, {error}");
    serde_json::from_slice(bytes).map_err(|error| ClientError::Answer { what: what.to_owned(), detail: detail(error) })
}

fn rejected(problem: Problem) -> Answer {
    let retry_after_ms = problem.retry_after_s.map(|seconds| (seconds * 1000.0).ceil() as u64);
    Answer::Rejected { reason: problem.reason, retry_after_ms }
}

/// One row of the observer's file; `None` of rows about other things.
fn happening(row: &Value) -> Option<Happening> {
    let payload = &row["payload"];
    let what = match row["kind"].as_str()? {
        "session_end" => What::Ended,
        "session_event" => match payload["type"].as_str()? {
            "latency" => {
                What::Latency { stage: payload["stage"].as_str()?.to_owned(), micros: payload["micros"].as_u64()? }
            }
            "turn" => What::Turn,
            "custom" => What::Custom { name: payload["name"].as_str()?.to_owned(), data: payload["data"].clone() },
            _ => return None,
        },
        _ => return None,
    };
    let session = row["session_id"].as_str()?.to_owned();
    Some(Happening { session, at_unix_ms: row["at_unix_ms"].as_u64()?, what })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, payload: Value) -> Option<What> {
        let row = json!({"kind": kind, "tenant": "acme", "session_id": "s-1-1", "agent_name": "support",
            "host": "h0.1", "at_unix_ms": 5, "payload": payload});
        let happening = happening(&row)?;
        assert_eq!((happening.session.as_str(), happening.at_unix_ms), ("s-1-1", 5));
        Some(happening.what)
    }

    #[test]
    fn an_agents_events_are_understood() {
        let latency = What::Latency { stage: "frame".to_owned(), micros: 7 };
        assert_eq!(told("session_event", json!({"type": "latency", "stage": "frame", "micros": 7})), Some(latency));
        let turn = json!({"type": "turn", "speaker": "user", "text": "", "start_ms": 1, "end_ms": 2});
        assert_eq!(told("session_event", turn), Some(What::Turn));
        let touched = What::Custom { name: "hog_touched".to_owned(), data: json!({"mb": 16}) };
        let custom = json!({"type": "custom", "name": "hog_touched", "data": {"mb": 16}});
        assert_eq!(told("session_event", custom), Some(touched));
    }

    #[test]
    fn an_end_is_known_by_its_kind_and_other_rows_are_passed_over() {
        assert_eq!(told("session_end", json!({"status": "failed"})), Some(What::Ended));
        assert_eq!(told("session_event", json!({"type": "state", "state": "listening"})), None);
        assert_eq!(told("host_up", json!({})), None);
    }
}
