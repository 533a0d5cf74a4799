//! Waiting on conditions.
//!
//! Owns: the only pause in the tests. Never: a test that passes because enough time went by.

use std::time::{Duration, Instant};

/// Longest wait for anything; generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        #[expect(clippy::disallowed_methods, reason = "the one pause between two looks at a condition")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
