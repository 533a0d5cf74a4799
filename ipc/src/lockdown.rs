//! The walls that only oneself can raise: what the child is told to do to itself, and in which step it failed.
//!
//! Owns: the instructions. Never: performs them (that is `tenant-host/src/lockdown/`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::command::LIST_MAX;

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAccess {
    /// List this directory and those below it, and nothing in them.
    List,
    /// Read and execute.
    Read,
    /// Read, write, create and remove.
    Write,
    /// Read and write an existing file or device, as for `/dev/null`.
    Device,
}

/// One path that the host may use. A path that does not exist is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// Absolute path.
    pub path: PathBuf,
    /// What is allowed at and below it.
    pub access: FileAccess,
}

/// Who the host becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id; supplementary groups are emptied.
    pub gid: u32,
}

/// What the child does to itself before anything of the tenant's runs, in the order of decision W4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockdown {
    /// The uid and gid to take; `None` keeps the supervisor's.
    pub identity: Option<Identity>,
    /// Pid that must be the parent after the death signal is set.
    pub parent_pid: u32,
    /// The host's own directory; becomes the working directory.
    pub work_dir: PathBuf,
    /// Paths granted. Empty would mean: none at all.
    #[serde(deserialize_with = "bounded::list::<_, _, LIST_MAX>")]
    pub grants: Vec<FileGrant>,
    /// TCP ports that may be connected to; `None` is any.
    pub connect_ports: Option<Vec<u16>>,
    /// Whether `socket(AF_UNIX)` is allowed.
    pub unix_sockets: bool,
}

/// A step of bringing a host up, as named in `setup_failed{step}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupStep {
    /// Sockets and pipes of the new host.
    Channel,
    /// The fork, by the spawner or the zygote.
    Fork,
    /// Becoming the host program.
    Exec,
    /// The hello did not come, or not rightly.
    Hello,
    /// Directory of the host's own.
    WorkDir,
    /// Resource limits from outside.
    Rlimits,
    /// The cgroup from outside.
    Cgroup,
    /// Uid, gid and groups.
    Identity,
    /// Dropping capabilities.
    Capabilities,
    /// The signal at the supervisor's death.
    ParentDeath,
    /// `no_new_privs`.
    NoNewPrivs,
    /// `PR_SET_DUMPABLE`.
    Dumpable,
    /// Landlock.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// Reading the walls back from outside.
    Attest,
    /// Resolving the tenant's configuration and keys.
    Configure,
    /// The host did not become ready.
    Ready,
}
