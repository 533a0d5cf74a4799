//! A directory that only we may enter, and what we put into it: sockets, the token, the lock.
//!
//! Owns: every check of such a directory and every file made in it, through one descriptor, so that nothing can be
//! swapped in between. Never: follows a symbolic link at its end, or narrows a directory that others use.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags};
use rustix::io::Errno;

/// Name of the lock, which also marks a directory as ours.
pub(super) const LOCK_FILE: &str = "supervisor.lock";

const OWNER_ONLY: u32 = 0o700;
/// A group may reach what it knows the name of.
const GROUP_PASSES: u32 = 0o710;

/// Why a directory is not taken, or a file in it not made.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It is a symbolic link, or no directory.
    #[error("use {}: it is a symbolic link or no directory; name a directory of the supervisor's own", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else's.
    #[error("use {}: it belongs to uid {owner}, and we are uid {ours}; name a directory of our own", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
    /// Others may enter it, and it holds things that are not ours.
    #[error("use {}: its mode is {mode:04o} and it is in use for other things; name an empty directory, or `chmod 700` it", path.display())]
    Shared {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A socket's name is taken by something that is no socket.
    #[error("listen on {}: something that is no socket is there; move it away", path.display())]
    NotASocket {
        /// Which.
        path: PathBuf,
    },
    /// The configured path names no file.
    #[error("listen on {}: the path does not end in a file name", path.display())]
    NoName {
        /// Which.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A directory of ours, mode 0700; with a group that may pass, 0710.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
    fd: OwnedFd,
    group: Option<u32>,
}

impl PrivateDir {
    /// Takes a directory, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        Self::open_for(path, None)
    }

    /// Takes a directory, making it if it is not there, and lets this group pass through it.
    pub fn open_for(path: &Path, group: Option<u32>) -> Result<Self, DirError> {
        // A trailing slash would make the system follow a link at the end.
        let path: PathBuf = path.components().collect();
        let fd = match open_directory(&path) {
            Err(Errno::NOENT) => {
                let made = std::fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(&path);
                made.map_err(|source| DirError::Io { action: "make directory", path: path.clone(), source })?;
                open_directory(&path)
            }
            opened => opened,
        };
        let fd = fd.map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => DirError::NotADirectory { path: path.clone() },
            _ => DirError::Io { action: "open directory", path: path.clone(), source: errno.into() },
        })?;
        let directory = Self { path, fd, group };
        directory.claim()?;
        Ok(directory)
    }

    /// Checks the owner, and shuts others out where nobody could miss it.
    fn claim(&self) -> Result<(), DirError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.failed("examine", errno))?;
        let ours = rustix::process::geteuid().as_raw();
        if stat.st_uid != ours {
            return Err(DirError::Foreign { path: self.path.clone(), owner: stat.st_uid, ours });
        }
        let mode = stat.st_mode & 0o7777;
        let wanted = if self.group.is_some() { GROUP_PASSES } else { OWNER_ONLY };
        if mode == wanted && self.group.is_none_or(|group| stat.st_gid == group) {
            return Ok(());
        }
        if !self.empty_or_marked()? {
            return Err(DirError::Shared { path: self.path.clone(), mode });
        }
        // Closed first: between the two nobody may pass.
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(OWNER_ONLY))
            .and_then(|()| match self.group {
                Some(group) => rustix::fs::fchown(&self.fd, None, Some(Gid::from_raw(group))),
                None => Ok(()),
            })
            .and_then(|()| rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(wanted)))
            .map_err(|errno| self.failed("set the mode of", errno))
    }

    fn empty_or_marked(&self) -> Result<bool, DirError> {
        if rustix::fs::statat(&self.fd, LOCK_FILE, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(true);
        }
        for entry in Dir::read_from(&self.fd).map_err(|errno| self.failed("list", errno))? {
            let entry = entry.map_err(|errno| self.failed("list", errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn failed(&self, action: &'static str, errno: Errno) -> DirError {
        DirError::Io { action, path: self.path.clone(), source: errno.into() }
    }

    fn failed_at(&self, action: &'static str, name: &str, source: io::Error) -> DirError {
        DirError::Io { action, path: self.path.join(name), source }
    }

    /// Its path, without a trailing slash.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file of ours in it for reading and writing, mode 0600, making it if it is not there.
    pub(super) fn open_file(&self, name: &str) -> Result<std::fs::File, DirError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600))
            .map(std::fs::File::from)
            .map_err(|errno| self.failed_at("open", name, errno.into()))
    }

    /// Opens a file in it to the group, if there is one.
    fn share(&self, name: &str, mode: u32) -> Result<(), Errno> {
        let Some(group) = self.group else { return Ok(()) };
        let group = Some(Gid::from_raw(group));
        rustix::fs::chownat(&self.fd, name, None, group, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(&self.fd, name, Mode::from_raw_mode(mode), AtFlags::empty())
    }

    /// Puts a new file in place of an old one at once, mode 0600; its group, if it has one, may read it.
    pub(super) fn replace_file(&self, name: &str, contents: &[u8]) -> Result<(), DirError> {
        let draft = format!(".{name}.new");
        let _ = rustix::fs::unlinkat(&self.fd, &draft, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written = rustix::fs::openat(&self.fd, &draft, flags, Mode::from_raw_mode(0o600))
            .map_err(io::Error::from)
            .and_then(|fd| std::fs::File::from(fd).write_all(contents))
            .and_then(|()| Ok(self.share(&draft, 0o640)?))
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, &draft, &self.fd, name)?));
        written.map_err(|source| self.failed_at("write", name, source))
    }

    /// Removes a file of ours; that it is gone already is no fault.
    pub(super) fn remove(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

/// A socket in a private directory, mode 0600; its name goes when it is dropped.
#[derive(Debug)]
pub(super) struct Bound {
    directory: Arc<PrivateDir>,
    name: String,
    /// Where connections come from.
    pub(super) listener: tokio::net::UnixListener,
}

impl Bound {
    /// Listens at this name, over the remains of a predecessor; with `shared`, for the directory's group too.
    pub(super) fn new(directory: &Arc<PrivateDir>, name: &str, shared: bool) -> Result<Self, DirError> {
        match rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => directory.remove(name),
            Ok(_) => return Err(DirError::NotASocket { path: directory.path.join(name) }),
            Err(_) => {}
        }
        // Through the descriptor: the directory is the one that was checked, and its path may be longer than a
        // socket's address.
        let address = format!("/proc/self/fd/{}/{name}", directory.fd.as_raw_fd());
        let listener = UnixListener::bind(address)
            .and_then(|listener| {
                rustix::fs::chmodat(&directory.fd, name, Mode::from_raw_mode(0o600), AtFlags::empty())?;
                if shared {
                    directory.share(name, 0o660)?;
                }
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener)
            })
            .map_err(|source| directory.failed_at("listen on", name, source))?;
        Ok(Self { directory: Arc::clone(directory), name: name.to_owned(), listener })
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.directory.remove(&self.name);
    }
}
