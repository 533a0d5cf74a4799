//! The life of one host process, from newborn to reaped.
//!
//! Owns: each host's link, record, liveness and end. Never: decides which host serves what.

pub mod line;
pub mod output;
pub mod rate;
pub mod reap;
pub mod record;
pub mod redact;
pub mod tree;

pub use record::{Gauges, HostRecord, Registry};
