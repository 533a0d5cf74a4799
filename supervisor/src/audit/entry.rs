//! One thing to be recorded, before it has a number and a hash.
//!
//! Owns: OpenRTC's fields of an audit event (semantics I5) but for the number and the time. Never: a secret.

use serde_json::{Map, Value};

use super::actor::Actor;

/// Names that the record itself has; an extra field never takes one.
const OWN_FIELDS: [&str; 9] =
    ["seq", "timestamp", "event", "actor", "target", "result", "version", "prev_hash", "hash"];

/// One thing to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What happened: `tenant.suspended`, `host.killed`, …
    pub event: &'static str,
    /// Who did it.
    pub actor: Actor,
    /// To whom or what; empty for the supervisor as a whole.
    pub target: String,
    /// `ok`, `refused` or `failed`.
    pub result: &'static str,
    /// Everything else, flat beside the fields.
    pub extras: Map<String, Value>,
}

impl Entry {
    /// Something that went well.
    pub fn new(event: &'static str, actor: Actor, target: impl ToString) -> Self {
        let mut extras = Map::new();
        if let Some(pid) = actor.pid() {
            extras.insert("actor_pid".to_owned(), pid.into());
        }
        Self { event, actor, target: target.to_string(), result: "ok", extras }
    }

    /// With another result.
    #[must_use]
    pub fn resulting(self, result: &'static str) -> Self {
        Self { result, ..self }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        debug_assert!(!OWN_FIELDS.contains(&name), "{name} is the record's own");
        self.extras.insert(name.to_owned(), value.into());
        self
    }

    /// With one more field, if there is something to say.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}
