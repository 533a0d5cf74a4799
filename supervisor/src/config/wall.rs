//! What the operator says of this machine's cgroups and of the uids it may hand out.
//!
//! Owns: `[wall.cgroup]` and `uid_range`, valid. Never: looks at the machine.

use std::path::PathBuf;

/// Whether hosts get cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// Where the machine lets us.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always: without them no host starts.
    Require,
}

/// `[wall.cgroup]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupSettings {
    /// Whether.
    pub mode: CgroupMode,
    /// Under which cgroup, as a path below the hierarchy's mount or as one below `/sys/fs/cgroup`; `None` is our own.
    pub parent: Option<PathBuf>,
}

/// `uid_range`: both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidSettings {
    /// Lowest uid, and gid, that a tenant may get.
    pub first: u32,
    /// Highest.
    pub last: u32,
}

impl Default for UidSettings {
    fn default() -> Self {
        Self { first: 200_000, last: 265_535 }
    }
}
