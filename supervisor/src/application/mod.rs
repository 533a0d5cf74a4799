//! A Python application without a configuration: read, told about, and written down.
//!
//! Owns: what is made of an application that somebody names on the command line: the configuration to run it with, the file
//! that `config import` writes, and the questions to its interpreter. Never: runs a session, or shows a key.
//!
//! ```text
//! place ──► python ──► scan ──► keys ──┬─► made      `run main.py`
//!             │                        └─► import ──► draft      `config import main.py`
//!             └──────► inspection      `runtime inspect`
//! ```

pub mod draft;
pub mod import;
pub mod inspection;
pub mod keys;
pub mod made;
pub mod place;
pub mod python;
pub mod scan;
pub mod settings;
pub(crate) mod spelling;

use crate::config::ConfigFaults;
use crate::secrets::SecretError;
use crate::spawn::{InterpreterError, SpawnError};

/// Why nothing can be made of an application.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// What was named is no application.
    #[error(
        "{named:?} is no application: name a script (main.py), FILE:ATTRIBUTE (agents.py:pool), MODULE:ATTRIBUTE or a \
         folder of agents"
    )]
    Named {
        /// As it was typed.
        named: String,
    },
    /// It is not where it should be, or has no interpreter.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// Its interpreter is not fit for hosts.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// What an inspected host is told could not be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A question could not be put.
    #[error("ask the application's interpreter")]
    Spawn(#[from] SpawnError),
    /// The file for the answer could not be made or read.
    #[error("take the answer of the application's interpreter")]
    Answer(#[source] std::io::Error),
    /// The interpreter ended without an answer.
    #[error("hear from `{mode}` of openrtc_host: it ended with {status}{}", said(.last))]
    Silent {
        /// What was asked for.
        mode: &'static str,
        /// How it ended.
        status: String,
        /// What it said last.
        last: String,
    },
    /// The answer is not one.
    #[error("understand the answer of `{mode}` of openrtc_host")]
    Unclear {
        /// What was asked for.
        mode: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The file to write cannot hold this application.
    #[error("{named} is imported from the folder of its configuration: write that to a file in {}", folder.display())]
    Elsewhere {
        /// The application.
        named: String,
        /// Where it lies.
        folder: std::path::PathBuf,
    },
}

impl ApplicationError {
    /// Whether the command line, the application's place or its interpreter is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Named { .. } | Self::Config(_) | Self::Interpreter(_) | Self::Elsewhere { .. })
    }
}

fn said(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!(" and said: {last}") }
}

#[cfg(test)]
mod tests;
