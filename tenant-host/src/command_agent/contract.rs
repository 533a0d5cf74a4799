//! The lines that a program reads on standard input, and the environment it finds (`docs/command-agent.md`).
//!
//! Owns: both, exactly as documented. Never: lets the tenant's environment or keys stand in for what we stamp.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use openrtc_ipc::{AgentName, SessionInfo, TenantId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::session::Session;
use crate::settings::Settings;

/// Latest time that can be written as RFC 3339: the end of the year 9999, in milliseconds since 1970.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

#[derive(Serialize)]
struct SessionLine<'a> {
    session_id: String,
    tenant: &'a TenantId,
    agent: &'a AgentName,
    room: &'a str,
    job_id: &'a str,
    metadata: &'a BTreeMap<String, String>,
    started_at: String,
    deployment_version: Option<&'a str>,
    providers: &'a RawValue,
    tools: &'a [String],
    agent_config: &'a RawValue,
    input: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    livekit: Option<CallLine<'a>>,
}

/// What any LiveKit SDK needs to join. The token is for this room alone.
#[derive(Serialize)]
struct CallLine<'a> {
    url: &'a str,
    token: &'a str,
    room: &'a str,
    identity: &'a str,
}

#[derive(Serialize)]
struct EndLine<'a> {
    r#type: &'static str,
    reason: &'a str,
}

/// The first line: the session.
pub(crate) fn session_line(session: &Session, input: bool) -> Result<String, serde_json::Error> {
    let info = session.info();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(info.started_at_unix_ms.min(UNIX_MS_MAX));
    line(&SessionLine {
        session_id: info.session.to_string(),
        tenant: &info.tenant,
        agent: &info.agent,
        room: &info.room_name,
        job_id: &info.job_id,
        metadata: &info.metadata,
        started_at: humantime::format_rfc3339_millis(started).to_string(),
        deployment_version: info.deployment_version.as_deref(),
        providers: serde_json::from_str(session.providers_json())?,
        tools: session.tools(),
        agent_config: serde_json::from_str(session.agent_config_json())?,
        input,
        livekit: session.call().map(|call| CallLine {
            url: &call.url,
            token: call.token.expose_secret(),
            room: &info.room_name,
            identity: &call.identity,
        }),
    })
}

/// The line that asks the program to end the session.
pub(crate) fn end_line(reason: &str) -> Result<String, serde_json::Error> {
    line(&EndLine { r#type: "end", reason })
}

fn line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|json| json + "\n")
}

/// The program's whole environment. Later entries win: the directory, the tenant's own, its keys, and what we stamp.
pub(crate) fn environment(settings: &Settings, info: &SessionInfo, directory: &Path) -> BTreeMap<String, String> {
    let directory = directory.to_string_lossy();
    let ours = ["HOME", "TMPDIR"].map(|name| (name.to_owned(), directory.clone().into_owned()));
    let secrets = settings.secrets.iter();
    let secrets = secrets.map(|secret| (secret.variable.clone(), secret.value.expose_secret().to_owned()));
    let stamped = [
        ("OPENRTC_TENANT", info.tenant.to_string()),
        ("OPENRTC_SESSION_ID", info.session.to_string()),
        ("OPENRTC_AGENT", info.agent.to_string()),
        ("OPENRTC_DEPLOYMENT_VERSION", info.deployment_version.clone().unwrap_or_default()),
    ];
    let stamped = stamped.map(|(name, value)| (name.to_owned(), value));
    ours.into_iter().chain(settings.env.iter().cloned()).chain(secrets).chain(stamped).collect()
}
