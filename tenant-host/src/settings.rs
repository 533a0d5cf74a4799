//! What a host was configured with, checked once.
//!
//! Owns: agents' providers and tools, the tenant's configuration and its keys. Never: shows a key in `Debug`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use openrtc_ipc::{AgentName, AgentSpec, Configure, Secret};
use serde_json::value::RawValue;

/// Why a configuration cannot be used. Ours or the operator's fault, never the caller's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A field that must be a JSON object is none.
    #[error("read {field} as JSON")]
    Json {
        /// Which field.
        field: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An agent of the built-in runtime has no program.
    #[error("find the program of agent {agent}: its `command` is empty")]
    NoCommand {
        /// Which agent.
        agent: AgentName,
    },
}

/// The configuration of one host.
#[derive(Debug)]
pub(crate) struct Settings {
    agents: BTreeMap<AgentName, AgentSettings>,
    agent_config: Box<RawValue>,
    /// Environment of the agents' programs.
    pub(crate) env: Vec<(String, String)>,
    /// The tenant's keys.
    pub(crate) secrets: Vec<Secret>,
    /// The host's own directory.
    pub(crate) work_dir: PathBuf,
    /// Time from the wish that a session end to the SIGKILL of its tree.
    pub(crate) terminate_grace: Duration,
}

#[derive(Debug)]
struct AgentSettings {
    command: Vec<String>,
    providers: Box<RawValue>,
    tools: Vec<String>,
}

impl Settings {
    /// Checks what the supervisor sent.
    pub(crate) fn new(configure: Configure) -> Result<Self, SettingsError> {
        let Configure { agents, agent_config_json, env, secrets, work_dir, terminate_grace_ms, application: _ } =
            configure;
        let agent_config = object("agent_config", agent_config_json)?;
        let agents = agents
            .into_iter()
            .map(|AgentSpec { name, command, providers_json, tools, defaulted: _ }| {
                let providers = object(&format!("providers of agent {name}"), providers_json)?;
                Ok((name, AgentSettings { command, providers, tools }))
            })
            .collect::<Result<_, SettingsError>>()?;
        let terminate_grace = Duration::from_millis(terminate_grace_ms);
        Ok(Self { agents, agent_config, env, secrets, work_dir, terminate_grace })
    }

    /// The agents and their programs.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&AgentName, &[String])> {
        self.agents.iter().map(|(name, agent)| (name, agent.command.as_slice()))
    }

    pub(crate) fn secret(&self, variable: &str) -> Option<&str> {
        self.secrets.iter().find(|secret| secret.variable == variable).map(|secret| secret.value.expose_secret())
    }

    pub(crate) fn agent_config_json(&self) -> &str {
        self.agent_config.get()
    }

    pub(crate) fn providers_json(&self, agent: &AgentName) -> &str {
        self.agents.get(agent).map_or("{}", |agent| agent.providers.get())
    }

    pub(crate) fn tools(&self, agent: &AgentName) -> &[String] {
        self.agents.get(agent).map_or(&[], |agent| &agent.tools)
    }
}

/// The object as one line; an empty text stands for an empty object. A line break in JSON can only be white space.
fn object(field: &str, json: String) -> Result<Box<RawValue>, SettingsError> {
    let json = if json.trim().is_empty() { "{}".to_owned() } else { json.replace(['\n', '\r'], " ") };
    let wrong = |source| SettingsError::Json { field: field.to_owned(), source };
    serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(&json).map_err(wrong)?;
    RawValue::from_string(json).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use openrtc_ipc::SecretText;

    use super::*;

    fn configure() -> Configure {
        Configure {
            application: None,
            agents: vec![AgentSpec {
                defaulted: Vec::new(),
                name: AgentName::parse("energy").unwrap(),
                command: vec!["/bin/true".into()],
                providers_json: String::new(),
                tools: vec!["lookup".into()],
            }],
            agent_config_json: "{\n\"instructions\": \"be kind\"}".into(),
            env: Vec::new(),
            secrets: vec![Secret { variable: "KEY".into(), value: SecretText::new("canary-1".into()) }],
            work_dir: "/tmp".into(),
            terminate_grace_ms: 10,
        }
    }

    #[test]
    fn what_an_agent_may_know_is_found_by_its_name() {
        let settings = Settings::new(configure()).unwrap();
        let energy = AgentName::parse("energy").unwrap();
        assert_eq!(settings.providers_json(&energy), "{}");
        assert_eq!(settings.agent_config_json(), "{ \"instructions\": \"be kind\"}");
        assert_eq!(settings.tools(&energy), ["lookup"]);
        assert_eq!(settings.tools(&AgentName::parse("other").unwrap()), [] as [String; 0]);
        assert_eq!(settings.secret("KEY"), Some("canary-1"));
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn a_configuration_that_is_no_object_names_its_field() {
        for json in ["[1]", "{", "3"] {
            let error = Settings::new(Configure { agent_config_json: json.into(), ..configure() }).unwrap_err();
            assert_eq!(error.to_string(), "read agent_config as JSON");
        }
    }
}
