//! The demo with real calls: a LiveKit server, callers of three tenants, and a verdict from what the callers heard.
//!
//! Owns: what it needs of the machine, and the run from the first process to the last. Never: is more than a client of
//! the supervisor, of the server and of the callers, all of which it starts.
//!
//! ```text
//! found ──► server, stage ──► story ──► judge         agent.py: what the tenants run
//!                               └─ callers            caller.py: who calls them
//! ```

pub mod callers;
pub mod config;
pub mod found;
pub mod judge;
pub mod server;
pub mod story;

use std::path::Path;

pub use found::{Found, Means, Missing};

use super::client::ClientError;
use super::stage::{self, Stage, StageError};
use super::table::{Board, Screen};
use super::verdict::Verdict;
use super::{DemoError, Stop};
use callers::CallersError;
use judge::Findings;
use server::{Server, ServerError};

/// Why there is no verdict on real calls.
#[derive(Debug, thiserror::Error)]
pub enum LivekitError {
    /// Something is not on this machine.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The LiveKit server does not run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The callers did not tell what they heard.
    #[error(transparent)]
    Callers(#[from] CallersError),
    /// The supervisor does not run.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The supervisor cannot be asked any more.
    #[error(transparent)]
    Client(#[from] ClientError),
}

async fn set(executable: &Path, found: &Found) -> Result<(Server, Stage), LivekitError> {
    let dir = stage::directory()?;
    let server = Server::start(&found.server, dir.path())?;
    let config = config::lay(dir.path(), &found.python, &server.url())?;
    let server = server.ready().await?;
    let stage = Stage::set(dir, executable, &config)?;
    Ok((server, stage))
}

/// Tells the story, and ends everything that was started for it.
pub(super) async fn played(
    executable: &Path,
    found: &Found,
    screen: Screen,
    stop: &mut Stop,
) -> Result<Verdict<Findings>, DemoError> {
    let board = Board::new(screen, &config::TENANTS);
    board.phase("1/3  a LiveKit server, and a supervisor that is its worker");
    // What is dropped on the way is killed on the way.
    let (server, mut stage) = tokio::select! {
        set = set(executable, found) => set?,
        stopped = stop.asked() => return Err(stopped),
    };
    let play = async {
        stage.ready().await?;
        Ok(story::play(&stage, &server, found, &board).await?)
    };
    let findings = tokio::select! {
        findings = play => findings,
        stopped = stop.asked() => Err(stopped),
    };
    if let Err(DemoError::Livekit(_)) = findings {
        eprintln!("{}", stage.log_tail());
    }
    stage.strike().await;
    server.stop().await;
    findings.map(|findings| judge::judge(findings, &board.walls(super::config::HOSTILE)))
}
