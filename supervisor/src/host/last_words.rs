//! The last line that a host wrote on standard error, or the whole of what its interpreter said of a crash.
//!
//! Owns: which lines belong together. Never: grows beyond its bound.

/// Beginning of what CPython's faulthandler writes before it lets a process die.
const FATAL: &[u8] = b"Fatal Python error: ";
/// Beginnings of what it writes after that.
const FRAME: &[u8] = b"  File ";
const MORE: [&[u8]; 4] = [b"Current thread ", b"Thread ", b"Extension modules: ", b"  ..."];
/// Of a crash, the innermost calls.
const FRAMES_MAX: usize = 8;
const BETWEEN: &[u8] = b"; ";

/// What is kept.
#[derive(Debug, Default)]
pub struct LastWords {
    text: Vec<u8>,
    /// Frames kept of a crash; `None` where the last line was an ordinary one.
    frames: Option<usize>,
}

impl LastWords {
    /// Takes one line that is not blank, as far as `bytes_max` has room.
    pub fn hear(&mut self, line: &[u8], bytes_max: usize) {
        match self.frames {
            Some(frames) if line.starts_with(FRAME) => {
                if frames < FRAMES_MAX && self.text.len() + BETWEEN.len() + line.len() <= bytes_max {
                    self.text.extend_from_slice(BETWEEN);
                    self.text.extend_from_slice(line.trim_ascii());
                    self.frames = Some(frames + 1);
                }
            }
            Some(_) if MORE.iter().any(|more| line.starts_with(more)) => {}
            _ => {
                self.frames = line.starts_with(FATAL).then_some(0);
                self.text.clear();
                self.text.extend_from_slice(&line[..line.len().min(bytes_max)]);
            }
        }
    }

    /// The bytes, as they were written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::LastWords;

    fn heard(lines: &[&str]) -> String {
        let mut words = LastWords::default();
        lines.iter().for_each(|line| words.hear(line.as_bytes(), 256));
        String::from_utf8(words.text().to_vec()).unwrap()
    }

    #[test]
    fn it_is_the_last_line() {
        assert_eq!(heard(&[]), "");
        assert_eq!(heard(&["one", "two"]), "two");
        assert_eq!(heard(&["x".repeat(999).as_str()]).len(), 256);
    }

    #[test]
    fn a_crash_of_the_interpreter_is_kept_with_its_innermost_calls() {
        let crash = [
            "before",
            "Fatal Python error: Segmentation fault",
            "Current thread 0x00007f05 (most recent call first):",
            "  File \"ctypes.py\", line 519 in string_at",
            "  File \"main.py\", line 7 in on_enter",
            "Extension modules: a, b (total: 2)",
        ];
        let told = "Fatal Python error: Segmentation fault; File \"ctypes.py\", line 519 in string_at; \
                    File \"main.py\", line 7 in on_enter";
        assert_eq!(heard(&crash), told);
        assert_eq!(
            heard(&[&crash[..], &["it was a child's, and we go on"]].concat()),
            "it was a child's, and we go on"
        );
        let deep: Vec<String> = (0..99).map(|line| format!("  File \"a.py\", line {line} in f")).collect();
        let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
        let told = heard(&[&crash[1..3], &deep].concat());
        assert!(told.ends_with("line 7 in f") && told.len() <= 256, "{told}");
        assert_eq!(heard(&["  File \"a.py\", line 1, in f"]), "  File \"a.py\", line 1, in f", "an ordinary traceback");
    }
}
