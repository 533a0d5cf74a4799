//! Cuts a stream of bytes into lines of bounded length.
//!
//! Owns: the line that is not finished. Never: keeps more than the bound, whatever comes.

/// Lines of one pipe.
#[derive(Debug, Default)]
pub struct LineCutter {
    unfinished: Vec<u8>,
    /// The line was given out already, cut; its rest is thrown away.
    skipping: bool,
}

impl LineCutter {
    /// Takes bytes and gives out each line that they finish, without its newline. Of a line of `bytes_max` or more the
    /// beginning is given out at once, and the rest is thrown away.
    pub fn push(&mut self, mut bytes: &[u8], bytes_max: usize, mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if !self.skipping {
                let room = bytes_max.saturating_sub(self.unfinished.len());
                self.unfinished.extend_from_slice(&part[..part.len().min(room)]);
                if part.len() >= room {
                    line(&self.unfinished);
                    self.skipping = true;
                }
            }
            let Some(end) = end else { break };
            self.finish(&mut line);
            bytes = &bytes[end + 1..];
        }
        if self.skipping {
            self.unfinished.clear();
        }
    }

    /// Gives out what no newline has ended.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.skipping && !self.unfinished.is_empty() {
            line(&self.unfinished);
        }
        self.skipping = false;
        self.unfinished.clear();
        // Most hosts write short lines; a long one must not cost its memory for ever.
        self.unfinished.shrink_to(1024);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(parts: &[&[u8]], bytes_max: usize) -> Vec<String> {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        for part in parts {
            cutter.push(part, bytes_max, |line| lines.push(String::from_utf8_lossy(line).into_owned()));
            assert!(cutter.unfinished.len() <= bytes_max);
        }
        cutter.finish(|line| lines.push(String::from_utf8_lossy(line).into_owned()));
        lines
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        assert_eq!(cut(&[b"on", b"e\ntwo\n\nth", b"ree"], 10), ["one", "two", "three"]);
    }

    #[test]
    fn a_line_over_the_bound_comes_once_and_cut_and_the_next_comes_whole() {
        assert_eq!(cut(&[b"01234", b"56789", b"abcdef", b"ghi\nnext\n"], 8), ["01234567", "next"]);
    }

    proptest! {
        #[test]
        fn how_bytes_arrive_changes_nothing(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            size in 1usize..40,
        ) {
            let parts: Vec<_> = bytes.chunks(size).collect();
            prop_assert_eq!(cut(&parts, 16), cut(&[&bytes], 16));
        }
    }
}
