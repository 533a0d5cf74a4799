//! A host's own directory: its working directory, `HOME` and `TMPDIR`.
//!
//! Owns: removing it after the host's death. Never: follows a link that a tenant may have laid inside it. It is made by
//! `wall::make_work_dir`, for the host's identity.

use std::fs;
use std::io;
use std::path::Path;

/// Removes the directory and all that is in it.
///
/// `remove_dir_all` opens each level without following links, so a tenant's link is removed and not followed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
