//! System calls. The only unsafe in this crate.

pub mod channel;
pub mod process;
pub mod program;
pub mod signals;
pub mod clone;
