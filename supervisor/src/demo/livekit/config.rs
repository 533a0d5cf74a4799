//! The configuration of the run with real calls, and what its tenants run.
//!
//! Owns: these files. Never: holds a key that opens anything but the demo's own server.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::config::{HOSTILE, SIBLINGS};
use super::super::props::Play;
use super::super::stage::{StageError, file_error, write};
use super::super::synth;
use super::server::{KEY, SECRET};

/// The agent name that callers ask for.
pub const AGENT: &str = "support";
/// All tenants, in the order in which they are shown.
pub const TENANTS: [&str; 3] = [SIBLINGS[0], SIBLINGS[1], HOSTILE];
/// What the callers say.
pub const RECORDING: Play = Play::Good;
/// The agents.
const AGENT_SCRIPT: &str = include_str!("agent.py");
/// What they hear and speak with.
const VOICE: &str = include_str!("../../../../examples/python/fake_voice.py");
/// Who calls them.
const CALLER_SCRIPT: &str = include_str!("../../../../examples/livekit/caller.py");
/// Where that lies.
pub const CALLER: &str = "caller.py";

fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// Lays what the run needs into its directory, and gives the supervisor's configuration.
///
/// # Errors
/// When a file cannot be made.
pub fn lay(dir: &Path, python: &Path, url: &str) -> Result<String, StageError> {
    let app = dir.join("app");
    fs::create_dir(&app).map_err(file_error("create", &app))?;
    fs::set_permissions(&app, Permissions::from_mode(0o755)).map_err(file_error("open to other users", &app))?;
    write(&app.join("agent.py"), AGENT_SCRIPT.as_bytes())?;
    write(&app.join("fake_voice.py"), VOICE.as_bytes())?;
    write(&dir.join(CALLER), CALLER_SCRIPT.as_bytes())?;
    write(&dir.join("secret"), SECRET.as_bytes())?;
    let recording = RECORDING.file(dir);
    write(&recording, &synth::wav(&RECORDING.recording()).map_err(file_error("encode", &recording))?)?;
    Ok(of_run(dir, python, url))
}

fn of_run(dir: &Path, python: &Path, url: &str) -> String {
    format!(
        r#"config_version = 1

[supervisor]
unknown_tenant    = "reject"
missing_tenant    = "reject"
restart_backoff_s = [1]
drain_timeout_s   = 1
terminate_grace_s = 1
runtime_dir       = {run}
state_dir         = {state}

[livekit]
url         = "{url}"
api_key     = "{KEY}"
api_secret  = {{ file = {secret} }}
agent_names = ["{AGENT}"]

[observers.jsonl]
path = {events}

[runtimes.agency]
kind   = "python"
python = {python}
app    = {app}

[tenants.{}]
[tenants.{}]
[tenants.{}]
"#,
        TENANTS[0],
        TENANTS[1],
        TENANTS[2],
        run = quoted(&dir.join("run")),
        state = quoted(&dir.join("state")),
        secret = quoted(&dir.join("secret")),
        events = quoted(&dir.join("events.jsonl")),
        python = quoted(python),
        app = quoted(&dir.join("app/agent.py")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_whatever_the_paths_are() {
        let path = Path::new("/tmp/a \"b\" \\c");
        let table: toml::Table = of_run(path, path, "ws://127.0.0.1:1").parse().unwrap();
        assert_eq!(table["runtimes"]["agency"]["python"].as_str(), path.to_str());
        assert_eq!(table["livekit"]["api_secret"]["file"].as_str(), path.join("secret").to_str());
        assert_eq!(table["tenants"].as_table().map(toml::Table::len), Some(3));
    }
}
