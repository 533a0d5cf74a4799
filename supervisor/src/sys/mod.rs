//! System calls. The only unsafe in this crate.

pub mod exec;
pub mod inherited;
pub mod landlock;
pub mod parent;
pub mod peer;
pub mod proc;
pub mod process;
pub mod sched;
