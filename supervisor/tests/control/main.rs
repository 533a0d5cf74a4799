//! The control API and its client, over a real socket: who gets in, what is answered, and who is cut off.
//!
//! Policy decides nothing here, except in `view`: a small driver answers by rote from the real queue.

mod access;
mod directory;
mod harness;
mod openapi;
mod routes;
mod view;
