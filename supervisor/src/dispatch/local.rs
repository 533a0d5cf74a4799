//! Dispatches from the control API.
//!
//! Owns: the caps on what is asked, and opening the recordings. Never: believes the tenant, the agent or the metadata;
//! policy reads them. Never: follows a symbolic link, or waits on what is no regular file.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use openrtc_control_api::{AdmissionQuestion, DispatchRequest};
use openrtc_policy::bounds::{METADATA_BYTES_MAX, ROOM_NAME_BYTES_MAX};
use openrtc_policy::{Answer, Dispatch, Explanation};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::host::order::Recordings;
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
    /// A recording's path depends on where one stands.
    #[error("{field}: {} is not absolute; give the whole path", path.display())]
    NotAbsolute {
        /// Which.
        field: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A recording is a symbolic link.
    #[error("{field}: {} is a symbolic link; name the file itself", path.display())]
    SymbolicLink {
        /// Which.
        field: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A recording is a directory, a pipe, a device or a socket.
    #[error("{field}: {} is no regular file; name a recording", path.display())]
    NotAFile {
        /// Which.
        field: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A recording cannot be opened.
    #[error("{field}: cannot open {}", path.display())]
    Open {
        /// Which.
        field: &'static str,
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
    let (input, output) = (request.input.clone(), request.output.clone());
    // A file on a slow or dead network mount must not hold up anybody else.
    let opened = tokio::task::spawn_blocking(move || {
        let input = input.map(|path| open("input", &path, OFlags::RDONLY)).transpose()?;
        let output = output.map(|path| open("output", &path, OFlags::WRONLY)).transpose()?;
        Ok::<_, LocalError>(Recordings { input, output })
    });
    let recordings = opened.await.map_err(|_| Stopping)??;
    Ok(handle.dispatch(read(request), recordings).await?)
}

/// What such a dispatch would be answered now, and why.
pub async fn explain(handle: &Handle, question: AdmissionQuestion) -> Result<Explanation, LocalError> {
    let dispatch = asked(question)?;
    Ok(handle.inspect(move |policy| policy.explain(&dispatch)).await?)
}

/// A question as policy reads it.
pub fn asked(question: AdmissionQuestion) -> Result<Dispatch, LocalError> {
    let AdmissionQuestion { room, tenant, agent, metadata, room_metadata } = question;
    let request = DispatchRequest { room, tenant, agent, metadata, room_metadata, ..DispatchRequest::default() };
    check(&request)?;
    Ok(read(request))
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

/// Opens a recording, which must be there. Blocks as long as the file system does.
fn open(field: &'static str, path: &Path, access: OFlags) -> Result<OwnedFd, LocalError> {
    let path = path.to_owned();
    if !path.is_absolute() {
        return Err(LocalError::NotAbsolute { field, path });
    }
    // NONBLOCK: a pipe without a writer must not hold us; it is turned away below.
    let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::LOOP) => return Err(LocalError::SymbolicLink { field, path }),
        // A socket, or a device without a driver.
        Err(Errno::NXIO) => return Err(LocalError::NotAFile { field, path }),
        Err(errno) => return Err(LocalError::Open { field, path, source: errno.into() }),
    };
    match rustix::fs::fstat(&file) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(file),
        Ok(_) => Err(LocalError::NotAFile { field, path }),
        Err(errno) => Err(LocalError::Open { field, path, source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(path: &Path) -> Result<OwnedFd, LocalError> {
        open("input", path, OFlags::RDONLY)
    }

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
        assert!(reading(&file).is_ok());

        assert!(matches!(reading(Path::new("call.wav")), Err(LocalError::NotAbsolute { .. })));
        assert!(matches!(reading(home.path()), Err(LocalError::NotAFile { .. })));
        assert!(matches!(reading(Path::new("/dev/zero")), Err(LocalError::NotAFile { .. })));
        let link = home.path().join("link.wav");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(reading(&link), Err(LocalError::SymbolicLink { .. })));
        let pipe = home.path().join("pipe.wav");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        assert!(matches!(reading(&pipe), Err(LocalError::NotAFile { .. })));
        let socket = home.path().join("socket.wav");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(reading(&socket), Err(LocalError::NotAFile { .. })));
        assert!(matches!(reading(&home.path().join("none.wav")), Err(LocalError::Open { .. })));
    }
}
