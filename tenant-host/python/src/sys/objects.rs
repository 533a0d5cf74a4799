//! Objects whose references CPython no longer counts.
//!
//! Owns: writing the count, and walking from an object to what it holds. Never: used before CPython 3.12, where the count
//! written here is a count like any other.

use std::ffi::{c_int, c_void};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyAny;

/// `_Py_IMMORTAL_REFCNT` of CPython 3.12 and 3.13 with words of 64 bits: the lower half, taken as a signed number, is below
/// zero.
const IMMORTAL: u64 = 0xFFFF_FFFF;

/// Objects on their way to be immortal. Those that wait are immortal already, and so stay where they are.
#[derive(Debug)]
pub(crate) struct Immortals<'py> {
    /// Types whose objects stay as they are.
    mortal: Vec<Bound<'py, PyAny>>,
    waiting: Vec<*mut ffi::PyObject>,
    count: usize,
}

impl<'py> Immortals<'py> {
    /// None yet.
    pub(crate) fn new(mortal: Vec<Bound<'py, PyAny>>) -> Self {
        Self { mortal, waiting: Vec::new(), count: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Makes one immortal, unless it is; what it holds is found by [`Self::next`].
    pub(crate) fn begin(&mut self, object: &Bound<'py, PyAny>) {
        self.visit(object.as_ptr());
    }

    fn visit(&mut self, object: *mut ffi::PyObject) {
        // SAFETY: `object` is a live object: a bound one, or one that a live object's own traversal has shown. Its type is
        // one too. Its first word is its count on every build of 3.12 and 3.13 that loads a module of the stable ABI (those
        // without the interpreter lock do not), and the lock is held: nobody else reads or writes it.
        unsafe {
            let count = object.cast::<u64>();
            if (*count as i32) < 0 {
                return;
            }
            let kind = ffi::Py_TYPE(object).cast::<ffi::PyObject>();
            if self.mortal.iter().any(|mortal| mortal.as_ptr() == kind) {
                return;
            }
            *count = IMMORTAL;
        }
        self.count += 1;
        self.waiting.push(object);
    }

    /// The next of them, after what it holds was made immortal.
    pub(crate) fn next(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let object = self.waiting.pop()?;
        // SAFETY: `object` is immortal, and so alive for ever. A type's slot `tp_traverse` holds such a function or null; it
        // shows what the object holds and runs no code of Python's. Nothing is freed or made meanwhile, for `show` only
        // counts. `self` outlives the call and is reached through this pointer alone during it.
        unsafe {
            let slot = ffi::PyType_GetSlot(ffi::Py_TYPE(object), ffi::Py_tp_traverse);
            if !slot.is_null() && has_cycles(object) {
                let traverse = std::mem::transmute::<*mut c_void, ffi::traverseproc>(slot);
                traverse(object, show, std::ptr::from_mut(self).cast());
            }
            Some(Bound::from_borrowed_ptr(py, object))
        }
    }
}

/// Whether the collector knows this object, or others just like it: of those only, `tp_traverse` may be called.
///
/// # Safety
/// `object` must be alive.
unsafe fn has_cycles(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the object is alive, as the caller says, and so is its type; all three only look at them.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        // Of a type whose objects differ in that (`type`: those that were not made at run time) what is tracked is known.
        if ffi::PyType_GetSlot(kind, ffi::Py_tp_is_gc).is_null() {
            ffi::PyType_IS_GC(kind) != 0
        } else {
            ffi::PyObject_GC_IsTracked(object) != 0
        }
    }
}

/// What a traversal calls with each object that is held.
extern "C" fn show(object: *mut ffi::PyObject, immortals: *mut c_void) -> c_int {
    // SAFETY: `next` passed this pointer, to a value that it holds exclusively and does not touch meanwhile. Its lifetime
    // says only that the lock is held, which it is.
    let immortals = unsafe { &mut *immortals.cast::<Immortals<'_>>() };
    immortals.visit(object);
    0
}
