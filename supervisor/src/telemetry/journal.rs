//! What the journal wants of a line: its priority in front, as `sd-daemon(3)` has it.
//!
//! Owns: the prefix, and whether standard error is the journal. Never: talks to the journal; it reads our standard error.

use std::os::fd::AsFd;

use tracing::Level;

/// Whether standard error is the stream that systemd names in `JOURNAL_STREAM`. The variable alone proves nothing: it is
/// inherited by those whose standard error went elsewhere.
pub(super) fn is_stderr() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is(&stream, std::io::stderr()))
}

fn is(stream: &str, fd: impl AsFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(fd) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// The priority of a line. The journal takes it off again.
pub(super) fn prefix(level: Level) -> &'static [u8] {
    match level {
        Level::ERROR => b"<3>",
        Level::WARN => b"<4>",
        Level::INFO => b"<6>",
        Level::DEBUG | Level::TRACE => b"<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let stat = rustix::fs::fstat(&writer).unwrap();
        assert!(is(&format!("{}:{}", stat.st_dev, stat.st_ino), &writer));
        for other in [format!("{}:{}", stat.st_dev, stat.st_ino + 1), String::new(), "9:x".to_owned()] {
            assert!(!is(&other, &writer), "{other}");
        }
    }
}
