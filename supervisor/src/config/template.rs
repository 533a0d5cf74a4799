//! `config init`: a configuration in which every key stands with its default, to be filled in.
//!
//! Owns: the form. Never: names a key or a default of its own; both are those of the page, which tests hold to what is read.

use super::page::{self, PageSection, Row};

/// Name of the schema that the first line points at, beside the configuration.
pub const SCHEMA_FILE: &str = "openrtc-supervisor.schema.json";
/// Columns of a comment.
const COLUMNS: usize = 100;

/// The configuration, with one agent, which must be there.
pub fn template() -> String {
    let mut text = format!(
        "#:schema ./{SCHEMA_FILE}\n\
         # openrtc-supervisor {}: every key that this version knows, with its default.\n\
         # A line that begins with `#key` is a setting: remove the # to change it. `openrtc-supervisor config check` tells\n\
         # every fault at once. The first line lets editors complete and check this file, once the schema lies beside it:\n\
         #   openrtc-supervisor config schema --output {SCHEMA_FILE}\n\
         # Units: _s seconds, _ms milliseconds, _mb 2^20 bytes, _pct percent. \"off\" is none.\n\
         # Paths are relative to this file.\n",
        env!("CARGO_PKG_VERSION")
    );
    for section in page::sections() {
        text.push('\n');
        match section.name.as_str() {
            "" => text.push_str("config_version = 1\n"),
            "agents.NAME" => agent(&section, &mut text),
            _ => written(&section, &mut text),
        }
    }
    text
}

/// The one agent: no configuration is valid without any.
fn agent(section: &PageSection, text: &mut String) {
    text.push_str("# One agent at least. Replace this program, which ends every session at once, by your own.\n");
    text.push_str("[agents.support]\ncommand = [\"true\"]\n");
    rows(section.rows.iter().filter(|row| row.key != "command"), text);
}

fn written(section: &PageSection, text: &mut String) {
    let name = &section.name;
    // Named tables are there only once they are named.
    let hash = if section.list || name.contains("NAME") { "#" } else { "" };
    let over = section.rows.iter().all(|row| row.takes.is_empty()) && !section.rows.is_empty();
    text.push_str(&match section.list {
        true => format!("{hash}[[{name}]]\n"),
        false => format!("{hash}[{name}]\n"),
    });
    if over {
        let base = name.rsplit('.').next().unwrap_or_default();
        let keys: Vec<&str> = section.rows.iter().map(|row| row.key).collect();
        comment(&format!("key by key over [{base}]: {}", keys.join(", ")), text);
    } else {
        rows(section.rows.iter(), text);
    }
}

fn rows<'a>(rows: impl Iterator<Item = &'a Row>, text: &mut String) {
    for row in rows {
        match row.value() {
            Some(value) => {
                comment(&row.sentence(), text);
                text.push_str(&format!("#{} = {value}\n", row.key));
            }
            None => comment(&format!("{}: {}", row.key, row.sentence()), text),
        }
    }
}

/// A comment, broken between words.
fn comment(sentence: &str, text: &mut String) {
    let mut line = "#".to_owned();
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && line.len() > 1 {
            text.push_str(&line);
            text.push_str("\n#");
            line = " ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
