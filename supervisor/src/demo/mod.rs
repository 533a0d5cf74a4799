//! The demo: a small agency with a hostile tenant, and a verdict from what was measured.

pub mod agent;
pub mod measure;
pub mod synth;
