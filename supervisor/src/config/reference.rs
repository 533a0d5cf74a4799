//! References to secrets, as written: where a secret is, not what it is.
//!
//! Owns: the forms of a reference and their reading. Never: resolves one, or shows a literal.

use std::fmt;
use std::path::PathBuf;

use openrtc_ipc::SecretText;

use super::section::{Section, Spot};
use super::tree::{Entry, Value};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In this variable of the supervisor's environment.
    Env(String),
    /// In this file (absolute).
    File(PathBuf),
    /// What this program writes to its standard output.
    Exec(Vec<String>),
    /// In this file of `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).
    Credential(String),
    /// Here; only with `allow_literal_secrets`.
    Literal(SecretText),
}

impl fmt::Display for SecretRef {
    /// The source as shown in `***(…)`: never a secret, and of a program only its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Exec(argv) => write!(f, "exec:{}", argv.first().map_or("", String::as_str)),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Literal(_) => f.write_str("literal"),
        }
    }
}

/// The forms, for messages.
pub(super) const FORMS: &str =
    "{ env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }";

fn fault<T>(section: &mut Section<'_>, at: &Spot<Value>, problem: &str, remedy: &str) -> Option<T> {
    section.faults.add(&at.origin, &at.key, None, problem, remedy);
    None
}

/// Reads a reference: a table, `"env:X"`, `"file:…"`, `"credential:…"`, or a literal. No message shows the value.
pub(super) fn read(section: &mut Section<'_>, at: Spot<Value>) -> Option<Spot<SecretRef>> {
    let reference = match &at.value {
        Value::Text(text) | Value::Raw(text) => short_form(&at, text),
        Value::Table(entries) => from_table(section, &at, entries),
        _ => fault(section, &at, "is no reference to a secret", &format!("write {FORMS}")),
    }?;
    check_name(section, &at, &reference)?;
    Some(Spot { value: reference, key: at.key, origin: at.origin })
}

fn short_form(at: &Spot<Value>, text: &str) -> Option<SecretRef> {
    if let Some(name) = text.strip_prefix("env:") {
        return Some(SecretRef::Env(name.to_owned()));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return Some(SecretRef::File(at.origin.resolve(path)));
    }
    if let Some(name) = text.strip_prefix("credential:") {
        return Some(SecretRef::Credential(name.to_owned()));
    }
    Some(SecretRef::Literal(SecretText::new(text.to_owned())))
}

fn from_table(section: &mut Section<'_>, at: &Spot<Value>, entries: &[Entry]) -> Option<SecretRef> {
    let [entry] = entries else {
        return fault(section, at, "must have exactly one key", &format!("write {FORMS}"));
    };
    match (entry.key.as_str(), &entry.node.value) {
        ("env", Value::Text(name)) => Some(SecretRef::Env(name.clone())),
        ("file", Value::Text(path)) if !path.is_empty() => Some(SecretRef::File(entry.node.origin.resolve(path))),
        ("credential", Value::Text(name)) => Some(SecretRef::Credential(name.clone())),
        ("exec", Value::List(items)) => {
            let words: Option<Vec<String>> = items
                .iter()
                .map(|item| match &item.value {
                    Value::Text(word) => Some(word.clone()),
                    _ => None,
                })
                .collect();
            match words {
                Some(mut words) if !words.is_empty() && !words[0].is_empty() => {
                    if words[0].contains('/') {
                        words[0] = entry.node.origin.resolve(&words[0]).display().to_string();
                    }
                    Some(SecretRef::Exec(words))
                }
                _ => fault(section, at, "has no program to run", "write { exec = [\"PROGRAM\", \"ARGUMENT\"] }"),
            }
        }
        _ => fault(section, at, "is no reference to a secret", &format!("write {FORMS}")),
    }
}

fn check_name(section: &mut Section<'_>, at: &Spot<Value>, reference: &SecretRef) -> Option<()> {
    match reference {
        SecretRef::Env(name) if !is_variable(name) => {
            fault(section, at, "names no environment variable", "write { env = \"NAME\" } with letters, digits and _")
        }
        SecretRef::Credential(name) if name.is_empty() || name.contains('/') || name.starts_with('.') => {
            fault(section, at, "names no credential", "write the name that stands in LoadCredential=, without a slash")
        }
        _ => Some(()),
    }
}

/// Whether a name is a portable environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
