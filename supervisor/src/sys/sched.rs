//! Scheduling classes of other threads.
//!
//! Owns: switching a thread between normal and idle. Never: raises anybody above normal.

use std::io;

/// A thread's scheduling class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As born.
    Normal,
    /// Runs when nobody else wants to.
    Idle,
}

/// Puts one thread into a class. Leaving `Idle` needs CAP_SYS_NICE or `RLIMIT_NICE`.
pub fn set_class(tid: i32, class: Class) -> io::Result<()> {
    let policy = match class {
        Class::Normal => libc::SCHED_OTHER,
        Class::Idle => libc::SCHED_IDLE,
    };
    // SAFETY: all-zero bytes are a valid `sched_param` (integers only), which is what both classes ask for.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: sched_setscheduler(2) reads one valid `sched_param` and keeps no pointer; any pid is permitted.
    match unsafe { libc::sched_setscheduler(tid, policy, &raw const parameters) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
