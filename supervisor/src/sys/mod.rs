//! System calls. The only unsafe in this crate.

pub mod exec;
pub mod process;
