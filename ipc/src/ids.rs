//! Names that cross the wall, each parsed once.
//!
//! Owns: the grammar of every id. Never: normalises twice, or lets an unparsed string stand for an id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest tenant id, in characters (OpenRTC's limit).
pub const TENANT_ID_CHARS_MAX: usize = 128;
/// Longest agent or runtime name, in characters (OpenRTC's limit for agents).
pub const NAME_CHARS_MAX: usize = 64;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Text of OpenRTC's own error, so that its users recognise it.
    #[error("Tenant id must be 1-128 characters of ASCII letters, digits, dashes, or underscores, not {found:?}")]
    Tenant {
        /// What was given, shortened.
        found: String,
    },
    /// An agent or runtime name outside the grammar.
    #[error("{what} name must be 1-64 characters of ASCII letters, digits, dashes, or underscores, not {found:?}")]
    Name {
        /// `agent` or `runtime`.
        what: &'static str,
        /// What was given, shortened.
        found: String,
    },
    /// A session id that this supervisor did not make.
    #[error("session id must look like s-1a2b3c4d-17, not {found:?}")]
    Session {
        /// What was given, shortened.
        found: String,
    },
    /// A host id that this supervisor did not make.
    #[error("host id must look like h3.1, not {found:?}")]
    Host {
        /// What was given, shortened.
        found: String,
    },
}

fn shown(found: &str) -> String {
    found.chars().take(80).collect()
}

fn in_grammar(text: &str, chars_max: usize) -> bool {
    !text.is_empty()
        && text.len() <= chars_max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, |$found:ident| $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the name; surrounding white space is dropped, as OpenRTC does.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let text = text.trim();
                if in_grammar(text, $max) {
                    Ok(Self(text.into()))
                } else {
                    let $found = shown(text);
                    Err($error)
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}

text_id!(
    /// Who pays for a session: 1 to 128 ASCII letters, digits, dashes or underscores (semantics A1).
    TenantId, TENANT_ID_CHARS_MAX, |found| IdError::Tenant { found }
);
text_id!(
    /// What runs in a session: 1 to 64 characters of the same alphabet (semantics A7).
    AgentName, NAME_CHARS_MAX, |found| IdError::Name { what: "agent", found }
);
text_id!(
    /// How agents are run: `command` (built in), or a name from `[runtimes.*]`.
    RuntimeName, NAME_CHARS_MAX, |found| IdError::Name { what: "runtime", found }
);

/// One session, for ever: the supervisor's run and a number within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// Random number of the supervisor's run, so that ids never repeat across restarts.
    pub run: u32,
    /// Counts admissions within the run, from 1.
    pub seq: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("s-{:08x}-{}", self.run, self.seq))
    }
}

impl FromStr for SessionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parsed = text
            .strip_prefix("s-")
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(run, seq)| Some(Self { run: u32::from_str_radix(run, 16).ok()?, seq: seq.parse().ok()? }));
        parsed.ok_or_else(|| IdError::Session { found: shown(text) })
    }
}

/// One host process: a place in the table of hosts, and how many times that place has been filled.
///
/// The generation makes a late word about a dead host miss its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostId {
    /// Place in the table.
    pub index: u32,
    /// Times the place was filled, from 1.
    pub generation: u32,
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("h{}.{}", self.index, self.generation))
    }
}

impl FromStr for HostId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parsed = text.strip_prefix('h').and_then(|rest| rest.split_once('.')).and_then(|(index, generation)| {
            Some(Self { index: index.parse().ok()?, generation: generation.parse().ok()? })
        });
        parsed.ok_or_else(|| IdError::Host { found: shown(text) })
    }
}
