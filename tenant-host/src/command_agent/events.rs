//! Lines that a program writes on descriptor 3, into session events (`docs/command-agent.md`).
//!
//! Owns: the JSON of events, strictly read. Never: ends a session because of a line.

use openrtc_ipc::{LogLevel, SessionEvent, Speaker, Usage};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Bytes of one line. Longer: passed over, with a warning.
pub(crate) const EVENT_LINE_BYTES_MAX: usize = 60 * 1024;

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error("line is longer than {EVENT_LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("line is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("line is not a JSON object with a text `type`")]
    NoType,
    #[error("event type is unknown: {kind:?}")]
    UnknownType { kind: String },
    #[error("event of type {kind} is wrong")]
    Wrong {
        kind: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    speaker: Speaker,
    text: String,
    start_ms: u64,
    end_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    stage: String,
    micros: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    level: LogLevel,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    name: String,
    #[serde(default)]
    data: Value,
}

/// The event in a line.
pub(crate) fn parse(line: &[u8]) -> Result<SessionEvent, EventError> {
    let mut fields: Map<String, Value> = match serde_json::from_slice(line).map_err(EventError::NotJson)? {
        Value::Object(fields) => fields,
        _ => return Err(EventError::NoType),
    };
    let Some(Value::String(kind)) = fields.remove("type") else { return Err(EventError::NoType) };
    match kind.as_str() {
        "turn" => {
            let Turn { speaker, text, start_ms, end_ms } = read("turn", fields)?;
            Ok(SessionEvent::Turn { speaker, text, start_ms, end_ms })
        }
        "usage" => read::<Usage>("usage", fields).map(SessionEvent::Usage),
        "latency" => {
            let Latency { stage, micros } = read("latency", fields)?;
            Ok(SessionEvent::Latency { stage, micros })
        }
        "log" => {
            let Log { level, message } = read("log", fields)?;
            Ok(SessionEvent::Log { level, message })
        }
        "state" => read::<State>("state", fields).map(|State { state }| SessionEvent::State { state }),
        "custom" => {
            let Custom { name, data } = read("custom", fields)?;
            Ok(SessionEvent::Custom { name, json: data.to_string() })
        }
        _ => Err(EventError::UnknownType { kind: kind.chars().take(64).collect() }),
    }
}

fn read<T: DeserializeOwned>(kind: &'static str, fields: Map<String, Value>) -> Result<T, EventError> {
    serde_json::from_value(Value::Object(fields)).map_err(|source| EventError::Wrong { kind, source })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn each_type_is_read() {
        let cases = [
            (
                r#"{"type":"turn","speaker":"user","text":"hi","start_ms":1,"end_ms":2}"#,
                SessionEvent::Turn { speaker: Speaker::User, text: "hi".into(), start_ms: 1, end_ms: 2 },
            ),
            (r#"{"type":"usage","stt_ms":7}"#, SessionEvent::Usage(Usage { stt_ms: 7, ..Usage::default() })),
            (
                r#"{"type":"latency","stage":"llm","micros":9}"#,
                SessionEvent::Latency { stage: "llm".into(), micros: 9 },
            ),
            (
                r#"{"type":"log","level":"warn","message":"m"}"#,
                SessionEvent::Log { level: LogLevel::Warn, message: "m".into() },
            ),
            (r#"{"type":"state","state":"speaking"}"#, SessionEvent::State { state: "speaking".into() }),
            (
                r#"{"type":"custom","name":"n","data":{"a":[1]}}"#,
                SessionEvent::Custom { name: "n".into(), json: r#"{"a":[1]}"#.into() },
            ),
            (r#"{"type":"custom","name":"n"}"#, SessionEvent::Custom { name: "n".into(), json: "null".into() }),
        ];
        for (line, event) in cases {
            assert_eq!(parse(line.as_bytes()).unwrap(), event, "{line}");
        }
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong() {
        let cases = [
            ("{", "EOF while parsing an object at line 1 column 1"),
            (r#"{"type":"usage","stt_ms":-1}"#, "invalid value: integer `-1`, expected u64"),
            (r#"{"type":"turn","speaker":"dog","text":"","start_ms":0,"end_ms":0}"#, "unknown variant `dog`"),
            (r#"{"type":"state","state":"a","extra":1}"#, "unknown field `extra`"),
            (r#"{"type":"latency","stage":"llm"}"#, "missing field `micros`"),
        ];
        for (line, cause) in cases {
            let error = parse(line.as_bytes()).unwrap_err();
            let found = error.source().unwrap().to_string();
            assert!(found.contains(cause), "{line}: {found}");
        }
        for line in ["[]", "3", "{}", r#"{"type":3}"#] {
            assert!(matches!(parse(line.as_bytes()), Err(EventError::NoType)), "{line}");
        }
        let error = parse(br#"{"type":"tool_call"}"#).unwrap_err();
        assert!(matches!(error, EventError::UnknownType { ref kind } if kind == "tool_call"));
        let deep = "[".repeat(50_000);
        assert!(matches!(parse(deep.as_bytes()), Err(EventError::NotJson(_))));
        assert!(matches!(parse(b"{\"type\":\"state\",\"state\":\"\xff\"}"), Err(EventError::NotJson(_))));
    }
}
