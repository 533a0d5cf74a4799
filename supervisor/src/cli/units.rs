//! Numbers for people.
//!
//! Owns: how sizes, times and shares are written. Never: used where a program reads.

use std::time::{SystemTime, UNIX_EPOCH};

/// `0`, `512 B`, `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const NAMES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < NAMES.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", NAMES[unit]) }
}

/// `340 ms`, `7.2 s`, `3m05s`, `2h04m`, `3d04h`.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0 => format!("{:.0} ms", seconds * 1000.0),
        1..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// How long ago.
pub(super) fn ago(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    seconds(now.saturating_sub(unix_ms) as f64 / 1000.0)
}

/// `-` for none.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `1 session`, `2 sessions`.
pub(super) fn counted(count: impl Into<u64>, noun: &str) -> String {
    match count.into() {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// `3/50`, or `3` without a cap.
pub(super) fn of(count: u32, cap: Option<u32>) -> String {
    cap.map_or_else(|| count.to_string(), |cap| format!("{count}/{cap}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!((bytes(0), bytes(1023), bytes(1 << 20)), ("0 B".into(), "1023 B".into(), "1.0 MiB".into()));
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        let shown: Vec<_> = [0.34, 7.25, 185.0, 7_440.0, 270_000.0].map(seconds).into();
        assert_eq!(shown, ["340 ms", "7.2 s", "3m05s", "2h04m", "3d03h"]);
        assert_eq!((counted(1_u32, "turn"), counted(0_u32, "turn")), ("1 turn".into(), "0 turns".into()));
        assert_eq!((of(3, Some(50)), of(3, None)), ("3/50".into(), "3".into()));
    }
}
