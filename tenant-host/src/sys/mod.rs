//! System calls. The only unsafe in this crate.

pub mod channel;
pub mod clone;
pub mod process;
pub mod program;
pub mod signals;
