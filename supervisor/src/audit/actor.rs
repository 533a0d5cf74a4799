//! Who did it.
//!
//! Owns: the spelling of an actor, and the one on whose behalf a control request runs. Never: believes a name that the
//! client gave; it is the kernel's word on the socket's peer, or the token that was shown.

use std::fmt;

tokio::task_local! {
    static CURRENT: Actor;
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The supervisor, by its own rules.
    System,
    /// Whoever wrote the configuration.
    Configuration,
    /// The peer of the control socket, as the kernel says.
    Peer {
        /// User id.
        uid: u32,
        /// Process, where known. It may be gone, and its number another's, by the time it is read.
        pid: Option<i32>,
    },
    /// Who showed a token over the network.
    Token {
        /// The token's name.
        name: String,
    },
    /// Who sent this signal.
    Signal(&'static str),
}

impl Actor {
    /// Does this on the actor's behalf.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// On whose behalf this task works; the supervisor itself outside of requests.
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or(Self::System)
    }

    /// The actor's process, where known.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Peer { pid, .. } => *pid,
            Self::System | Self::Configuration | Self::Token { .. } | Self::Signal(_) => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Configuration => f.write_str("configuration"),
            Self::Peer { uid, .. } => write!(f, "uid:{uid}"),
            Self::Token { name } => write!(f, "token:{name}"),
            Self::Signal(name) => write!(f, "signal:{name}"),
        }
    }
}
