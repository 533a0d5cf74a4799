//! The life of one host process, from newborn to reaped.

pub mod reap;
pub mod tree;
