//! Which part of a configuration takes effect without a restart, and what differs between two.
//!
//! Owns: that choice: sockets, directories, logs, observers, the LiveKit connection and runtimes are made once. Never: acts.

use std::collections::{BTreeMap, BTreeSet};

use openrtc_ipc::{AgentName, RuntimeName};
use openrtc_policy::rules::Fallback;
use serde_json::Value;

use super::faults::ConfigFaults;
use super::supervisor::Supervisor;
use super::{Config, show};

impl Config {
    /// This configuration, but for what was made at the start out of that one and stays until the next.
    #[must_use]
    pub fn keeping(mut self, old: &Self) -> Self {
        let shared_keys = self.supervisor.shared_keys;
        self.supervisor = Supervisor { shared_keys, ..old.supervisor.clone() };
        self.liveness.slow_session_threshold_ms = old.liveness.slow_session_threshold_ms;
        self.cgroup = old.cgroup.clone();
        self.uids = old.uids;
        self.livekit = old.livekit.clone();
        self.observers = old.observers.clone();
        self.metrics = old.metrics.clone();
        self.traces = old.traces.clone();
        self.audit = old.audit.clone();
        self.logs = old.logs.clone();
        self.keep_runtimes(old);
        self
    }

    /// Runtimes as they were: their zygotes are warm and their applications were asked. Of what runs on a new one there is
    /// no host before a restart, so it is left out.
    fn keep_runtimes(&mut self, old: &Self) {
        let is_same = |name: &RuntimeName, config: &Self| {
            old.runtimes.get(name).zip(config.runtimes.get(name)).is_some_and(|(a, b)| show::same_runtime(a, b))
        };
        let names: BTreeSet<RuntimeName> = old.runtimes.keys().chain(self.runtimes.keys()).cloned().collect();
        let others: Vec<&RuntimeName> = names.iter().filter(|name| !is_same(name, self)).collect();
        for name in others {
            match (old.runtimes.get(name), old.rules.runtimes.get(name)) {
                (Some(runtime), Some(rules)) => {
                    self.runtimes.insert(name.clone(), runtime.clone());
                    self.rules.runtimes.insert(name.clone(), rules.clone());
                }
                _ => {
                    self.runtimes.remove(name);
                    self.rules.runtimes.remove(name);
                }
            }
        }
        let runtimes = &self.runtimes;
        self.agents.retain(|agent| runtimes.contains_key(&agent.rules.runtime));
        self.rules.agents.retain(|_, agent| runtimes.contains_key(&agent.runtime));
        self.keep_fallback(old);
    }

    /// Routes never end at an agent that was left out.
    fn keep_fallback(&mut self, old: &Self) {
        let Fallback::Agent(agent) = &self.rules.routing.fallback else { return };
        if self.rules.agents.contains_key(agent) {
            return;
        }
        self.rules.routing.fallback = match self.agents.first() {
            Some(first) if self.awaited.first_is_fallback => Fallback::Agent(first.name.clone()),
            _ => old.rules.routing.fallback.clone(),
        };
    }

    /// Books the agents that applications registered when that one was started.
    pub fn take_registered(&mut self, old: &Self) -> Result<(), ConfigFaults> {
        for (runtime, agents) in &old.registered {
            let is_python = |config: &Self| config.runtime(runtime).is_some_and(|it| it.python().is_some());
            if is_python(self) {
                self.take_agents(runtime, agents.clone())?;
            }
        }
        Ok(())
    }

    /// Paths of the keys whose values differ from that configuration's, in order.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let (a, b) = (flat(&self.redacted_json()), flat(&other.redacted_json()));
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        keys.into_iter().filter(|key| a.get(*key) != b.get(*key)).cloned().collect()
    }
}

/// Agents by runtime, as their applications registered them.
pub(super) type Registered = BTreeMap<RuntimeName, Vec<AgentName>>;

fn flat(config: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, value, into);
                }
                // That it is there at all is a setting too: `[tenants.acme]` alone configures a tenant.
                if table.is_empty() {
                    into.insert(path.to_owned(), Value::Null);
                }
            }
            value => _ = into.insert(path.to_owned(), value.clone()),
        }
    }
    let mut found = BTreeMap::new();
    walk("", config, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        let base = "[agents.a]\ncommand = [\"/bin/true\"]\n";
        Config::embedded(&format!("{text}\n{base}"), Path::new("/tmp")).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn caps_tenants_and_walls_take_effect_and_places_of_the_process_do_not() {
        let old = config("[supervisor]\nmax_concurrent_sessions = 5\n[tenants.acme]\nmax_sessions = 3");
        let text = "[supervisor]\nmax_concurrent_sessions = 6\nworker_id = \"w2\"\nstate_dir = \"/elsewhere\"\n\
                    [logs]\nformat = \"json\"\n[wall]\npids_max = 90\n[tenants.globex]\nmax_sessions = 4";
        let fresh = config(text);
        let now = fresh.clone().keeping(&old);
        let waits = fresh.differing(&now);
        assert_eq!(waits, ["logs.format", "supervisor.state_dir", "supervisor.worker_id"]);
        let changed = old.differing(&now);
        for key in ["supervisor.max_concurrent_sessions", "wall.pids_max", "tenants.acme.max_sessions"] {
            assert!(changed.iter().any(|it| it == key), "{key} is not in {changed:?}");
        }
        assert!(changed.iter().any(|it| it.starts_with("tenants.globex.")), "{changed:?}");
        assert!(changed.iter().all(|it| !waits.contains(it)), "{changed:?}");
    }

    #[test]
    fn what_runs_on_a_runtime_that_is_not_there_yet_waits_for_the_restart() {
        let old = config("");
        let text = "[runtimes.own]\nkind = \"program\"\ncommand = [\"/bin/true\"]\n[agents.b]\nruntime = \"own\"";
        let fresh = config(text);
        let now = fresh.clone().keeping(&old);
        assert_eq!((now.agents.len(), now.runtimes.len()), (1, old.runtimes.len()));
        assert!(fresh.differing(&now).iter().any(|key| key.starts_with("runtimes.own.")));
        assert_eq!(old.differing(&now), [""; 0]);
    }
}
