//! Which agents there are: those of the file, and those that an application brings itself.
//!
//! Owns: names of agents that are used before it is known that they exist, and taking an application's agents. Never:
//! asks an application; that is done behind walls.

use std::collections::BTreeSet;

use openrtc_ipc::{AgentName, RuntimeName};
use openrtc_policy::rules::{AgentRules, Fallback};

use super::faults::{ConfigFaults, Faults};
use super::providers::Providers;
use super::section::Spot;
use super::{Agent, Config};

/// What must wait until the applications have said which agents they have.
#[derive(Debug, Clone, Default)]
pub(super) struct Awaited {
    /// Runtimes without a configured agent, whose applications are still to be asked.
    pub(super) runtimes: BTreeSet<RuntimeName>,
    /// Agents of the file, where they stand.
    pub(super) configured: Vec<Spot<AgentName>>,
    /// Names used in rules that are not configured.
    pub(super) used: Vec<Spot<AgentName>>,
    /// Whether the fallback is the first agent, whichever that is.
    pub(super) first_is_fallback: bool,
}

/// Names of agents while a configuration is read.
pub(super) struct AgentNames {
    configured: Vec<AgentName>,
    /// Whether an application may bring more.
    open: bool,
    used: Vec<Spot<AgentName>>,
}

impl AgentNames {
    pub(super) fn new(configured: Vec<AgentName>, open: bool) -> Self {
        Self { configured, open, used: Vec::new() }
    }

    /// The first of the file.
    pub(super) fn first(&self) -> Option<&AgentName> {
        self.configured.first()
    }

    /// The agent of this name; a fault where there is none and none can come.
    pub(super) fn find(&mut self, spot: &Spot<String>, faults: &mut Faults) -> Option<AgentName> {
        let found = self.configured.iter().find(|agent| agent.as_str() == spot.value.trim());
        if let Some(agent) = found {
            return Some(agent.clone());
        }
        let value = Some(format!("{:?}", spot.value));
        if !self.open {
            faults.add(&spot.origin, &spot.key, value, "names no agent", remedy(&spot.value, &self.configured));
            return None;
        }
        match AgentName::parse(&spot.value) {
            Ok(agent) => {
                self.used.push(Spot { value: agent.clone(), key: spot.key.clone(), origin: spot.origin.clone() });
                Some(agent)
            }
            Err(error) => {
                faults.add(&spot.origin, &spot.key, value, "is no agent name", error.to_string());
                None
            }
        }
    }

    /// Names that an application must bring.
    pub(super) fn used(self) -> Vec<Spot<AgentName>> {
        self.used
    }
}

fn remedy(written: &str, agents: &[AgentName]) -> String {
    super::suggest::among(written, agents.iter().map(AgentName::as_str), "agent")
}

impl Config {
    /// Runtimes whose application is to be asked for its agents, for the file names none of them.
    pub fn runtimes_without_agents(&self) -> impl Iterator<Item = &RuntimeName> {
        self.awaited.runtimes.iter()
    }

    /// Books the agents that the application of a runtime registered, in its order. Where the file names none for this
    /// runtime, all of them become agents; else those of the file must be among them. Gives the agents that were added.
    ///
    /// # Errors
    ///
    /// Names of the file that nothing registers, each with those that are there. The configuration is unchanged then.
    pub fn take_agents(
        &mut self,
        runtime: &RuntimeName,
        registered: Vec<AgentName>,
    ) -> Result<Vec<AgentName>, ConfigFaults> {
        let mut faults = Faults::default();
        if !self.awaited.runtimes.contains(runtime) {
            self.check_configured(runtime, &registered, &mut faults);
            faults.finish()?;
            self.registered.insert(runtime.clone(), registered);
            return Ok(Vec::new());
        }
        if registered.is_empty() {
            let key = format!("runtimes.{runtime}");
            let remedy = "add an agent to the application, or correct app";
            faults.add(&self.origin, &key, None, "its application registers no agent", remedy);
        }
        for agent in &registered {
            if let Some(other) = self.agent(agent) {
                let (key, other) = (format!("runtimes.{runtime}"), &other.rules.runtime);
                let problem = format!("its application registers agent {agent}, which is of runtime {other} already");
                faults.add(&self.origin, &key, None, problem, "rename one of the two");
            }
        }
        if self.awaited.runtimes.len() == 1 {
            self.check_used(&registered, &mut faults);
        }
        faults.finish()?;
        self.awaited.runtimes.remove(runtime);
        for name in &registered {
            self.add_agent(name, runtime);
        }
        self.registered.insert(runtime.clone(), registered.clone());
        if let (true, Some(first)) = (self.awaited.first_is_fallback, self.agents.first()) {
            self.rules.routing.fallback = Fallback::Agent(first.name.clone());
        }
        Ok(registered)
    }

    fn add_agent(&mut self, name: &AgentName, runtime: &RuntimeName) {
        let rules = AgentRules { runtime: runtime.clone(), max_sessions: None };
        self.rules.agents.insert(name.clone(), rules.clone());
        self.agents.push(Agent {
            name: name.clone(),
            rules,
            command: Vec::new(),
            tools: Vec::new(),
            providers: Providers::default(),
        });
    }

    /// Agents of the file on this runtime that its application does not register.
    fn check_configured(&self, runtime: &RuntimeName, registered: &[AgentName], faults: &mut Faults) {
        for spot in &self.awaited.configured {
            let of_runtime = self.agent(&spot.value).is_some_and(|agent| agent.rules.runtime == *runtime);
            if of_runtime && !registered.contains(&spot.value) {
                let problem = format!("the application of runtime {runtime} registers no such agent");
                faults.add(&spot.origin, &spot.key, None, problem, registers(registered));
            }
        }
    }

    /// Names in rules that nothing registers, now that the last application has said its own.
    fn check_used(&self, registered: &[AgentName], faults: &mut Faults) {
        let all: Vec<AgentName> =
            self.agents.iter().map(|agent| agent.name.clone()).chain(registered.iter().cloned()).collect();
        for spot in &self.awaited.used {
            if !all.contains(&spot.value) {
                let value = Some(format!("{:?}", spot.value.as_str()));
                faults.add(&spot.origin, &spot.key, value, "names no agent", registers(&all));
            }
        }
    }
}

fn registers(agents: &[AgentName]) -> String {
    let names: Vec<&str> = agents.iter().map(AgentName::as_str).collect();
    match names.is_empty() {
        true => "there is none; correct app".to_owned(),
        false => format!("use one of {}", names.join(", ")),
    }
}
