//! Who asks: a process of this machine, as the kernel says, or an address.
//!
//! Owns: what is known of the other end of a connection, for the door, the log and the audit. Never: believes a word of
//! the request; it is stamped from the connection.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::audit::Actor;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over a socket of ours.
    Local {
        /// User id of who connected.
        uid: u32,
        /// Process id of who connected, where it can be told.
        pid: Option<i32>,
        /// Why it may ask, if it may.
        standing: Standing,
    },
    /// Over TCP.
    Remote {
        /// From where.
        address: SocketAddr,
    },
    /// Over nothing that we opened.
    Unknown,
}

/// Why somebody on this machine may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Our own user, or root.
    Owner,
    /// A member of `[supervisor] control_group`.
    Member,
    /// No reason.
    Stranger,
}

impl Peer {
    /// Who connected to a socket that this group may use too.
    pub(super) fn of(stream: &tokio::net::UnixStream, group: Option<u32>) -> std::io::Result<Self> {
        let cred = stream.peer_cred()?;
        let uid = cred.uid();
        let member = |group: u32| cred.gid() == group || crate::sys::peer::groups(stream).contains(&group);
        let standing = if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            Standing::Owner
        } else if group.is_some_and(member) {
            Standing::Member
        } else {
            Standing::Stranger
        };
        Ok(Self::Local { uid, pid: cred.pid(), standing })
    }

    /// As the audit log names it.
    pub(super) fn actor(self) -> Actor {
        match self {
            Self::Local { uid, pid, .. } => Actor::Peer { uid, pid },
            Self::Remote { .. } => Actor::Token { name: "control_listen".to_owned() },
            Self::Unknown => Actor::System,
        }
    }

    /// Whether it may do what only our own user may: have us open files by their paths.
    pub fn is_owner(&self) -> bool {
        matches!(self, Self::Local { standing: Standing::Owner, .. })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid, pid: Some(pid), .. } => write!(f, "uid {uid}, pid {pid}"),
            Self::Local { uid, pid: None, .. } => write!(f, "uid {uid}"),
            Self::Remote { address } => write!(f, "{address}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Unknown))
    }
}
