//! The command line: one file per noun, each a client of the control API.
