//! What the operator says about cgroups and user ids, for the whole machine.
//!
//! Owns: these two settings. Never: says what stands; `wall/` finds that out.

use std::path::PathBuf;

/// Whether cgroups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    /// Where they are delegated to us, in version 1 or 2.
    Auto,
    /// Never.
    Off,
    /// Always: without them the supervisor does not start.
    Require,
}

/// Where hosts' cgroups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupSettings {
    /// Whether.
    pub mode: CgroupMode,
    /// Absolute path of the cgroup to work in; `None` is our own.
    pub parent: Option<PathBuf>,
}

/// The user and group ids that tenants' hosts get with `run_as = "auto"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UidSettings {
    /// First of the range.
    pub first: u32,
    /// Last of the range; at least as large.
    pub last: u32,
}
