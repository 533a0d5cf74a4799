//! `stt`, `llm` and `tts`: which plugin, which model, which arguments (semantics B1, B4).
//!
//! Owns: the forms of a provider. Never: holds a key; keys stand under `api_keys`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::reference::{self, SecretRef};
use super::section::{Section, Spot};
use super::shape::Shape;
use super::tree::{Entry, Value, json_object};

/// The plugin name under which LiveKit Inference is passed on.
pub const INFERENCE: &str = "inference";

const FORMS: &str = "write \"plugin/model\", \"inference:plugin/model\" or { provider = \"…\", model = \"…\" }";

/// One provider, as its plugin gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The plugin, or [`INFERENCE`].
    pub plugin: String,
    /// Its model, if one is named.
    pub model: Option<String>,
    /// Arguments for the plugin's constructor.
    pub arguments: Map<String, Json>,
}

impl Provider {
    /// `{"provider": …, "model": …, …}`.
    pub fn json(&self) -> Json {
        let mut json = Map::from_iter([("provider".to_owned(), Json::from(self.plugin.as_str()))]);
        if let Some(model) = &self.model {
            json.insert("model".to_owned(), Json::from(model.as_str()));
        }
        json.extend(self.arguments.clone());
        Json::Object(json)
    }
}

/// The three steps of a turn; `None` falls back to the next rung.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Providers {
    /// Speech to text.
    pub stt: Option<Provider>,
    /// Language model.
    pub llm: Option<Provider>,
    /// Text to speech.
    pub tts: Option<Provider>,
}

impl Providers {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { stt: provider(section, "stt"), llm: provider(section, "llm"), tts: provider(section, "tts") }
    }

    /// Step by step: what stands here, else what stands below.
    pub fn over(&self, below: &Self) -> Self {
        Self {
            stt: self.stt.clone().or_else(|| below.stt.clone()),
            llm: self.llm.clone().or_else(|| below.llm.clone()),
            tts: self.tts.clone().or_else(|| below.tts.clone()),
        }
    }

    /// Each step that is named.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Provider)> {
        let steps = [("stt", &self.stt), ("llm", &self.llm), ("tts", &self.tts)];
        steps.into_iter().filter_map(|(step, provider)| Some((step, provider.as_ref()?)))
    }

    /// `{"stt": …, "llm": …, "tts": …}` with the steps that are named.
    pub fn json(&self) -> Json {
        Json::Object(self.named().map(|(step, provider)| (step.to_owned(), provider.json())).collect())
    }
}

/// Keys of secrets, by provider.
pub(super) type ApiKeys = BTreeMap<String, Spot<SecretRef>>;

/// Whether a name is one that a plugin may have.
fn is_plugin(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Whether a key of this name would hold a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["api_key", "apikey", "_secret", "_password", "_token", "_credentials"];
    matches!(name.as_str(), "secret" | "password" | "token" | "authorization" | "credentials")
        || ends.iter().any(|end| name.ends_with(end))
        || name.contains("api_key")
}

fn provider(section: &mut Section<'_>, step: &'static str) -> Option<Provider> {
    let spot = section.node(step, || Shape::Provider)?;
    let provider = match &spot.value {
        Value::Text(text) => from_text(text),
        Value::Table(entries) => return from_table(section, &spot, entries),
        _ => None,
    };
    if provider.is_none() {
        section.faults.add(&spot.origin, &spot.key, Some(spot.value.shown()), "is no provider", FORMS);
    }
    provider
}

fn from_text(text: &str) -> Option<Provider> {
    let (plugin, model) = match text.strip_prefix("inference:") {
        Some(model) => (INFERENCE, model),
        None => text.split_once('/')?,
    };
    let known = is_plugin(plugin) && !model.trim().is_empty();
    known.then(|| Provider { plugin: plugin.to_owned(), model: Some(model.to_owned()), arguments: Map::new() })
}

fn from_table(section: &mut Section<'_>, spot: &Spot<Value>, entries: &[Entry]) -> Option<Provider> {
    let mut plugin = None;
    let mut model = None;
    let mut sound = true;
    for entry in entries {
        let key = format!("{}.{}", spot.key, entry.key);
        let origin = &entry.origin;
        match (entry.key.as_str(), &entry.node.value) {
            ("provider", Value::Text(name)) if is_plugin(name) => plugin = Some(name.clone()),
            ("model", Value::Text(name)) if !name.is_empty() => model = Some(name.clone()),
            ("provider" | "model", value) => {
                section.faults.add(origin, &key, Some(value.shown()), "is no name", FORMS);
                sound = false;
            }
            (name, _) if is_secret_name(name) => {
                section.faults.add(origin, &key, None, "is a secret", "put keys under api_keys, as references");
                sound = false;
            }
            _ => {}
        }
    }
    let arguments = entries.iter().filter(|entry| entry.key != "provider" && entry.key != "model");
    let arguments: Option<Map<_, _>> = arguments.map(|e| Some((e.key.clone(), e.node.value.json()?))).collect();
    if sound && plugin.is_none() {
        section.faults.add(&spot.origin, &spot.key, None, "names no provider", FORMS);
    }
    if arguments.is_none() {
        section.faults.add(&spot.origin, &spot.key, None, "has a number that JSON cannot carry", "use a smaller one");
    }
    Some(Provider { plugin: plugin?, model, arguments: arguments? }).filter(|_| sound)
}

/// Reads `api_keys`.
pub(super) fn api_keys(section: &mut Section<'_>) -> ApiKeys {
    section.table("api_keys", |keys| {
        let mut read = ApiKeys::new();
        for (name, node, key) in keys.rest_of(Shape::Secret) {
            if !is_plugin(&name) {
                keys.faults.add(&node.origin, &key, None, "names no provider", "use lower case, as in `openai`");
                continue;
            }
            let spot = Spot { value: node.value, key, origin: node.origin };
            if let Some(reference) = reference::read(keys, spot) {
                read.insert(name, reference);
            }
        }
        read
    })
}

/// Reads a table of free form, for the agent.
pub(super) fn agent_config(section: &mut Section<'_>) -> Map<String, Json> {
    let Some(spot) = section.node("agent_config", || Shape::Free) else { return Map::new() };
    let json = match &spot.value {
        Value::Table(entries) => json_object(entries),
        _ => None,
    };
    json.unwrap_or_else(|| {
        let remedy = "write [tenants.NAME.agent_config] and plain values below";
        section.faults.add(&spot.origin, &spot.key, None, "is no table that JSON can carry", remedy);
        Map::new()
    })
}
