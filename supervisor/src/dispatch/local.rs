//! Dispatches from the control API.
//!
//! Owns: the caps on what is asked, and opening the recording. Never: believes the tenant, the agent or the metadata;
//! policy reads them. Never: follows a symbolic link, or waits on what is no regular file.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use openrtc_control_api::DispatchRequest;
use openrtc_policy::bounds::{METADATA_BYTES_MAX, ROOM_NAME_BYTES_MAX};
use openrtc_policy::{Answer, Dispatch};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::sources::{Handle, Stopping, unnumbered};

/// Why a dispatch never came to policy.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A field is longer than it may be.
    #[error("{field}: {bytes} bytes, at most {bytes_max}; shorten it")]
    TooLong {
        /// Which.
        field: &'static str,
        /// Given.
        bytes: usize,
        /// Allowed.
        bytes_max: usize,
    },
    /// The room has no name.
    #[error("room: empty; name a room")]
    NoRoom,
    /// The recording's path depends on where one stands.
    #[error("input: {} is not absolute; give the whole path", path.display())]
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// The recording is a symbolic link.
    #[error("input: {} is a symbolic link; name the file itself", path.display())]
    SymbolicLink {
        /// The path.
        path: PathBuf,
    },
    /// The recording is a directory, a pipe, a device or a socket.
    #[error("input: {} is no regular file; name a recording", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The recording cannot be opened.
    #[error("input: cannot open {} for reading", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Nothing is taken any more.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// Asks for a session and gives policy's answer.
pub async fn dispatch(handle: &Handle, request: DispatchRequest) -> Result<Answer, LocalError> {
    check(&request)?;
    let recording = match request.input.clone() {
        None => None,
        // A file on a slow or dead network mount must not hold up anybody else.
        Some(path) => tokio::task::spawn_blocking(move || open(&path)).await.map_err(|_| Stopping)?.map(Some)?,
    };
    Ok(handle.dispatch(read(request), recording).await?)
}

fn check(request: &DispatchRequest) -> Result<(), LocalError> {
    let lengths = [
        ("room", request.room.len(), ROOM_NAME_BYTES_MAX),
        ("metadata", request.metadata.as_ref().map_or(0, String::len), METADATA_BYTES_MAX),
        ("room_metadata", request.room_metadata.as_ref().map_or(0, String::len), METADATA_BYTES_MAX),
    ];
    for (field, bytes, bytes_max) in lengths {
        if bytes > bytes_max {
            return Err(LocalError::TooLong { field, bytes, bytes_max });
        }
    }
    if request.room.trim().is_empty() { Err(LocalError::NoRoom) } else { Ok(()) }
}

fn read(request: DispatchRequest) -> Dispatch {
    Dispatch {
        id: unnumbered(),
        room: request.room,
        job_id: None,
        tenant: request.tenant,
        agent: request.agent,
        job_metadata: request.metadata.unwrap_or_default(),
        room_metadata: request.room_metadata.unwrap_or_default(),
        assigned_with_answer: true,
    }
}

/// Opens a recording for reading. Blocks as long as the file system does.
fn open(path: &Path) -> Result<OwnedFd, LocalError> {
    let path = path.to_owned();
    if !path.is_absolute() {
        return Err(LocalError::NotAbsolute { path });
    }
    // NONBLOCK: a pipe without a writer must not hold us; it is turned away below.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP) => return Err(LocalError::SymbolicLink { path }),
        // A socket, or a device without a driver.
        Err(Errno::NXIO) => return Err(LocalError::NotAFile { path }),
        Err(errno) => return Err(LocalError::Open { path, source: errno.into() }),
    };
    match rustix::fs::fstat(&file) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(file),
        Ok(_) => Err(LocalError::NotAFile { path }),
        Err(errno) => Err(LocalError::Open { path, source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(room: &str) -> DispatchRequest {
        DispatchRequest { room: room.into(), ..DispatchRequest::default() }
    }

    #[test]
    fn each_field_is_measured_at_its_bound() {
        assert!(check(&asked(&"r".repeat(ROOM_NAME_BYTES_MAX))).is_ok());
        let long = check(&asked(&"r".repeat(ROOM_NAME_BYTES_MAX + 1))).unwrap_err();
        assert!(matches!(long, LocalError::TooLong { field: "room", bytes: 513, bytes_max: 512 }), "{long}");
        let metadata = |bytes: usize| DispatchRequest { metadata: Some("m".repeat(bytes)), ..asked("r") };
        assert!(check(&metadata(METADATA_BYTES_MAX)).is_ok());
        assert!(check(&metadata(METADATA_BYTES_MAX + 1)).is_err());
        let of_room = DispatchRequest { room_metadata: Some("m".repeat(METADATA_BYTES_MAX + 1)), ..asked("r") };
        assert!(matches!(check(&of_room), Err(LocalError::TooLong { field: "room_metadata", .. })));
        assert!(matches!(check(&asked(" ")), Err(LocalError::NoRoom)));
    }

    #[test]
    fn only_a_regular_file_at_an_absolute_path_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("call.wav");
        std::fs::write(&file, b"RIFF").unwrap();
        assert!(open(&file).is_ok());

        assert!(matches!(open(Path::new("call.wav")), Err(LocalError::NotAbsolute { .. })));
        assert!(matches!(open(home.path()), Err(LocalError::NotAFile { .. })));
        assert!(matches!(open(Path::new("/dev/zero")), Err(LocalError::NotAFile { .. })));
        let link = home.path().join("link.wav");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(open(&link), Err(LocalError::SymbolicLink { .. })));
        let pipe = home.path().join("pipe.wav");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        assert!(matches!(open(&pipe), Err(LocalError::NotAFile { .. })));
        let socket = home.path().join("socket.wav");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(open(&socket), Err(LocalError::NotAFile { .. })));
        assert!(matches!(open(&home.path().join("none.wav")), Err(LocalError::Open { .. })));
    }
}
