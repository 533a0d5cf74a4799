//! `run`: the supervisor in the foreground, of a configuration or of an application alone.
//!
//! Owns: the choice between the two, and what is said before the start. Never: what running does.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::exit::{CliError, Exit};
use super::output::Output;
use super::{Global, HostArguments, application, here};
use crate::application::made;
use crate::config::{Config, ConfigFaults, Fault};

/// Options of `run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  openrtc-supervisor run --config openrtc-supervisor.toml
  openrtc-supervisor run main.py
  openrtc-supervisor run agents.py:pool

With an application and no configuration: its agents are all that it registers, tenants come from metadata, and of the keys \
that its plugins read those are passed on that are set here. `config import` writes all of that down.")]
pub struct Options {
    /// A Python application in place of --config: main.py, agents.py:pool, my.module:server, or a folder of agents
    #[arg(value_name = "APPLICATION")]
    pub(super) application: Option<String>,
    /// The LiveKit server.
    #[command(flatten)]
    pub(super) server: ServerOptions,
}

/// A LiveKit server on the command line; its key and secret are named, never written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServerOptions {
    /// LiveKit server to take calls from, in place of `[livekit] url` and LIVEKIT_URL
    #[arg(long, value_name = "URL")]
    livekit_url: Option<String>,
    /// Where its API key stands, in place of LIVEKIT_API_KEY: env:NAME, file:PATH or credential:NAME
    #[arg(long, value_name = "REFERENCE")]
    livekit_api_key: Option<String>,
    /// Where its API secret stands, in place of LIVEKIT_API_SECRET: env:NAME, file:PATH or credential:NAME
    #[arg(long, value_name = "REFERENCE")]
    livekit_api_secret: Option<String>,
}

impl ServerOptions {
    /// What was said, by the key that it stands for.
    fn keys(&self) -> Vec<(String, String)> {
        let said = [
            ("livekit.url", &self.livekit_url),
            ("livekit.api_key", &self.livekit_api_key),
            ("livekit.api_secret", &self.livekit_api_secret),
        ];
        said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect()
    }

    /// The option that holds what it should only name: every user of the machine can read a command line.
    fn literal(&self) -> Option<&'static str> {
        let is_literal = |value: &Option<String>| {
            let forms = ["env:", "file:", "credential:"];
            value.as_ref().is_some_and(|value| !forms.iter().any(|form| value.starts_with(form)))
        };
        match (is_literal(&self.livekit_api_secret), is_literal(&self.livekit_api_key)) {
            (true, _) => Some("--livekit-api-secret"),
            (false, true) => Some("--livekit-api-key"),
            (false, false) => None,
        }
    }

    /// Whether anything was said.
    pub(super) fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// These, and where they say nothing, those before the command's name.
    pub(super) fn over(self, before: Self) -> Self {
        Self {
            livekit_url: self.livekit_url.or(before.livekit_url),
            livekit_api_key: self.livekit_api_key.or(before.livekit_api_key),
            livekit_api_secret: self.livekit_api_secret.or(before.livekit_api_secret),
        }
    }
}

/// What a reload reads where the application is the configuration.
fn no_file() -> Result<Config, ConfigFaults> {
    let fault = Fault {
        source: "the application".to_owned(),
        line: None,
        key: String::new(),
        value: None,
        problem: "was run without a configuration, so there is no file to read anew".to_owned(),
        remedy: "write one with `config import` and run that, or restart".to_owned(),
    };
    Err(ConfigFaults { faults: vec![fault], warnings: Vec::new() })
}

pub(super) fn perform(
    options: &Options,
    global: &Global,
    output: &Output,
    hosts: HostArguments,
) -> Result<ExitCode, CliError> {
    if let Some(flag) = options.server.literal() {
        output.complain(&format!(
            "error: {flag} takes env:NAME, file:PATH or credential:NAME: all here can read a command line"
        ));
        return Ok(Exit::Usage.into());
    }
    let mut request = here::request(global);
    request.overrides.keys = options.server.keys();
    let Some(named) = &options.application else {
        let config = Config::load(&request)?;
        return here::run_with(config, global, hosts, Arc::new(move || Config::load(&request)));
    };
    let (place, read) = application::read(named, global)?;
    let made = made::make(&place, &read, &request)?;
    for said in &made.said {
        output.note(said);
    }
    here::run_with(made.config, global, hosts, Arc::new(no_file))
}
