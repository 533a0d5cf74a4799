//! The host program, driven by a supervisor's end of its channel.
//!
//! Owns: what a host promises to a supervisor and to an agent. Never: a mock of either side of the product.

mod dialogue;
mod ends;
mod interpreter;
mod own_agents;
mod programs;
mod spawner;
mod supervisor;
mod zygote;
