//! Questions to an application's interpreter.
//!
//! Owns: how `python -m openrtc_host MODE` is called, and where it puts its answer. Never: takes standard output for an
//! answer: the application may print there.

use std::path::Path;
use std::time::Duration;

use openrtc_policy::WaitStatus;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::ApplicationError;
use crate::spawn::Spawner;
use crate::telemetry::escape::escaped;

/// Bytes of an answer; a longer one is not understood.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Asks, and reads the answer.
///
/// # Errors
///
/// When the interpreter cannot be run, ends early, or answers nonsense.
pub async fn ask<T: DeserializeOwned>(
    spawner: &Spawner,
    interpreter: &Path,
    mode: &'static str,
    mut plan: Json,
    limit: Duration,
) -> Result<T, ApplicationError> {
    let answer = tempfile::NamedTempFile::new().map_err(ApplicationError::Answer)?;
    plan["output"] = Json::from(answer.path().display().to_string());
    let words = ["-I", "-B", "-X", "faulthandler", "-m", "openrtc_host", mode];
    let argv = std::iter::once(interpreter.display().to_string()).chain(words.map(str::to_owned));
    let argv: Vec<String> = argv.chain([plan.to_string()]).collect();
    let output = spawner.run(&argv, None, limit).await?;
    if output.status != WaitStatus::Exited(0) {
        let last = output.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last = escaped(last.trim()).into_owned();
        return Err(ApplicationError::Silent { mode, status: ended(output.status), last });
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(answer.reopen()?, ANSWER_BYTES_MAX), &mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(ApplicationError::Answer)?;
    serde_json::from_slice(&bytes).map_err(|source| ApplicationError::Unclear { mode, source })
}

fn ended(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(code) => format!("exit code {code}"),
        WaitStatus::Signalled(signal) => format!("signal {signal}"),
        WaitStatus::Unknown => "an unknown status".to_owned(),
    }
}
