//! The callers: one process that joins the tenants' rooms, speaks, listens, and says what was heard.
//!
//! Owns: what each is to do, and reading what it says. Never: talks to the supervisor.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::Command;

use super::super::attached::attached;
use super::config::{AGENT, CALLER, RECORDING};
use super::server::{KEY, SECRET};

/// What they may take beyond their calls: imports, joining and leaving.
const SLACK: Duration = Duration::from_secs(60);
/// A silence of this length is the agent's own: it waits for its caller.
const PAUSE_MS: u64 = 1_500;

/// Why nobody told what was heard.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// They did not start.
    #[error("start the callers")]
    Start(#[source] io::Error),
    /// They did not end.
    #[error("hear from the callers: they did not end within {seconds} s: {said}")]
    Late {
        /// How long they had.
        seconds: u64,
        /// The last line that they wrote.
        said: String,
    },
    /// They ended without a word.
    #[error("hear from the callers: they ended with {status}: {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last line that they wrote.
        said: String,
    },
    /// What they said is not understood.
    #[error("understand the callers")]
    Nonsense(#[source] serde_json::Error),
}

/// A call to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Whose agent is called.
    pub tenant: &'static str,
    /// The room.
    pub room: String,
    /// How long it lasts, in seconds.
    pub seconds: f64,
    /// When the agent crashes, in seconds since it came.
    pub crash_after_s: Option<f64>,
}

impl Call {
    fn json(&self) -> Value {
        let mut metadata = json!({ "tenant": self.tenant });
        if let Some(after_s) = self.crash_after_s {
            metadata["crash_after_s"] = json!(after_s);
        }
        json!({
            "room": self.room, "dispatch": AGENT, "metadata": metadata.to_string(),
            "seconds": self.seconds,
        })
    }
}

/// What a caller heard. Times are in milliseconds since its call began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// The room.
    pub room: String,
    /// When its call began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// When the agent's first sound came.
    pub first_audio_ms: Option<u64>,
    /// When the caller had spoken.
    pub spoken_ms: Option<u64>,
    /// When the agent's answer to that came.
    pub answered_ms: Option<u64>,
    /// When the agent was heard last.
    pub last_audio_ms: Option<u64>,
    /// When the agent left, if the caller saw it.
    pub agent_left_ms: Option<u64>,
    /// When the caller left.
    pub left_ms: Option<u64>,
    /// How much was heard in each second, in milliseconds.
    pub heard_ms_by_second: Vec<u64>,
    /// The longest gap between two sounds that ended in each second, in milliseconds.
    pub longest_gap_ms_by_second: Vec<u64>,
    /// What went wrong for the caller.
    pub error: Option<String>,
}

/// Has these calls made, and waits for their ends.
///
/// # Errors
/// When the callers do not tell what they heard.
pub async fn call(python: &Path, dir: &Path, url: &str, calls: &[Call]) -> Result<Vec<Heard>, CallersError> {
    // One for each process of callers.
    let log = dir.join(calls.first().map_or("callers".to_owned(), |call| call.room.clone())).with_extension("log");
    let said = || {
        let log = fs::read(&log).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().last().unwrap_or("they wrote nothing").to_owned()
    };
    let own: Value = calls.iter().map(Call::json).collect();
    let mut command = Command::new(python);
    attached(&mut command, dir)
        .args(["-I", "-B"])
        .arg(dir.join(CALLER))
        .args(["--url", url, "--pause-ms", &PAUSE_MS.to_string(), "--wav"])
        .arg(RECORDING.file(dir))
        .args(["--callers", &own.to_string()])
        .env("LIVEKIT_API_KEY", KEY)
        .env("LIVEKIT_API_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).map_err(CallersError::Start)?);
    let child = command.spawn().map_err(CallersError::Start)?;
    let longest = calls.iter().map(|call| call.seconds).fold(0.0, f64::max);
    let patience = Duration::from_secs_f64(longest) + SLACK;
    let ended = tokio::time::timeout(patience, child.wait_with_output()).await;
    let Ok(output) = ended else {
        return Err(CallersError::Late { seconds: patience.as_secs(), said: said() });
    };
    let output = output.map_err(CallersError::Start)?;
    if !output.status.success() {
        return Err(CallersError::Ended { status: output.status, said: said() });
    }
    #[derive(Deserialize)]
    struct Told {
        callers: Vec<Heard>,
    }
    let told: Told = serde_json::from_slice(&output.stdout).map_err(CallersError::Nonsense)?;
    Ok(told.callers)
}
