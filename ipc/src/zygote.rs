//! What the spawner thread and a zygote say to each other, one datagram a message.
//!
//! Owns: the words, their eight bytes and the text behind some. Never: carries anything of a tenant's; descriptors travel
//! beside it.
//!
//! The socket is a `SOCK_SEQPACKET` pair, the zygote's end on [`crate::CHANNEL_FD`].
//!
//! ```text
//! zygote ──Ready──► spawner      once, when it is warm; or Unfit{why}, and it exits
//! spawner ──Fork{need} + [channel, stdout, stderr]──► zygote
//! zygote ──Forked{pid} + [pidfd]──► spawner      or Refused{threads}, or Failed{errno}
//! ```

use std::io;

/// Bytes that every message begins with.
pub const MESSAGE_BYTES: usize = 8;
/// Bytes of text that may follow them in an answer; longer texts are cut.
pub const TEXT_BYTES_MAX: usize = 2048;
/// Room for any message.
pub const MESSAGE_BYTES_MAX: usize = MESSAGE_BYTES + TEXT_BYTES_MAX;

/// Asks for one host. Comes with its channel end, its stdout and its stderr, in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZygoteFork {
    /// When it is needed.
    pub need: Need,
}

/// When a host is needed: one that is not needed yet may do for itself what else the first session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// At once.
    Now,
    /// Not yet, and nobody knows by whom: it says hello when it can be had.
    Later,
}

/// Descriptors that come with a [`ZygoteFork`].
pub const FORK_FDS: usize = 3;

/// What a zygote answers.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        /// The names of those beside its main thread, for a person.
        names: String,
    },
    /// It cannot become warm, and exits: once, in place of `Ready`.
    Unfit {
        /// Why, for a person.
        why: String,
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
const UNFIT: u32 = 6;

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
        message(FORK, i32::from(self.need == Need::Later))
    }

    /// From one datagram.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        match parts(bytes) {
            Some((FORK, 0)) => Ok(Self { need: Need::Now }),
            Some((FORK, 1)) => Ok(Self { need: Need::Later }),
            _ => Err(unknown()),
        }
    }
}

impl ZygoteReply {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, value, text) = match self {
            Self::Ready => (READY, 0, ""),
            Self::Forked { pid } => (FORKED, *pid, ""),
            Self::Refused { threads, names } => (REFUSED, *threads, names.as_str()),
            Self::Failed { errno } => (FAILED, *errno, ""),
            Self::Unfit { why } => (UNFIT, 0, why.as_str()),
        };
        let mut bytes = message(kind, value).to_vec();
        bytes.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
        bytes
    }

    /// From one datagram.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let (head, text) = bytes.split_at_checked(MESSAGE_BYTES).ok_or_else(unknown)?;
        let text = || String::from_utf8_lossy(text).into_owned();
        match parts(head) {
            Some((REFUSED, threads)) => Ok(Self::Refused { threads, names: text() }),
            Some((UNFIT, 0)) => Ok(Self::Unfit { why: text() }),
            _ if bytes.len() > MESSAGE_BYTES => Err(unknown()),
            Some((READY, 0)) => Ok(Self::Ready),
            Some((FORKED, pid)) if pid > 0 => Ok(Self::Forked { pid }),
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
        for fork in [Need::Now, Need::Later].map(|need| ZygoteFork { need }) {
            assert_eq!(ZygoteFork::decode(&fork.encode()).unwrap(), fork);
            assert!(ZygoteReply::decode(&fork.encode()).is_err());
        }
        for reply in [
            ZygoteReply::Ready,
            ZygoteReply::Forked { pid: 4711 },
            ZygoteReply::Refused { threads: 3, names: "openblas".to_owned() },
            ZygoteReply::Unfit { why: "no module named app".to_owned() },
            ZygoteReply::Failed { errno: 11 },
        ] {
            assert_eq!(ZygoteReply::decode(&reply.encode()).unwrap(), reply);
            assert!(ZygoteFork::decode(&reply.encode()).is_err());
        }
        let long = ZygoteReply::Unfit { why: "ü".repeat(TEXT_BYTES_MAX) }.encode();
        assert!(long.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(
            ZygoteReply::decode(&long).unwrap(),
            ZygoteReply::Unfit { why: "ü".repeat(TEXT_BYTES_MAX / 2) },
            "cut between two characters"
        );
        for bytes in
            [&[][..], &[2, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 0], &[9; 8], &message(FORKED, -1), &message(FORK, 2)]
        {
            assert!(ZygoteReply::decode(bytes).is_err() && ZygoteFork::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
