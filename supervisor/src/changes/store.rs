//! The file of operators' orders.
//!
//! Owns: that it is whole or as it was, for its owner alone, and of bounded size. Never: passes over one that it cannot
//! read: a suspended tenant would be served.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use openrtc_policy::bounds::STANDING_ORDERS_BYTES_MAX;

use super::fault::StandingFault;
use super::standing::Standing;

/// Its name in the state directory.
pub const STANDING_FILE: &str = "standing-orders.json";

/// The file. Clones name the same.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// In this directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(STANDING_FILE) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; nothing, where there is none.
    ///
    /// # Errors
    ///
    /// When it is there and is not ours to read, or is no such file.
    pub fn read(&self) -> Result<Standing, StandingFault> {
        let unreadable = |source| StandingFault::Unreadable { path: self.path.clone(), source };
        let foreign = |what: String| StandingFault::Foreign { path: self.path.clone(), what };
        let options = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = match OpenOptions::new().read(true).custom_flags(options).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::default()),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(foreign("is a symbolic link".into()));
            }
            Err(error) => return Err(unreadable(error)),
        };
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(foreign("is no regular file".into()));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(foreign(format!("belongs to uid {}", about.uid())));
        }
        if about.mode() & 0o022 != 0 {
            return Err(foreign(format!("can be written by others (mode {:o})", about.mode() & 0o777)));
        }
        let mut bytes = Vec::new();
        file.take(STANDING_ORDERS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > STANDING_ORDERS_BYTES_MAX {
            return Err(foreign(format!("is larger than {STANDING_ORDERS_BYTES_MAX} bytes")));
        }
        let standing: Standing = serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))?;
        match standing.is_known() {
            true => Ok(standing),
            false => Err(foreign(format!("is of version {}, and this is 1", standing.version()))),
        }
    }

    /// Puts this in its place, whole or not at all; on the disk when it returns.
    pub(super) fn write(&self, standing: &Standing) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(standing)?;
        if bytes.len() > STANDING_ORDERS_BYTES_MAX {
            let most = format!("more than {STANDING_ORDERS_BYTES_MAX} bytes of orders; reset some");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, most));
        }
        let beside = self.path.with_extension("new");
        let written = write_new(&beside, &bytes).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            // What is left of it is in nobody's way, but takes room that is wanting.
            let _ = fs::remove_file(&beside);
        }
        written?;
        // The name is not on the disk before its directory is.
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use openrtc_ipc::TenantId;

    use super::*;
    use crate::changes::standing::Order;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        (dir, store)
    }

    fn some() -> Standing {
        let mut standing = Standing::default();
        let order = Order { value: "5".into(), since_unix_ms: 7, by: "uid:0".into(), pid: Some(9) };
        standing.put(&TenantId::parse("acme").unwrap(), [("max_sessions".to_owned(), order)]);
        standing
    }

    #[test]
    fn what_was_written_is_read_and_belongs_to_its_owner_alone() {
        let (_dir, store) = store();
        assert_eq!(store.read().unwrap(), Standing::default());
        store.write(&some()).unwrap();
        store.write(&some()).unwrap();
        assert_eq!(store.read().unwrap(), some());
        assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_broken_or_not_ours_is_named_and_never_passed_over() {
        for (text, what) in [
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"version": 1, "revision": 3, "tenants": {}, "more": 1}"#, "unknown field"),
            (r#"{"version": 2, "revision": 3, "tenants": {}}"#, "version 2"),
            (r#"{"version": 1, "revision": 3, "tenants": {"a/b": {"revision": 1, "orders": {}}}}"#, "a/b"),
        ] {
            let (_dir, store) = store();
            fs::write(store.path(), text).unwrap();
            fs::set_permissions(store.path(), fs::Permissions::from_mode(0o600)).unwrap();
            let fault = store.read().unwrap_err().to_string();
            assert!(fault.contains(what) && fault.contains(STANDING_FILE), "{fault}");
        }
        let (dir, store) = store();
        symlink("/dev/null", store.path()).unwrap();
        assert!(store.read().unwrap_err().to_string().contains("symbolic link"));
        fs::remove_file(store.path()).unwrap();
        store.write(&some()).unwrap();
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(store.read().unwrap_err().to_string().contains("written by others"));
        fs::remove_file(store.path()).unwrap();
        fs::create_dir(dir.path().join(STANDING_FILE)).unwrap();
        assert!(store.read().is_err());
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let (dir, store) = store();
        store.write(&some()).unwrap();
        // A directory in the way of the new file.
        fs::create_dir(dir.path().join("standing-orders.new")).unwrap();
        store.write(&Standing::default()).unwrap_err();
        assert_eq!(store.read().unwrap(), some());
    }
}
