//! What CPython does around a fork that it does not make itself (decision P3).
//!
//! Owns: the three calls, in their order. Never: called without the interpreter lock.

use pyo3::Python;
use pyo3::ffi;

/// The interpreter of a process that forks. Its existence proves that this thread holds the interpreter lock.
pub(crate) struct ForkingInterpreter<'py> {
    _attached: Python<'py>,
}

impl<'py> ForkingInterpreter<'py> {
    /// Of this thread.
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self { _attached: py }
    }

    /// Runs `os.register_at_fork`'s handlers for before, and takes the import lock.
    pub(crate) fn before(&self) {
        // SAFETY: PyOS_BeforeFork must be called by a thread that holds the interpreter lock, as `_attached` proves.
        unsafe { ffi::PyOS_BeforeFork() };
    }

    /// Undoes that in the process that forked, and runs the handlers for it.
    pub(crate) fn after_in_parent(&self) {
        // SAFETY: PyOS_AfterFork_Parent must be called by the thread that called PyOS_BeforeFork, still with the lock.
        unsafe { ffi::PyOS_AfterFork_Parent() };
    }

    /// Makes the interpreter's state that of a new process, and runs the handlers for it.
    pub(crate) fn after_in_child(&self) {
        // SAFETY: PyOS_AfterFork_Child must be called first in the new process by the copy of the thread that forked;
        // that thread held the lock, and so its copy does.
        unsafe { ffi::PyOS_AfterFork_Child() };
    }
}
