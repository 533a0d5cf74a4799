//! The control API and its client, over a real socket: who gets in, what is answered, and who is cut off.
//!
//! Policy is not here: a small driver answers from the real queue.

mod access;
mod directory;
mod harness;
mod routes;
