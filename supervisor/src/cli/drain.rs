//! `drain` and `shutdown`.
//!
//! Owns: the two orders that end the supervisor. Never: waits for its end.

use openrtc_control_api::DrainStatus;

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::units;

async fn order(client: &Client, output: &Output, path: &str, what: &str) -> Result<Exit, CliError> {
    let status: DrainStatus = client.post(path, &serde_json::json!({}), Patience::Usual).await?;
    output.result(&status, |_, status| {
        let (sessions, hosts) =
            (units::counted(status.active_sessions, "session"), units::counted(status.hosts, "host"));
        format!("{what}: {sessions} and {hosts} left\n")
    })?;
    Ok(Exit::Ok)
}

pub(super) async fn drain(client: &Client, output: &Output) -> Result<Exit, CliError> {
    order(client, output, "/v1/drain", "draining").await
}

pub(super) async fn shutdown(client: &Client, output: &Output) -> Result<Exit, CliError> {
    order(client, output, "/v1/shutdown", "shutting down").await
}
