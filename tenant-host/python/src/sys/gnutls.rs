//! The random numbers of GnuTLS, which PyAV brings along: the one library of the usual preload set with a fork handler.
//!
//! Owns: finding its function and calling it. Never: loads the library.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use crate::libraries;

/// Loaded copies of GnuTLS.
#[derive(Debug)]
pub(crate) struct Gnutls {
    refresh: Vec<extern "C" fn()>,
}

const REFRESH: &CStr = c"gnutls_rnd_refresh";

impl Gnutls {
    /// Those that are mapped now; `None`: there is none.
    pub(crate) fn mapped() -> Option<Self> {
        let paths = libraries::mapped().unwrap_or_default();
        let named = paths.iter().filter(|path| path.rsplit('/').next().is_some_and(|name| name.contains("gnutls")));
        let refresh: Vec<_> = named.filter_map(|path| function(path)).collect();
        (!refresh.is_empty()).then_some(Self { refresh })
    }

    /// Gives each new random numbers, as its own fork handler would.
    pub(crate) fn refresh(&self) {
        self.refresh.iter().for_each(|refresh| refresh());
    }
}

fn function(path: &str) -> Option<extern "C" fn()> {
    let path = CString::new(path).ok()?;
    // SAFETY: dlopen reads a terminated string. With RTLD_NOLOAD it only gives a handle on what is loaded, and that handle
    // is never closed, so that what dlsym finds stays where it is.
    let handle = unsafe { libc::dlopen(path.as_ptr().cast::<c_char>(), NOLOAD) };
    if handle.is_null() {
        return None;
    }
    // SAFETY: dlsym needs a handle of dlopen and a terminated string.
    let symbol: *mut c_void = unsafe { libc::dlsym(handle, REFRESH.as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: GnuTLS documents `void gnutls_rnd_refresh(void)` since 3.1; the pointer is not null.
    Some(unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(symbol) })
}

const NOLOAD: c_int = libc::RTLD_NOLOAD | libc::RTLD_LAZY;
