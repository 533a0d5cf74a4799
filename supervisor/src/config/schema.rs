//! `config schema`: the configuration as a JSON Schema, for editors.
//!
//! Owns: the schema, made of what the reader of each key notes, of the seeds' spellings, and of the page's words. Never:
//! refuses what the loader takes. It knows less: what depends on two keys, on a file, a program or a name is the loader's.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::aliases;
use super::faults::{Faults, Known};
use super::file::ConfigFile;
use super::page;
use super::section::{Section, join};
use super::shape::Shape;
use super::tree::{self, Origin};

/// One of each named table: they are read only where there is one.
const ONE_OF_EACH: &str =
    "[runtimes.r]\nkind = \"program\"\n[agents.a]\n[tenants.t]\n[[routing.rule]]\nagent = \"a\"\n";
/// Keys that a table must have.
const REQUIRED: [(&str, &str); 2] = [("runtimes.NAME", "kind"), ("routing.rule", "agent")];
/// The draft that taplo, the TOML language server of editors, knows.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of the configuration file.
pub fn schema() -> Json {
    let faults = read_one_of_each();
    let writer = Writer { known: faults.known(), words: words() };
    let mut root = writer.object("");
    let about = format!(
        "Configuration of openrtc-supervisor {}. `openrtc-supervisor config check` knows more: what depends on two keys, \
         and whether files, programs and names exist.",
        env!("CARGO_PKG_VERSION")
    );
    root.insert("$schema".to_owned(), DRAFT.into());
    root.insert("title".to_owned(), "openrtc-supervisor.toml".into());
    root.insert("description".to_owned(), about.into());
    root.insert("definitions".to_owned(), json!({ "secret": secret(), "provider": provider() }));
    Json::Object(root)
}

/// Every kind of section that is built, read once.
pub(super) fn read_one_of_each() -> Faults {
    let mut faults = Faults::default();
    let origin = Origin::whole("schema", "/".as_ref());
    let root = tree::parse(ONE_OF_EACH, &origin.source, &mut faults);
    let mut section = Section::root(root, origin, &mut faults);
    ConfigFile::read(&mut section);
    section.finish();
    faults
}

/// By section and key: what it is for, and its default where that is a value.
fn words() -> BTreeMap<(String, &'static str), (String, Option<Json>)> {
    let sections = page::sections().into_iter();
    let rows = sections.flat_map(|section| section.rows.into_iter().map(move |row| (section.name.clone(), row)));
    let told = rows.filter(|(_, row)| !row.takes.is_empty());
    told.map(|(section, row)| {
        let parsed = row.value().and_then(|value| format!("x = {value}").parse::<toml::Table>().ok());
        let default = parsed.and_then(|mut table| table.remove("x")).and_then(|it| serde_json::to_value(it).ok());
        ((section, row.key), (row.sentence(), default))
    })
    .collect()
}

struct Writer<'a> {
    known: &'a BTreeMap<String, Known>,
    words: BTreeMap<(String, &'static str), (String, Option<Json>)>,
}

impl Writer<'_> {
    /// The schema of one kind of section.
    fn object(&self, kind: &str) -> Map<String, Json> {
        let mut properties = Map::new();
        let mut others = Json::Bool(false);
        if let Some(known) = self.known.get(kind) {
            let keys = known.keys.iter().filter(|(key, _)| !known.refused.contains(*key));
            properties.extend(keys.map(|(key, shape)| ((*key).to_owned(), self.property(kind, key, shape))));
            others = known.others.as_ref().map_or(others, |shape| self.value(kind, shape));
        }
        properties.extend(self.spellings(kind));
        let mut object = Map::new();
        object.insert("type".to_owned(), "object".into());
        object.insert("properties".to_owned(), Json::Object(properties));
        object.insert("additionalProperties".to_owned(), others);
        let required: Vec<&str> = REQUIRED.iter().filter(|(of, _)| *of == kind).map(|(_, key)| *key).collect();
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        object
    }

    fn property(&self, kind: &str, key: &'static str, shape: &Shape) -> Json {
        let mut value = self.value(&join(kind, key), shape);
        // Walls and breakers of one tenant are explained where those of all are.
        let own = kind.rsplit('.').next().unwrap_or_default().to_owned();
        let told = self.words.get(&(kind.to_owned(), key)).or_else(|| self.words.get(&(own, key)));
        if let (Json::Object(value), Some((sentence, default))) = (&mut value, told) {
            // Beside a reference nothing else is heeded.
            if let Some(reference) = value.remove("$ref") {
                value.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
            }
            value.insert("description".to_owned(), sentence.as_str().into());
            value.extend(default.clone().filter(|_| !kind.contains("NAME.")).map(|it| ("default".to_owned(), it)));
        }
        value
    }

    /// The seeds' spellings that mean something here.
    fn spellings(&self, kind: &str) -> Vec<(String, Json)> {
        let mut spellings = Vec::new();
        for (alias, target, key) in aliases::of_kind(kind) {
            let known = self.known.get(&target).filter(|known| !known.refused.contains(key));
            let Some(shape) = known.and_then(|known| known.keys.get(key)) else { continue };
            let mut value = self.value(&join(&target, key), shape);
            let place = if target == kind { key.to_owned() } else { join(&target, key) };
            value["description"] = format!("another spelling of {place}").into();
            spellings.push((alias.to_owned(), value));
        }
        if kind == "supervisor" {
            let cap = self.known.get("tenants.NAME").and_then(|known| known.keys.get("max_sessions"));
            let cap = cap.map_or(Json::Bool(true), |shape| self.value("", shape));
            let value = json!({
                "description": "another spelling of default_max_sessions; or caps of tenants, by their ids",
                "anyOf": [cap, { "type": "object", "additionalProperties": cap }],
            });
            spellings.push((aliases::FLAT_MAP.to_owned(), value));
        }
        spellings
    }

    /// What a key takes; `kind` is that of the section that it may be.
    fn value(&self, kind: &str, shape: &Shape) -> Json {
        let whole = |range: &std::ops::RangeInclusive<u64>| json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
        let seconds = |range: &std::ops::RangeInclusive<u64>| {
            let (least, most) = (*range.start() as f64 / 1000.0, *range.end() as f64 / 1000.0);
            json!({ "type": "number", "minimum": least, "maximum": most })
        };
        match shape {
            Shape::Whole(range) => whole(range),
            Shape::Limit(range) => json!({ "anyOf": [whole(range), { "const": "off" }] }),
            Shape::LimitOrZero(range) => json!({ "anyOf": [whole(range), { "enum": ["off", 0] }] }),
            Shape::Auto(range) => json!({ "anyOf": [whole(range), { "enum": ["off", "auto"] }] }),
            Shape::Seconds(range) => seconds(range),
            Shape::Waits(range) => {
                json!({ "type": "array", "items": seconds(range), "minItems": 1, "maxItems": 16 })
            }
            Shape::Ratio(range) => json!({ "type": "number", "minimum": range.start(), "maximum": range.end() }),
            Shape::Flag => json!({ "enum": [true, false, "on", "off"] }),
            Shape::Text => json!({ "type": "string" }),
            Shape::Short(most) => json!({ "type": "string", "minLength": 1, "maxLength": most }),
            Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
            Shape::Word(words) => json!({ "enum": words }),
            Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Shape::SomeTexts(least) => json!({ "type": "array", "items": { "type": "string" }, "minItems": least }),
            Shape::Words(words, some) => {
                json!({ "type": "array", "items": { "enum": words }, "minItems": u8::from(*some) })
            }
            Shape::WordOrTexts(word) => {
                json!({ "anyOf": [{ "const": word }, { "type": "array", "items": { "type": "string" } }] })
            }
            Shape::AddressOrPort => json!({ "anyOf": [{ "type": "string" }, whole(&(1..=65_535))] }),
            Shape::Ports => {
                json!({ "anyOf": [{ "const": "any" }, { "type": "array", "items": whole(&(1..=65_535)) }] })
            }
            Shape::Uids => {
                json!({ "type": "array", "items": whole(&(1_000..=4_294_967_293)), "minItems": 2, "maxItems": 2 })
            }
            Shape::Secret => json!({ "$ref": "#/definitions/secret" }),
            Shape::Variable => {
                json!({ "anyOf": [{ "type": ["string", "integer"] }, { "$ref": "#/definitions/secret" }] })
            }
            Shape::Scalar => json!({ "type": ["string", "integer", "boolean"] }),
            Shape::Provider => json!({ "$ref": "#/definitions/provider" }),
            Shape::Free => json!({ "type": "object" }),
            Shape::Table => Json::Object(self.object(kind)),
            Shape::Named(named) => json!({ "type": "object", "additionalProperties": self.object(named) }),
            Shape::Tables => json!({ "type": "array", "items": self.object(kind) }),
        }
    }
}

/// A reference to a secret. Any text is one: with `allow_literal_secrets` it may be the secret itself.
fn secret() -> Json {
    let form = |name: &str, value: Json| json!({ "type": "object", "properties": { name: value }, "required": [name], "additionalProperties": false });
    json!({
        "description": "where a secret is: { env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }; \
                        short \"env:NAME\", \"file:PATH\", \"credential:NAME\"",
        "anyOf": [
            { "type": "string" },
            form("env", json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })),
            form("file", json!({ "type": "string", "minLength": 1 })),
            form("exec", json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })),
            form("credential", json!({ "type": "string", "pattern": "^[^./][^/]*$" })),
        ],
    })
}

/// A provider.
fn provider() -> Json {
    json!({
        "description": "\"plugin/model\", \"inference:plugin/model\" or { provider = \"…\", model = \"…\", … }",
        "anyOf": [
            { "type": "string", "pattern": "^(inference:|[a-z0-9_-]{1,64}/)[\\s\\S]*\\S" },
            {
                "type": "object",
                "properties": {
                    "provider": { "type": "string", "pattern": "^[a-z0-9_-]{1,64}$" },
                    "model": { "type": "string", "minLength": 1 },
                },
                "required": ["provider"],
            },
        ],
    })
}
