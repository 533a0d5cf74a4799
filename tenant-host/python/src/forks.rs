//! A Python zygote: the loop of `openrtc_tenant_host::zygote` with CPython's own work around each fork.
//!
//! Owns: the order of that work. Never: lets Python run between the request and the fork, or releases the interpreter
//! lock: there is one thread, and signals wait.

use openrtc_ipc::Need;
use openrtc_tenant_host::lockdown::Inherited;
use openrtc_tenant_host::zygote::{ForkHooks, Zygote, ZygoteError};
use pyo3::prelude::*;

use crate::channel::Channel;
use crate::faults::{self, HostError};
use crate::sys::gnutls::Gnutls;
use crate::sys::interpreter::ForkingInterpreter;

struct Around<'py> {
    interpreter: ForkingInterpreter<'py>,
    gnutls: Option<Gnutls>,
}

impl ForkHooks for Around<'_> {
    fn before(&mut self) {
        self.interpreter.before();
    }

    fn after_in_zygote(&mut self) {
        self.interpreter.after_in_parent();
    }

    fn after_in_child(&mut self) {
        self.interpreter.after_in_child();
        // Its own handler is not run by a fork that glibc did not make, and two tenants must not draw the same numbers.
        if let Some(gnutls) = &self.gnutls {
            gnutls.refresh();
        }
    }
}

fn failed(error: ZygoteError) -> PyErr {
    HostError::new_err(faults::failed_to(&error))
}

/// Says that this zygote is warm and forks hosts on request; gives the channel in each of them.
#[pyfunction]
#[pyo3(signature = (allowed_threads = 1))]
pub(crate) fn serve_forks(py: Python<'_>, allowed_threads: usize) -> PyResult<Option<Channel>> {
    let zygote = Zygote::inherited().map_err(failed)?;
    zygote.resume().map_err(failed)?;
    let mut around = Around { interpreter: ForkingInterpreter::new(py), gnutls: Gnutls::mapped() };
    let forked = zygote.serve(&mut around, allowed_threads).map_err(failed)?;
    Ok(forked.map(|(socket, need)| Channel::new(socket, Inherited::Zygote, need == Need::Later)))
}

/// Says that this zygote cannot become warm.
#[pyfunction]
pub(crate) fn unfit(why: &str) -> PyResult<()> {
    Zygote::inherited().and_then(|zygote| zygote.unfit(why)).map_err(failed)
}
