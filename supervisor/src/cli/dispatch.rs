//! `dispatch`: asking for an agent session, and waiting for its end.
//!
//! Owns: the options of a dispatch and the account of its outcome. Never: reads a recording; the supervisor
//! opens it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use openrtc_control_api::{AdmissionQuestion, DispatchRequest, DispatchResponse, EndedSession, Session};

use super::admission::{self, Wanted};
use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::units;

/// One look at a session that is waited for lasts so long.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks, when the supervisor has no room for one more that waits.
const PAUSE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  openrtc-supervisor dispatch --room call-1 --tenant acme-corp --agent support
  openrtc-supervisor dispatch --room call-1 --input call.wav --wait \\
    --metadata '{\"tenant\":\"acme-corp\"}'

Exit codes: 0 admitted (with --wait: ended without failure),
  1 the session failed, 4 rejected (with --dry-run: would be).";

/// Options of `dispatch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    wanted: Wanted,
    /// A recording to play to the agent
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Keep what the agent says, as WAV (Python applications)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Wait for the session's end
    #[arg(long)]
    wait: bool,
    /// Say what would become of it, rule by rule; nothing is started and no recording is made
    #[arg(long)]
    dry_run: bool,
}

fn request(options: Options) -> Result<DispatchRequest, CliError> {
    let AdmissionQuestion { room, tenant, agent, metadata, room_metadata } = options.wanted.question()?;
    Ok(DispatchRequest {
        room,
        tenant,
        agent,
        metadata,
        room_metadata,
        input: options.input.as_deref().map(|path| whole_path("--input", path)).transpose()?,
        output: options.output.as_deref().map(fresh_file).transpose()?,
        // We wait by asking for the session, so that we can tell how it goes.
        wait: false,
    })
}

/// The same without recordings; one to be played must be there all the same.
fn question(options: Options) -> Result<AdmissionQuestion, CliError> {
    options.input.as_deref().map(|path| whole_path("--input", path)).transpose()?;
    options.wanted.question()
}

/// The absolute path without symbolic links: the supervisor stands elsewhere, and follows none.
pub(super) fn whole_path(option: &'static str, path: &Path) -> Result<PathBuf, CliError> {
    path.canonicalize().map_err(|source| CliError::File { option, path: path.to_owned(), source })
}

/// Makes or empties the file, as the user who asks for it, so that the supervisor has only to open it.
fn fresh_file(path: &Path) -> Result<PathBuf, CliError> {
    let made =
        File::create(path).map_err(|source| CliError::File { option: "--output", path: path.to_owned(), source });
    made.and_then(|_| whole_path("--output", path))
}

pub(super) async fn perform(options: Options, client: &Client, output: &Output) -> Result<Exit, CliError> {
    if options.dry_run {
        return admission::ask(&question(options)?, client, output).await;
    }
    let wait = options.wait;
    let mut response: DispatchResponse = client.post("/v1/dispatch", &request(options)?, Patience::Usual).await?;
    let admitted = &response.admitted;
    let sentence = format!(
        "admitted {} for {} as {} (routed by: {})",
        admitted.session, admitted.tenant, admitted.agent, admitted.routed_by
    );
    if !wait {
        output.result(&response, |_, _| format!("{sentence}\n"))?;
        return Ok(Exit::Ok);
    }
    output.progress(&sentence);
    let ended = ended(client, output, &response.admitted.session).await?;
    let exit = if ended.status == "failed" { Exit::Failure } else { Exit::Ok };
    response.ended = Some(ended);
    output.result(&response, |_, response| response.ended.as_ref().map(account).unwrap_or_default())?;
    Ok(exit)
}

async fn ended(client: &Client, output: &Output, session: &str) -> Result<EndedSession, CliError> {
    let path = format!("/v1/sessions/{session}?wait_s={}", LOOK.as_secs());
    let mut told = String::new();
    loop {
        let asked = Instant::now();
        match client.get_patiently(&path, Patience::Longer(LOOK)).await? {
            Session::Ended { ended } => return Ok(*ended),
            Session::Live { row, usage, .. } => {
                let now = match row.host {
                    None => format!("{session} waits for a host"),
                    Some(host) => {
                        let (turns, events) =
                            (units::counted(usage.turns, "turn"), units::counted(usage.events, "event"));
                        format!("{session} runs on {host}: {turns}, {events}")
                    }
                };
                if now != told {
                    output.progress(&now);
                    told = now;
                }
            }
        }
        if asked.elapsed() < PAUSE {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One sentence on how a session ended, and one on why.
pub(super) fn account(ended: &EndedSession) -> String {
    let ran = units::seconds(ended.duration_ms as f64 / 1000.0);
    let turns = units::counted(ended.usage.map_or(0, |usage| usage.turns), "turn");
    let mut text = format!("{} {}: {} after {ran}, {turns}\n", ended.session_id, ended.status, ended.reason);
    if let Some(error) = &ended.error {
        text.push_str(&format!("  {}\n", super::table::harmless(error)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_from_the_root() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().canonicalize().unwrap().join("call.wav");
        std::fs::write(&file, b"").unwrap();
        let link = home.path().join("link.wav");
        std::os::unix::fs::symlink("call.wav", &link).unwrap();
        assert_eq!(whole_path("--input", &link).unwrap(), file);
        // The package's own directory is where tests stand.
        assert!(whole_path("--input", Path::new("Cargo.toml")).unwrap().is_absolute());
        let missing = whole_path("--input", Path::new("no-such.wav")).unwrap_err();
        assert_eq!(missing.exit(), Exit::Usage);
    }
}
