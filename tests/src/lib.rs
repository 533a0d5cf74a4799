//! The harness: a real supervisor, started as an operator would start it, and talked to as an operator would.
//!
//! Owns: building the product once, a directory per test, waiting on conditions. Never: reaches into the product.

pub mod collector;
pub mod http;
pub mod livekit_server;
pub mod network;
pub mod node;
pub mod page;
pub mod processes;
pub mod product;
pub mod prometheus;
pub mod python;
pub mod shared;
pub mod supervisor;
pub mod terminal;
pub mod turn;
pub mod wait;

pub use product::binary;
pub use shared::{Lent, Shared};
pub use supervisor::{Running, Setup, User};
pub use wait::until;
