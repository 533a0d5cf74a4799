//! How values, keys and comments are spelled in TOML.
//!
//! Owns: quoting. Never: decides what is written.

use serde_json::Value as Json;

use crate::telemetry::escape::escaped;

/// A text as a value on one line.
pub(super) fn text(value: &str) -> String {
    basic(value)
}

/// A key, quoted where it must be.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(bare) {
        true => name.to_owned(),
        false => basic(name),
    }
}

/// A text as a basic string on one line; for JSON's escapes are TOML's too.
fn basic(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A JSON value on one line; `None` where TOML has none.
pub(super) fn value(json: &Json) -> Option<String> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => basic(text),
        Json::Array(items) => format!("[{}]", items.iter().map(value).collect::<Option<Vec<_>>>()?.join(", ")),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| Some(format!("{} = {}", key(name), value(field)?)));
            let fields = fields.collect::<Option<Vec<_>>>()?.join(", ");
            if fields.is_empty() { "{}".to_owned() } else { format!("{{ {fields} }}") }
        }
    })
}

/// A reference to a variable.
pub(crate) fn variable(name: &str) -> String {
    format!("{{ env = {} }}", basic(name))
}

/// A text fit to stand in a comment.
pub(super) fn comment(said: &str) -> String {
    escaped(said).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_spelled_is_read_as_it_was() {
        let strange = "a\"b'\\c\n\u{7f}\u{0}ü]#=";
        let json = json!({ strange: [1, 2.5, true, strange, { "x": {} }], "voice": "alloy", "t": 1e-7 });
        let line = format!("{} = {}", key(strange), value(&json).unwrap());
        assert_eq!(line.lines().count(), 1, "{line}");
        let table: toml::Table = line.parse().unwrap();
        assert_eq!(serde_json::to_value(&table[strange]).unwrap(), json);
        assert_eq!(value(&json!({ "a": null })), None);
        assert_eq!((key("acme-corp"), key("a.b")), ("acme-corp".to_owned(), "\"a.b\"".to_owned()));
        let table: toml::Table = format!("a = 1 # {}", comment("x\n[tenants]\r\u{1b}")).parse().unwrap();
        assert_eq!(table.len(), 1);
    }
}
