//! One supervisor per runtime directory.
//!
//! Owns: the lock file and the pid in it. Never: removes the file; who removed it could lock another one.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::private_dir::{DirError, LOCK_FILE, PrivateDir};

/// Why a runtime directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another supervisor has it.
    #[error(
        "use {}: another supervisor, pid {pid}, runs there; `openrtc-supervisor shutdown` ends it, or give this one a \
         `[supervisor] runtime_dir` of its own",
        path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Who has it, or `unknown`.
        pid: String,
    },
    /// The directory is not fit.
    #[error(transparent)]
    Directory(#[from] DirError),
    /// The system refused.
    #[error("lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A runtime directory that is ours until this is dropped.
#[derive(Debug)]
pub struct RuntimeDir {
    directory: Arc<PrivateDir>,
    _lock: File,
}

impl RuntimeDir {
    /// Takes the directory, making it if it is not there.
    pub fn claim(path: &std::path::Path) -> Result<Self, LockError> {
        Self::claim_for(path, None)
    }

    /// Takes the directory, and lets this group pass through it.
    pub fn claim_for(path: &std::path::Path, group: Option<u32>) -> Result<Self, LockError> {
        let directory = Arc::new(PrivateDir::open_for(path, group)?);
        let mut file = directory.open_file(LOCK_FILE)?;
        let lock_path = directory.path().join(LOCK_FILE);
        let failed = |source| LockError::Io { path: lock_path.clone(), source };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let read = (&file).take(32).read_to_string(&mut pid);
                let pid = read.ok().and_then(|_| pid.trim().parse::<u32>().ok());
                let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                return Err(LockError::Taken { path: directory.path().to_owned(), pid });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { directory, _lock: file })
    }

    /// The directory itself.
    pub fn directory(&self) -> &Arc<PrivateDir> {
        &self.directory
    }
}
