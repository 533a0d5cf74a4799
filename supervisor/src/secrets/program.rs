//! Runs the program of an `{ exec = […] }` reference.
//!
//! Owns: how long it may take. Never: repeats what it complained of, which may hold the secret.

use std::time::Duration;

use openrtc_policy::WaitStatus;

use crate::host::chain;
use crate::spawn::Spawner;

/// How long it may run.
const LIMIT: Duration = Duration::from_secs(10);

/// Its standard output, or what went wrong.
pub async fn run_program(spawner: Spawner, argv: Vec<String>) -> Result<Vec<u8>, String> {
    let output = spawner.run(&argv, None, LIMIT).await.map_err(|error| chain(&error))?;
    match output.status {
        WaitStatus::Exited(0) => Ok(output.stdout.to_vec()),
        status => Err(format!("it ended with {status:?}")),
    }
}
