//! What is known of a zygote: warm, starting, or why there is none.
//!
//! Owns: the words that snapshots, `doctor` and host lists use for it. Never: a remedy that was not thought about.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use openrtc_ipc::RuntimeName;
use tokio::sync::watch;

/// Why hosts are made cold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// No zygote is wanted.
    None,
    /// It is not warm yet.
    Starting,
    /// It could not be made.
    NotMade(String),
    /// It said that it cannot become warm.
    Unfit(String),
    /// It was not warm in time, and was killed.
    Slow {
        /// Allowed.
        limit_ms: u64,
    },
    /// It ended.
    Died {
        /// How, for a person; empty where that is not known.
        how: String,
        /// The last lines of its output since it was warm, or since its start; empty where there were none.
        last: String,
    },
    /// It did not answer, or not as a zygote does, and was killed.
    Silent,
    /// It has further threads, and does not fork beside them.
    Threads {
        /// How many in all; 0 where they could not be counted.
        count: i32,
        /// The names of those beside the first.
        names: String,
    },
    /// The system would not fork it.
    Declined(String),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("the runtime has no zygote"),
            Self::Starting => f.write_str("it is starting"),
            Self::NotMade(why) => write!(f, "it could not be made: {why}"),
            Self::Unfit(why) => write!(f, "it cannot become warm: {why}"),
            Self::Slow { limit_ms } => write!(f, "it was not warm within {} s", limit_ms / 1000),
            Self::Died { how, last } => {
                let how = if how.is_empty() { String::new() } else { format!(" of {how}") };
                let last = if last.is_empty() { String::new() } else { format!(": {last}") };
                write!(f, "it died{how}{last}")
            }
            Self::Silent => f.write_str("it failed to answer"),
            Self::Threads { count, names } if names.is_empty() => write!(f, "it has {count} threads"),
            Self::Threads { count: 2, names } => write!(f, "thread '{names}'"),
            Self::Threads { names, .. } => write!(f, "threads '{names}'"),
            Self::Declined(why) => write!(f, "it cannot fork: {why}"),
        }
    }
}

impl Absence {
    /// What to do about it; `None` where it mends itself or never was meant to be.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Starting => None,
            Self::Threads { .. } => Some(
                "a zygote forks only while it has one thread: leave the module that starts the other out of preload; \
                 `openrtc-supervisor runtime inspect` names it",
            ),
            Self::Unfit(_) | Self::Died { .. } => {
                Some("it is tried again by itself; its output is in the log of `openrtc-supervisor run`")
            }
            Self::Slow { .. } => Some("shorten preload, or give the machine a rest: it is tried again by itself"),
            Self::NotMade(_) | Self::Silent | Self::Declined(_) => Some("it is tried again by itself; see the log"),
        }
    }
}

/// Whether hosts of a runtime are forked from a zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZygoteState {
    /// They are.
    Warm,
    /// They are made cold, for this reason.
    Absent(Absence),
}

impl ZygoteState {
    /// Whether waiting could make it warm at once: its first start is not over.
    pub fn is_starting(&self) -> bool {
        *self == Self::Absent(Absence::Starting)
    }
}

/// One runtime's zygote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZygoteRow {
    /// Whose; the built-in zygote serves every runtime that has none of its own, and stands under `command`.
    pub runtime: RuntimeName,
    /// How it is.
    pub state: ZygoteState,
    /// How many hosts were forked ahead, are ready, and wait for a tenant.
    pub idle_hosts: usize,
}

/// What the spawner thread lets others see of a runtime.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) state: watch::Receiver<ZygoteState>,
    pub(super) idle_hosts: Arc<AtomicUsize>,
}
