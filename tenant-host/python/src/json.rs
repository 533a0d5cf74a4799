//! Messages as plain Python values, by way of serde's names and Python's own `json`.
//!
//! Owns: the two directions. Never: names a field of any message.

use openrtc_ipc::{Command, Report};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde::Serialize;
use serde_json::Value;

use crate::faults::ChannelError;

/// A message as it would be read from JSON.
pub(crate) fn to_python<'py>(py: Python<'py>, message: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(message).map_err(|fault| ChannelError::new_err(fault.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// A command as its name and its fields.
pub(crate) fn command<'py>(py: Python<'py>, command: &Command) -> PyResult<(String, Bound<'py, PyAny>)> {
    let name = openrtc_tenant_host::dialogue::name(command).to_owned();
    let value = to_python(py, command)?;
    // A command without fields is only its name.
    let fields = match value.cast::<PyDict>() {
        Ok(tagged) => tagged.get_item(&name)?.unwrap_or(value),
        Err(_) => PyDict::new(py).into_any(),
    };
    Ok((name, fields))
}

/// The report of this name with these fields. A character that is no Unicode text becomes a replacement character.
pub(crate) fn report(name: &str, fields: &Bound<'_, PyDict>) -> PyResult<Report> {
    let py = fields.py();
    let arguments = PyDict::new(py);
    arguments.set_item("ensure_ascii", false)?;
    let text = py.import("json")?.call_method("dumps", (fields,), Some(&arguments))?;
    let text = text.cast_into::<PyString>()?;
    let wrong =
        |fault: serde_json::Error| PyValueError::new_err(format!("{name} is no report with such fields: {fault}"));
    let fields: Value = serde_json::from_str(&text.to_string_lossy()).map_err(wrong)?;
    let tagged = Value::Object([(name.to_owned(), fields)].into_iter().collect());
    serde_json::from_value(tagged).map_err(wrong)
}
