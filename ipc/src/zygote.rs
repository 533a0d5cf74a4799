//! What the spawner thread and a zygote say to each other, one datagram a message.
//!
//! Owns: the words and their eight bytes. Never: carries anything of a tenant's; descriptors travel beside it.
//!
//! The socket is a `SOCK_SEQPACKET` pair, the zygote's end on [`crate::CHANNEL_FD`].
//!
//! ```text
//! zygote ──Ready──► spawner      once, when it is warm
//! spawner ──Fork + [channel, stdout, stderr]──► zygote
//! zygote ──Forked{pid} + [pidfd]──► spawner      or Refused{threads}, or Failed{errno}
//! ```

use std::io;

/// Bytes of every message.
pub const MESSAGE_BYTES: usize = 8;

/// Asks for one host. Comes with its channel end, its stdout and its stderr, in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZygoteFork;

/// Descriptors that come with a [`ZygoteFork`].
pub const FORK_FDS: usize = 3;

/// What a zygote answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZygoteReply {
    /// It is warm: once, before anything is asked.
    Ready,
    /// The host exists; its pidfd comes with this.
    Forked {
        /// Its pid.
        pid: i32,
    },
    /// It is not single-threaded, and will not fork.
    Refused {
        /// Threads that it counted.
        threads: i32,
    },
    /// The system would not fork.
    Failed {
        /// The system's error number.
        errno: i32,
    },
}

const FORK: u32 = 1;
const READY: u32 = 2;
const FORKED: u32 = 3;
const REFUSED: u32 = 4;
const FAILED: u32 = 5;

fn message(kind: u32, value: i32) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn parts(bytes: &[u8]) -> Option<(u32, i32)> {
    let [a, b, c, d, e, f, g, h] = *bytes.first_chunk::<MESSAGE_BYTES>()?;
    (bytes.len() == MESSAGE_BYTES).then(|| (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h])))
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "message outside the zygote protocol")
}

impl ZygoteFork {
    /// As bytes.
    pub fn encode(self) -> [u8; MESSAGE_BYTES] {
        message(FORK, 0)
    }

    /// From one datagram.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        match parts(bytes) {
            Some((FORK, 0)) => Ok(Self),
            _ => Err(unknown()),
        }
    }
}

impl ZygoteReply {
    /// As bytes.
    pub fn encode(self) -> [u8; MESSAGE_BYTES] {
        match self {
            Self::Ready => message(READY, 0),
            Self::Forked { pid } => message(FORKED, pid),
            Self::Refused { threads } => message(REFUSED, threads),
            Self::Failed { errno } => message(FAILED, errno),
        }
    }

    /// From one datagram.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        match parts(bytes) {
            Some((READY, 0)) => Ok(Self::Ready),
            Some((FORKED, pid)) if pid > 0 => Ok(Self::Forked { pid }),
            Some((REFUSED, threads)) => Ok(Self::Refused { threads }),
            Some((FAILED, errno)) => Ok(Self::Failed { errno }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_back_as_it_was_and_nothing_else_is_one() {
        assert_eq!(ZygoteFork::decode(&ZygoteFork.encode()).unwrap(), ZygoteFork);
        for reply in [
            ZygoteReply::Ready,
            ZygoteReply::Forked { pid: 4711 },
            ZygoteReply::Refused { threads: 3 },
            ZygoteReply::Failed { errno: 11 },
        ] {
            assert_eq!(ZygoteReply::decode(&reply.encode()).unwrap(), reply);
            assert!(ZygoteFork::decode(&reply.encode()).is_err());
        }
        for bytes in [&[][..], &[2, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 0], &[9; 8], &message(FORKED, -1)] {
            assert!(ZygoteReply::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
