//! Makes foreign text harmless to a terminal and to whoever reads it.
//!
//! Owns: which characters are dangerous, and how they are shown. Never: changes harmless text.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could command a terminal, forge a line or turn the reading direction.
pub fn is_dangerous(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with dangerous characters written out: `\n`, `\x1b`, `\u{202e}`. Tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) || !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            // Writing to a String cannot fail.
            c if is_dangerous(c) && c <= '\u{ff}' => _ = write!(shown, "\\x{:02x}", u32::from(c)),
            c if is_dangerous(c) => _ = write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The text cut to so many bytes, at a character's edge.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_commands_forged_lines_and_turned_text_are_written_out() {
        assert_eq!(escaped("\x1b[2J\x07"), "\\x1b[2J\\x07");
        assert_eq!(escaped("a\r\nb"), "a\\r\\nb");
        assert_eq!(escaped("\u{9b}31m"), "\\x9b31m");
        assert_eq!(escaped("\u{202e}evil"), "\\u{202e}evil");
    }

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(escaped("grüße\tan alle"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("aü", 9), "aü");
    }
}
