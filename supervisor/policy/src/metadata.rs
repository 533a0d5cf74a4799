//! What a dispatch says in its job and room metadata.
//!
//! Owns: the one parse of both texts and every reading of them (semantics A2–A4, A8, H5, V3–V6). Never: looks at a text
//! twice, or believes a tenant that is not a string.
//!
//! In both texts `null` is as good as absent, and the job's word goes before the room's. A text that is no JSON object
//! says nothing.

use std::collections::BTreeMap;

use openrtc_ipc::TenantId;
use serde_json::{Map, Value};

use crate::bounds::METADATA_BYTES_MAX;
use crate::dispatch::Dispatch;
use crate::rejection::{RejectReason, Rejection};

/// The key that names the tenant.
const TENANT_KEY: &str = "tenant";

/// Both texts, parsed.
#[derive(Debug)]
pub(crate) struct Metadata {
    job: Map<String, Value>,
    room: Map<String, Value>,
}

/// Which text said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The job's.
    Job,
    /// The room's.
    Room,
}

impl Metadata {
    /// Parses both texts; refuses one that is too long.
    pub(crate) fn read(dispatch: &Dispatch) -> Result<Self, Rejection> {
        Ok(Self {
            job: parse("job_metadata", &dispatch.job_metadata)?,
            room: parse("room_metadata", &dispatch.room_metadata)?,
        })
    }

    fn of(&self, source: Source) -> &Map<String, Value> {
        match source {
            Source::Job => &self.job,
            Source::Room => &self.room,
        }
    }

    /// The tenant that this text names, if it names one.
    pub(crate) fn tenant(&self, source: Source) -> Result<Option<TenantId>, Rejection> {
        match self.of(source).get(TENANT_KEY) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => parse_tenant(text),
            Some(other) => Err(Rejection::new(
                RejectReason::TenantInvalid,
                format!("metadata key \"tenant\" must be a string, not {}", kind(other)),
            )),
        }
    }

    /// The first of these keys that names an agent in this text, and its name; blank names nothing.
    pub(crate) fn agent<'a>(&self, source: Source, keys: &'a [String]) -> Option<(&'a str, String)> {
        let fields = self.of(source);
        keys.iter().find_map(|key| {
            let name = text(fields.get(key)?)?;
            let name = name.trim();
            (!name.is_empty()).then(|| (key.as_str(), name.to_owned()))
        })
    }

    /// The value of a key as the session will see it.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let of = |fields: &Map<String, Value>| fields.get(key).and_then(text);
        of(&self.job).or_else(|| of(&self.room))
    }

    /// Both texts merged, job over room, values as text, and the tenant as it was decided.
    pub(crate) fn merged(self, tenant: &TenantId) -> BTreeMap<String, String> {
        let mut merged = BTreeMap::new();
        for (key, value) in self.room.into_iter().chain(self.job) {
            if let Some(text) = text(&value) {
                merged.insert(key, text);
            }
        }
        merged.insert(TENANT_KEY.to_owned(), tenant.to_string());
        merged
    }
}

/// Parses a tenant id; surrounding white space is dropped once and for all, and blank is absent.
pub(crate) fn parse_tenant(text: &str) -> Result<Option<TenantId>, Rejection> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match TenantId::parse(text) {
        Ok(tenant) => Ok(Some(tenant)),
        Err(error) => Err(Rejection::new(RejectReason::TenantInvalid, error.to_string())),
    }
}

fn parse(field: &str, text: &str) -> Result<Map<String, Value>, Rejection> {
    if text.len() > METADATA_BYTES_MAX {
        let detail = format!("{field} has {} bytes; at most {METADATA_BYTES_MAX} are allowed", text.len());
        return Err(Rejection::new(RejectReason::ConfigError, detail));
    }
    Ok(serde_json::from_str(text).unwrap_or_default())
}

/// A string as it is, `null` not at all, anything else as compact JSON.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{dispatch, tenant};

    fn read(job: &str, room: &str) -> Metadata {
        let texts = Dispatch { job_metadata: job.to_owned(), room_metadata: room.to_owned(), ..dispatch(1, "") };
        Metadata::read(&texts).unwrap()
    }

    /// Job before room, as admission asks.
    fn tenant_of(metadata: &Metadata) -> Result<Option<TenantId>, Rejection> {
        Ok(metadata.tenant(Source::Job)?.or(metadata.tenant(Source::Room)?))
    }

    #[test]
    fn every_json_type_as_tenant_is_a_tenant_absent_or_refused() {
        let acme = Ok(Some(tenant("acme")));
        for (json, expected) in [
            (r#""acme""#, acme.clone()),
            (r#"" acme ""#, acme.clone()),
            (r#""\tacme\n""#, acme),
            ("null", Ok(None)),
            (r#""""#, Ok(None)),
            (r#""   ""#, Ok(None)),
            ("123", Err(RejectReason::TenantInvalid)),
            ("1.5", Err(RejectReason::TenantInvalid)),
            ("true", Err(RejectReason::TenantInvalid)),
            ("false", Err(RejectReason::TenantInvalid)),
            (r#"["acme"]"#, Err(RejectReason::TenantInvalid)),
            (r#"{"id":"acme"}"#, Err(RejectReason::TenantInvalid)),
            (r#""a/b""#, Err(RejectReason::TenantInvalid)),
            (r#""a b""#, Err(RejectReason::TenantInvalid)),
            (r#""..""#, Err(RejectReason::TenantInvalid)),
            (r#""acme\u0000""#, Err(RejectReason::TenantInvalid)),
        ] {
            for (job, room) in
                [(format!(r#"{{"tenant":{json}}}"#), String::new()), (String::new(), format!(r#"{{"tenant":{json}}}"#))]
            {
                let found = tenant_of(&read(&job, &room)).map_err(|rejection| rejection.reason);
                assert_eq!(found, expected, "job {job:?}, room {room:?}");
            }
        }
    }

    #[test]
    fn the_jobs_tenant_wins_and_a_null_one_leaves_the_rooms() {
        assert_eq!(tenant_of(&read(r#"{"tenant":"b"}"#, r#"{"tenant":"a"}"#)).unwrap(), Some(tenant("b")));
        assert_eq!(tenant_of(&read(r#"{"tenant":null}"#, r#"{"tenant":"a"}"#)).unwrap(), Some(tenant("a")));
        assert!(tenant_of(&read(r#"{"tenant":7}"#, r#"{"tenant":"a"}"#)).is_err());
    }

    #[test]
    fn text_that_is_no_json_object_says_nothing() {
        for text in ["", "  ", "acme", "null", "17", "[]", r#""acme""#, r#"{"tenant":"#, "\u{0}"] {
            let metadata = read(text, text);
            assert_eq!(tenant_of(&metadata).unwrap(), None, "{text:?}");
            assert_eq!(metadata.agent(Source::Job, &["agent".to_owned()]), None, "{text:?}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused_by_the_parser_not_by_the_stack() {
        let deep = "[".repeat(METADATA_BYTES_MAX);
        assert_eq!(tenant_of(&read(&deep, "")).unwrap(), None);
    }

    #[test]
    fn metadata_above_its_bound_is_a_config_error_that_names_the_field() {
        let long = Dispatch { room_metadata: " ".repeat(METADATA_BYTES_MAX + 1), ..dispatch(1, "") };
        let rejection = Metadata::read(&long).unwrap_err();
        assert_eq!(rejection.reason, RejectReason::ConfigError);
        assert!(rejection.detail.contains("room_metadata"));
    }

    #[test]
    fn merged_values_are_text_and_the_tenant_is_the_one_decided() {
        let metadata = read(
            r#"{"n":1,"o":{"k":[1, 2]},"gone":null,"who":"job"}"#,
            r#"{"who":"room","gone":"kept","tenant":"evil"}"#,
        );
        let merged = metadata.merged(&tenant("acme"));
        let expected = [("gone", "kept"), ("n", "1"), ("o", r#"{"k":[1,2]}"#), ("tenant", "acme"), ("who", "job")];
        assert_eq!(merged, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn the_agent_is_looked_up_key_by_key_in_each_text() {
        let keys = ["agent".to_owned(), "demo".to_owned()];
        let found = |text: &str| read(text, "").agent(Source::Job, &keys);
        assert_eq!(found(r#"{"agent":"a","demo":"d"}"#), Some(("agent", "a".to_owned())));
        assert_eq!(found(r#"{"agent":" ","demo":"d"}"#), Some(("demo", "d".to_owned())));
        assert_eq!(found(r#"{"agent":null}"#), None);
        assert_eq!(found("{}"), None);
        let both = read(r#"{"agent":"j"}"#, r#"{"demo":"r"}"#);
        assert_eq!(both.agent(Source::Room, &keys), Some(("demo", "r".to_owned())));
    }
}
