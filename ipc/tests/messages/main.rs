//! Every message of the protocol: its bytes, its way there and back, and what is refused.
//!
//! Owns: samples of every variant, strategies for every message. Never: allocation counts (`ipc/tests/allocation.rs`).

mod golden;
mod hostile;
mod ids;
mod phases;
mod round_trip;
mod samples;
mod secrets;
mod strategies;
