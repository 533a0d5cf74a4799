//! Tests that take turns: what callers hear is measured in real time, and the next such test would be heard in it.
//!
//! Owns: whose turn it is within a test binary. Never: keeps other tests from running meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};

static CALLS: Mutex<()> = Mutex::new(());

/// Waits until no other test has real calls, until it is dropped.
pub fn real_calls() -> MutexGuard<'static, ()> {
    // A test that failed with its turn has ended like any other.
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}
