//! Takes a host's own secrets out of whatever it says (decision R3).
//!
//! Owns: one searcher for all secrets of one tenant. Never: shows one, not in `Debug` either.
//!
//! This keeps keys out of logs by accident, not by force: whoever holds a key can spell it so that nobody recognises
//! it. Found are a secret as it is, as JSON writes it, and each line of a secret of several lines. Not found are
//! secrets under [`SECRET_CHARS_MIN`] characters (they would hit half of all text), other spellings (base64, percent
//! encoding), and a secret of one line that is cut over two lines of output.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use openrtc_ipc::{SecretText, SessionEvent};
use serde_json::Value;

/// Shorter secrets, in characters, are not replaced.
pub const SECRET_CHARS_MIN: usize = 6;
/// Shorter lines of a secret of several lines, in characters, are not searched on their own.
const SECRET_LINE_CHARS_MIN: usize = 12;

/// How a JSON web token begins: `{"` in base64.
const TOKEN_START: &[u8] = b"eyJ";
/// Each of its three parts has so many bytes at least.
const TOKEN_PART_BYTES_MIN: usize = 16;
/// What stands for it.
const TOKEN_MARK: &str = "***(token)";

/// Why a searcher could not be built.
#[derive(Debug, thiserror::Error)]
#[error("build the search for {count} secrets")]
pub struct RedactError {
    /// How many.
    count: usize,
    /// What the searcher met; its text shows sizes only.
    #[source]
    source: aho_corasick::BuildError,
}

/// Replaces secrets by `***(label)`. The default knows none.
#[derive(Default)]
pub struct Redactor {
    search: Option<AhoCorasick>,
    /// By pattern of `search`, what stands for it.
    marks: Vec<String>,
    unsearched: Vec<String>,
    longest: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("marks", &self.marks).finish_non_exhaustive()
    }
}

impl Redactor {
    /// A searcher for these secrets, each with the label that stands for it (`env:ACME_DG`, `file:/run/secrets/dg`).
    pub fn new(secrets: Vec<(String, SecretText)>) -> Result<Self, RedactError> {
        let mut redactor = Self::default();
        let mut patterns = Vec::new();
        for (label, secret) in secrets {
            let secret = secret.expose_secret().trim();
            if secret.chars().count() < SECRET_CHARS_MIN {
                redactor.unsearched.push(label);
                continue;
            }
            // The mark must be harmless within JSON text.
            let mark = format!("***({})", label.replace(|c: char| c.is_control() || c == '"' || c == '\\', "_"));
            for spelling in spellings(secret) {
                redactor.longest = redactor.longest.max(spelling.len());
                redactor.marks.push(mark.clone());
                patterns.push(spelling);
            }
        }
        if !patterns.is_empty() {
            let built = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns);
            let count = patterns.len();
            redactor.search = Some(built.map_err(|source| RedactError { count, source })?);
        }
        patterns.iter_mut().for_each(zeroize::Zeroize::zeroize);
        Ok(redactor)
    }

    /// Labels of secrets that are too short to be replaced.
    pub fn unsearched(&self) -> &[String] {
        &self.unsearched
    }

    /// Bytes of the longest secret: who cuts text must look so far beyond the cut.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The text without secrets; borrowed when there is none in it.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redact_cut(text, text.len())
    }

    /// The beginning of the text, at most `bytes_max` bytes of it, without secrets. A secret across the cut is replaced
    /// whole, so that no part of it shows.
    pub fn redact_cut<'t>(&self, text: &'t str, bytes_max: usize) -> Cow<'t, str> {
        let end = text.floor_char_boundary(bytes_max);
        let hits = self.hits(text);
        if hits.is_empty() {
            return Cow::Borrowed(&text[..end]);
        }
        let mut clean = String::with_capacity(end);
        let mut shown = 0;
        for (hit, mark) in hits.into_iter().take_while(|(hit, _)| hit.start < end) {
            clean.push_str(&text[shown..hit.start]);
            clean.push_str(mark);
            shown = hit.end;
        }
        clean.push_str(text.get(shown..end).unwrap_or_default());
        Cow::Owned(clean)
    }

    /// JSON text without secrets, however JSON spells them; it stays JSON. What is no JSON is treated as text.
    pub fn redact_json<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let found = |search: &AhoCorasick| search.is_match(json);
        if !json.contains('\\') && !self.search.as_ref().is_some_and(found) && tokens(json).is_empty() {
            return Cow::Borrowed(json);
        }
        let Ok(mut value) = serde_json::from_str::<Value>(json) else { return self.redact(json) };
        if self.redact_value(&mut value) { Cow::Owned(value.to_string()) } else { Cow::Borrowed(json) }
    }

    /// Takes secrets out of a value's texts, keys and numbers; says whether there were any.
    pub fn redact_value(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => match self.redact(&number.to_string()) {
                Cow::Borrowed(_) => false,
                Cow::Owned(clean) => {
                    *value = Value::String(clean);
                    true
                }
            },
            Value::String(text) => self.redact_string(text),
            Value::Array(items) => items.iter_mut().fold(false, |any, item| self.redact_value(item) | any),
            Value::Object(map) => {
                let mut any = false;
                for (mut key, mut item) in std::mem::take(map) {
                    any |= self.redact_string(&mut key) | self.redact_value(&mut item);
                    map.insert(key, item);
                }
                any
            }
        }
    }

    /// Takes secrets out of an event of a session.
    pub fn redact_event(&self, event: &mut SessionEvent) {
        match event {
            SessionEvent::Turn { text, .. } => _ = self.redact_string(text),
            SessionEvent::Latency { stage, .. } => _ = self.redact_string(stage),
            SessionEvent::Log { message, .. } => _ = self.redact_string(message),
            SessionEvent::State { state } => _ = self.redact_string(state),
            SessionEvent::Custom { name, json } => {
                self.redact_string(name);
                if let Cow::Owned(clean) = self.redact_json(json) {
                    *json = clean;
                }
            }
            SessionEvent::Usage(_) => {}
        }
    }

    /// Takes secrets out of a text in place; says whether there were any.
    pub fn redact_string(&self, text: &mut String) -> bool {
        let Cow::Owned(clean) = self.redact(text) else { return false };
        *text = clean;
        true
    }

    /// Where secrets are: overlapping ones as one place, with the mark of the longest of them.
    fn hits(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        let tokens = tokens(text);
        let Some(search) = self.search.as_ref().filter(|search| search.is_match(text)) else {
            return tokens.into_iter().map(|place| (place, TOKEN_MARK)).collect();
        };
        let mut found: Vec<_> = search.find_overlapping_iter(text).collect();
        found.sort_by_key(|hit| hit.start());
        let mut hits: Vec<(Range<usize>, usize, &str)> = Vec::new();
        for hit in found {
            let mark = self.marks[hit.pattern().as_usize()].as_str();
            let length = hit.end() - hit.start();
            match hits.last_mut() {
                Some((place, longest, shown)) if hit.start() < place.end => {
                    place.end = place.end.max(hit.end());
                    if length > *longest {
                        (*longest, *shown) = (length, mark);
                    }
                }
                _ => hits.push((hit.range(), length, mark)),
            }
        }
        let mut hits: Vec<_> = hits.into_iter().map(|(place, _, mark)| (place, mark)).collect();
        for token in tokens {
            if !hits.iter().any(|(hit, _)| hit.start < token.end && token.start < hit.end) {
                hits.push((token, TOKEN_MARK));
            }
        }
        hits.sort_by_key(|(place, _)| place.start);
        hits
    }
}

/// Where JSON web tokens are, by their form: those of calls come and go with sessions, too many to be listed.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in memchr::memmem::find_iter(text.as_bytes(), TOKEN_START) {
        if found.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let length = text.as_bytes()[start..].iter().take_while(|byte| is_part(byte)).count();
        let parts: Vec<&str> = text[start..start + length].split('.').take(3).collect();
        if parts.len() == 3 && parts.iter().all(|part| part.len() >= TOKEN_PART_BYTES_MIN) {
            found.push(start..start + parts.iter().map(|part| part.len() + 1).sum::<usize>() - 1);
        }
    }
    found
}

/// A secret as it may stand in text: itself, as JSON writes it (Rust and Python, which spells other alphabets as
/// `\u00fc`; some write `\/`), and each of its lines.
fn spellings(secret: &str) -> Vec<String> {
    let quoted = Value::from(secret).to_string();
    let json = &quoted[1..quoted.len() - 1];
    let mut ascii = String::new();
    for c in json.chars() {
        match c {
            c if c.is_ascii() => ascii.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    let lines = secret.lines().map(str::trim).filter(|_| secret.contains('\n'));
    let lines = lines.filter(|line| line.chars().count() >= SECRET_LINE_CHARS_MIN && !line.starts_with("-----"));
    let mut all: Vec<String> = lines.map(str::to_owned).collect();
    all.extend([secret.to_owned(), json.to_owned(), json.replace('/', "\\/"), ascii]);
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        let secret = |&(label, text): &(&str, &str)| (label.to_owned(), SecretText::new(text.to_owned()));
        Redactor::new(secrets.iter().map(secret).collect()).unwrap()
    }

    #[test]
    fn a_token_is_hidden_by_its_form_whether_or_not_there_are_secrets() {
        let token = format!("eyJ{}.eyJ{}.{}", "a".repeat(20), "b".repeat(40), "c-_".repeat(10));
        let text = format!(r#"{{"url":"ws://h","token":"{token}"}} and {token}, eyJ.eyJ.x"#);
        let clean = r#"{"url":"ws://h","token":"***(token)"} and ***(token), eyJ.eyJ.x"#;
        assert_eq!(Redactor::default().redact(&text), clean);
        assert_eq!(redactor(&[("env:DG", "sk-abc123")]).redact(&text), clean);
        let json = format!(r#"{{"token":"{token}"}}"#);
        assert_eq!(redactor(&[("env:DG", "sk-abc123")]).redact_json(&json), r#"{"token":"***(token)"}"#);
    }

    #[test]
    fn every_occurrence_becomes_its_label() {
        let redactor = redactor(&[("env:DG", "sk-abc123"), ("file:/k", "other-key")]);
        assert_eq!(
            redactor.redact("a sk-abc123, sk-abc123sk-abc123 other-key."),
            "a ***(env:DG), ***(env:DG)***(env:DG) ***(file:/k)."
        );
    }

    #[test]
    fn text_without_secrets_is_not_copied() {
        assert!(matches!(redactor(&[("env:DG", "sk-abc123")]).redact("nothing here"), Cow::Borrowed(_)));
        assert!(matches!(Redactor::default().redact_json("{}"), Cow::Borrowed("{}")));
    }

    #[test]
    fn of_overlapping_secrets_nothing_is_left_and_the_longest_gives_the_label() {
        let redactor = redactor(&[("env:A", "abcdef"), ("env:B", "defghij"), ("env:C", "cdefgh")]);
        assert_eq!(redactor.redact("xabcdefghijx"), "x***(env:B)x");
    }

    #[test]
    fn short_secrets_are_left_and_named() {
        let redactor = redactor(&[("env:PIN", "12345"), ("env:KEY", "123456")]);
        assert_eq!(redactor.redact("12345 123456"), "12345 ***(env:KEY)");
        assert_eq!(redactor.unsearched(), ["env:PIN"]);
    }

    #[test]
    fn json_stays_json_however_it_spells_the_secret() {
        let redactor = redactor(&[("env:Q", "pa\"ss\\wörd/1"), ("env:N", "123456789")]);
        for text in [
            json!({"k": "my pa\"ss\\wörd/1", "n": 123456789}).to_string(),
            r#"{"k": "my pa\"ss\\w\u00f6rd\/1", "n": 123456789}"#.to_owned(),
            r#"{"k": "my \u0070a\"ss\\w\u00F6rd/1", "n": 123456789}"#.to_owned(),
        ] {
            let clean: Value = serde_json::from_str(&redactor.redact_json(&text)).unwrap();
            assert_eq!(clean, json!({"k": "my ***(env:Q)", "n": "***(env:N)"}), "{text}");
        }
        let key = redactor.redact_json(r#"{"123456789": [true, "x"]}"#).into_owned();
        assert_eq!(key, r#"{"***(env:N)":[true,"x"]}"#);
        assert_eq!(redactor.redact_json("{no json 123456789"), "{no json ***(env:N)");
    }

    #[test]
    fn json_printed_as_text_by_python_is_redacted_too() {
        let redactor = redactor(&[("env:Q", "wörd-\"x\"")]);
        assert_eq!(redactor.redact(r#"{"key": "w\u00f6rd-\"x\""}"#), r#"{"key": "***(env:Q)"}"#);
    }

    #[test]
    fn lines_of_a_long_key_are_redacted_one_by_one() {
        let redactor =
            redactor(&[("file:/k", "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n")]);
        assert_eq!(redactor.redact("MIIEvQIBADANBg"), "***(file:/k)");
        assert_eq!(redactor.redact("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn a_secret_across_the_cut_is_replaced_whole() {
        let redactor = redactor(&[("env:K", "sk-abc123")]);
        assert_eq!(redactor.redact_cut("0123456789 sk-abc123 tail", 14), "0123456789 ***(env:K)");
        assert_eq!(redactor.redact_cut("0123456789 sk-abc123 tail", 11), "0123456789 ");
        assert_eq!(redactor.redact_cut("0123456789 sk-abc123 tail", 22), "0123456789 ***(env:K) t");
    }

    #[test]
    fn every_text_of_an_event_is_redacted() {
        let redactor = redactor(&[("env:K", "sk-abc123")]);
        let key = || "sk-abc123".to_owned();
        let events = [
            SessionEvent::Turn { speaker: openrtc_ipc::Speaker::User, text: key(), start_ms: 0, end_ms: 1 },
            SessionEvent::Latency { stage: key(), micros: 1 },
            SessionEvent::Log { level: openrtc_ipc::LogLevel::Info, message: key() },
            SessionEvent::State { state: key() },
            SessionEvent::Custom { name: key(), json: json!({"env": {"OPENAI_API_KEY": key()}}).to_string() },
        ];
        for mut event in events {
            redactor.redact_event(&mut event);
            let shown = format!("{event:?}");
            assert!(!shown.contains("sk-abc") && shown.contains("***(env:K)"), "{shown}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", redactor(&[("env:K", "sk-abc123")])).contains("sk-abc123"));
    }

    proptest! {
        #[test]
        fn no_secret_survives_in_any_text(parts in prop::collection::vec("[ab\"\\\\]{0,4}|secret-one|one-more", 0..12), cut in 0usize..80) {
            let redactor = redactor(&[("1", "secret-one"), ("2", "one-more"), ("3", "abab\"ab")]);
            let text = parts.concat();
            for clean in [redactor.redact(&text), redactor.redact_cut(&text, cut)] {
                for secret in ["secret-one", "one-more", "abab\"ab"] {
                    prop_assert!(!clean.contains(secret), "{clean}");
                }
            }
            let json = Value::from(text.as_str()).to_string();
            prop_assert!(serde_json::from_str::<Value>(&redactor.redact_json(&json)).is_ok());
        }
    }
}
