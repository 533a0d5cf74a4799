//! Ending the reference counts of what a zygote holds, where CPython can (3.12 and newer).
//!
//! Owns: which objects. Never: ends that of one whose end is awaited: frames, generators and coroutines.
//!
//! A count that is never written leaves its page shared by all hosts. CPython calls such objects immortal (PEP 683), has some
//! of its own, and passes over them when it counts; what a zygote holds is its hosts' for life, so that nothing is lost.

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::sys::objects::Immortals;

/// The first minor version of CPython 3 whose objects can be immortal, and the last whose counts were looked at.
const MINORS: std::ops::RangeInclusive<u8> = 12..=13;

/// Types, in the module `types`, whose objects end by themselves.
const MORTAL: [&str; 4] = ["FrameType", "GeneratorType", "CoroutineType", "AsyncGeneratorType"];
/// What a code object holds; it does not show these to the collector.
const OF_CODE: [&str; 7] =
    ["co_consts", "co_names", "co_filename", "co_name", "co_qualname", "co_linetable", "co_exceptiontable"];

/// Makes these objects and all that they hold immortal; gives how many.
#[pyfunction]
pub(crate) fn immortalize(objects: &Bound<'_, PyList>) -> PyResult<usize> {
    let py = objects.py();
    if !MINORS.contains(&py.version_info().minor) {
        return Ok(0);
    }
    let types = py.import("types")?;
    let code = types.getattr("CodeType")?;
    let mortal = MORTAL.map(|name| types.getattr(name));
    let mut immortals = Immortals::new(mortal.into_iter().collect::<PyResult<_>>()?);
    for object in objects {
        immortals.begin(&object);
    }
    while let Some(object) = immortals.next(py) {
        if object.get_type().is(&code) {
            for name in OF_CODE {
                immortals.begin(&object.getattr(name)?);
            }
        }
    }
    Ok(immortals.count())
}
