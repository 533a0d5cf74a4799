//! One supervisor for several tests.
//!
//! Owns: starting it for the first that asks, and ending it with the last that lets go. Never: keeps one alive that nobody
//! holds.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::Running;

/// A supervisor that tests share, each with tenants of its own.
pub struct Shared {
    running: Mutex<Weak<Running>>,
    start: fn() -> Running,
}

/// A test's hold on it.
pub struct Lent(Arc<Running>);

impl Shared {
    /// One that is started so, when somebody asks for it.
    pub const fn new(start: fn() -> Running) -> Self {
        Self { running: Mutex::new(Weak::new()), start }
    }

    /// The one that runs, or a new one.
    pub fn get(&self) -> Lent {
        // A test that failed to start it leaves none behind.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = running.upgrade().unwrap_or_else(|| Arc::new((self.start)()));
        *running = Arc::downgrade(&lent);
        Lent(lent)
    }
}

impl Deref for Lent {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if std::thread::panicking() && Arc::strong_count(&self.0) > 1 {
            eprintln!("---- shared supervisor's log\n{}", self.0.log());
        }
    }
}
