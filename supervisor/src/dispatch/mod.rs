//! Where dispatches come from.
//!
//! Owns: turning a request from outside into policy's [`openrtc_policy::Dispatch`]. Never: admits.

pub mod livekit;
pub mod local;
