//! What processes hold.
//!
//! Owns: reading `smaps_rollup`. Never: sums resident memory, which counts shared pages once for each who shares them.

use std::fs;

/// Kilobytes of one process by the names of `smaps_rollup`.
pub(crate) fn of(pid: u32, key: &str) -> f64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; run this as root"));
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// Kilobytes that only this process holds and that it has written to.
pub(crate) fn private(pid: u32) -> f64 {
    of(pid, "Private_Dirty")
}

/// Kilobytes of these processes together, shared pages counted once; who has ended meanwhile holds nothing.
pub(crate) fn together(pids: &[u32]) -> f64 {
    let there = |pid: &&u32| fs::exists(format!("/proc/{pid}/smaps_rollup")).unwrap_or(false);
    pids.iter().filter(there).map(|pid| of(*pid, "Pss")).sum()
}
