//! The state machine itself: one event in, effects out.
//!
//! Owns: the order in which nouns are asked. Never: holds a rule of its own.

/// Everything that was decided so far.
#[derive(Debug)]
pub struct Policy {}
