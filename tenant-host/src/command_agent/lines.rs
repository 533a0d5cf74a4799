//! Bytes from a program into lines of bounded length.
//!
//! Owns: the partial line. Never: keeps more than the bound, whatever is written.

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Its beginning, as long as the bound; the rest is passed over.
    Cut(&'a [u8]),
}

/// Splits a stream into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    bytes_max: usize,
    skipping: bool,
}

impl Lines {
    /// Lines of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { partial: Vec::new(), bytes_max, skipping: false }
    }

    /// Takes bytes as they came and gives each line that ended in them, or that grew over the bound.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end], &mut each);
            if !self.skipping {
                each(Line::Whole(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial)));
            }
            self.partial.clear();
            self.skipping = false;
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut each);
    }

    /// Gives a last line that had no end.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.skipping && !self.partial.is_empty() {
            each(Line::Whole(&self.partial));
        }
        *self = Self::new(self.bytes_max);
    }

    fn extend(&mut self, bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if self.skipping {
            return;
        }
        let room = self.bytes_max - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            each(Line::Cut(&self.partial));
            self.partial = Vec::new();
            self.skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str], bytes_max: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::new(bytes_max);
        let mut each = |line: Line<'_>| {
            found.push(match line {
                Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Line::Cut(bytes) => format!("{}…", String::from_utf8_lossy(bytes)),
            });
        };
        chunks.iter().for_each(|chunk| lines.push(chunk.as_bytes(), &mut each));
        lines.finish(&mut each);
        found
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        assert_eq!(lines(&["a\nb", "c\r\n", "", "\nd"], 8), ["a", "bc", "", "d"]);
    }

    #[test]
    fn a_line_over_the_bound_is_given_once_and_the_next_is_whole() {
        assert_eq!(lines(&["1234", "5678", "9\nab\n"], 4), ["1234…", "ab"]);
        assert_eq!(lines(&["1234\n12345\nx"], 4), ["1234", "1234…", "x"]);
    }
}
