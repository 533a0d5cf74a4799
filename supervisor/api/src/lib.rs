//! Request and response types of the control API.
