//! System calls. The only unsafe in this crate.

pub mod landlock;
pub mod proc;
pub mod sched;
