//! From Rust's errors to the exceptions that Python sees.
//!
//! Owns: the two exception types, and which error becomes which. Never: puts a message's fields into an exception: they
//! may hold a key.

use std::error::Error;
use std::io;

use openrtc_ipc::blocking::ChannelError as BlockingError;
use openrtc_tenant_host::dialogue::DialogueError;
use pyo3::create_exception;
use pyo3::exceptions::{PyEOFError, PyException};
use pyo3::prelude::*;

create_exception!(
    openrtc_host._native,
    HostError,
    PyException,
    "The host cannot be brought up, or was asked for something out of its turn."
);
create_exception!(openrtc_host._native, ChannelError, HostError, "The channel carried what is no command, or failed.");

/// An error that is worded for "failed to …", with its causes, as one line.
pub(crate) fn failed_to(error: &dyn Error) -> String {
    format!("failed to {}", line(error))
}

/// An error with its causes, as one line.
pub(crate) fn line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}

/// The end of the channel.
pub(crate) fn ended() -> PyErr {
    PyEOFError::new_err("the supervisor closed the channel")
}

/// Whether this error of a socket only says that nobody is at its other end.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// The exception for a failure of the channel.
pub(crate) fn of_channel(error: &BlockingError) -> PyErr {
    match error {
        BlockingError::Closed => ended(),
        BlockingError::Io(error) if is_end(error) => ended(),
        error => ChannelError::new_err(line(error)),
    }
}

/// The exception for a dialogue that did not come to its end.
pub(crate) fn of_dialogue(error: &DialogueError) -> PyErr {
    match error {
        DialogueError::Channel(error) => of_channel(error),
        error => HostError::new_err(failed_to(error)),
    }
}
