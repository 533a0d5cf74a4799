//! The control API: HTTP over a Unix socket.
