//! The extension module `openrtc_host._native`: a Python host's share of the code that every host runs.
//!
//! Owns: the functions and the types that Python sees. Never: decides or writes anew what `openrtc-tenant-host` has; in a
//! zygote and a new host the interpreter lock stays with the only thread.

mod channel;
mod faults;
mod forks;
mod immortal;
mod json;
mod libraries;
mod memory;
mod sys;

use pyo3::prelude::*;

use crate::channel::Channel;
use crate::faults::{ChannelError, HostError};

/// Names of this process's threads, the main one first.
#[pyfunction]
fn threads() -> PyResult<Vec<String>> {
    Ok(openrtc_tenant_host::threads::names()?)
}

/// The extension module.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("PROTOCOL", openrtc_ipc::PROTOCOL)?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("HostError", py.get_type::<HostError>())?;
    module.add("ChannelError", py.get_type::<ChannelError>())?;
    module.add_class::<Channel>()?;
    module.add_function(wrap_pyfunction!(threads, module)?)?;
    module.add_function(wrap_pyfunction!(forks::serve_forks, module)?)?;
    module.add_function(wrap_pyfunction!(forks::unfit, module)?)?;
    module.add_function(wrap_pyfunction!(channel::adopt_channel, module)?)?;
    module.add_function(wrap_pyfunction!(memory::collapse_heap, module)?)?;
    module.add_function(wrap_pyfunction!(memory::fill_heap, module)?)?;
    module.add_function(wrap_pyfunction!(memory::trim_heap, module)?)?;
    module.add_function(wrap_pyfunction!(immortal::immortalize, module)?)?;
    module.add_function(wrap_pyfunction!(libraries::atfork_libraries, module)?)?;
    Ok(())
}
