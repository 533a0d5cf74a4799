//! Why a host's walls do not stand.
//!
//! Owns: the one error of this module, and which set-up step it belongs to. Never: blames a tenant: every one of these is
//! ours (law 4).

use std::io;

use openrtc_ipc::{SetupStep, Wall};

use super::cgroup::CgroupError;
use super::rlimits::RlimitError;

/// Why a host must not get the green light.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// `[wall.cgroup] mode = "require"`, and there is none.
    #[error("raise a cgroup, which mode = \"require\" demands: {reason}. {remedy}")]
    CgroupMissing {
        /// Why there is none.
        reason: String,
        /// What the operator can do.
        remedy: String,
    },
    /// A wall in `require` does not stand.
    #[error("raise the wall {:?}, which require demands: {reason}. {remedy}", wall.name())]
    RequiredMissing {
        /// Which.
        wall: Wall,
        /// Why it does not stand.
        reason: String,
        /// What the operator can do.
        remedy: String,
    },
    /// What was read back is not what was asked for.
    #[error("attest the wall {:?}: {detail}", wall.name())]
    NotAsAsked {
        /// Which.
        wall: Wall,
        /// Asked and found.
        detail: String,
    },
    /// A file of `/proc` could not be used; the process may be gone.
    #[error("{doing}")]
    Proc {
        /// `read /proc/17/status`, …
        doing: String,
        /// During which step.
        step: SetupStep,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A control file of the cgroup could not be used.
    #[error("raise the cgroup")]
    Cgroup(#[from] CgroupError),
    /// A resource limit could not be set.
    #[error("raise the resource limits")]
    Rlimit(#[from] RlimitError),
}

impl WallError {
    /// The step of `setup_failed{step}`.
    pub fn step(&self) -> SetupStep {
        match self {
            Self::CgroupMissing { .. } | Self::Cgroup(_) => SetupStep::Cgroup,
            Self::Rlimit(_) => SetupStep::Rlimits,
            Self::Proc { step, .. } => *step,
            Self::RequiredMissing { .. } | Self::NotAsAsked { .. } => SetupStep::Attest,
        }
    }

    /// The system's error number, or 0.
    pub fn errno(&self) -> i32 {
        let source = match self {
            Self::Cgroup(error) => &error.source,
            Self::Rlimit(error) => &error.source,
            Self::Proc { source, .. } => source,
            Self::CgroupMissing { .. } | Self::RequiredMissing { .. } | Self::NotAsAsked { .. } => return 0,
        };
        source.raw_os_error().unwrap_or(0)
    }

    /// Whether trying again could help: a wall that the machine does not have does not mend itself.
    pub fn retry(&self) -> bool {
        match self {
            Self::CgroupMissing { .. } | Self::RequiredMissing { .. } => false,
            Self::NotAsAsked { .. } | Self::Proc { .. } | Self::Cgroup(_) | Self::Rlimit(_) => true,
        }
    }

    /// The whole chain as one sentence, for `SetupFailure.detail`.
    pub fn detail(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
