//! `config import`: what a script says, written down as a configuration.
//!
//! Owns: which finding becomes which line, and the words for what does not. Never: writes a key; only the variable to set.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use super::ApplicationError;
use super::draft::Draft;
use super::keys::{self, PluginKey};
use super::place::{Place, RUNTIME, spelled};
use super::scan::{Findings, ProviderFinding, Read, RouterFinding, TenantFinding};
use super::settings::{self, SECTIONS};
use super::spelling;
use crate::config::paths::Environment;
use crate::config::{Config, plugins};

/// A configuration that was written.
#[derive(Debug)]
pub struct Written {
    /// Its text.
    pub text: String,
    /// What our own loader makes of it.
    pub config: Config,
    /// Variables that it refers to and that are not set here.
    pub missing: Vec<String>,
}

/// Writes the configuration of an application, for a file in `dir`.
///
/// # Errors
///
/// When the file cannot stand there, or our own loader refuses what no line of it says.
pub fn write(place: &Place, read: &Read, dir: &Path, environment: &Environment) -> Result<Written, ApplicationError> {
    let value = place.value_in(dir)?;
    let mut writer = Writer { draft: Draft::default(), findings: &read.scan.findings, missing: BTreeSet::new() };
    let keys = keys::of_plugins(&read.scan, environment);
    writer.opening(place);
    writer.settings();
    writer.default_keys(&keys);
    writer.runtime(place, read, &spelled(&read.python.interpreter, dir), &value, &keys);
    writer.agents();
    writer.routing();
    for tenant in &read.scan.findings.tenants {
        writer.tenant(tenant, environment);
    }
    writer.closing(&read.scan.problems);
    let Writer { mut draft, missing, .. } = writer;
    let config = draft.settle(dir)?;
    Ok(Written { text: draft.text(), config, missing: missing.into_iter().collect() })
}

struct Writer<'a> {
    draft: Draft,
    findings: &'a Findings,
    missing: BTreeSet<String>,
}

impl Writer<'_> {
    fn opening(&mut self, place: &Place) {
        self.draft.say(&format!("Written by `openrtc-supervisor config import {}`.", place.named));
        self.draft.say("Comments name the line of the script that a value comes from, and what stays in the script.");
        self.draft.set("config_version", "1", None);
    }

    fn begin(&mut self, path: &[&str]) {
        self.draft.blank();
        self.draft.table(path);
    }

    /// Takes back a table in which nothing came to stand.
    fn end(&mut self) {
        if self.draft.is_empty_table() {
            self.draft.take_back();
            self.draft.take_back();
        }
    }

    fn settings(&mut self) {
        let findings = self.findings;
        let kind = findings.kind.as_deref();
        for section in SECTIONS {
            self.begin(&[section]);
            for setting in &findings.settings {
                let (name, at) = (setting.name.as_str(), setting.at.as_str());
                let (key, whole) = match settings::place(kind, name) {
                    settings::Place::Key(in_section, key) if in_section == section => (key, false),
                    settings::Place::Whole(in_section, key) if in_section == section => (key, true),
                    _ => continue,
                };
                match spelled_setting(&setting.value, whole) {
                    _ if !setting.plain => self.draft.suggest(key, "…", &format!("{at}: {name} is computed there")),
                    Some(value) => self.draft.set(key, value, Some(at)),
                    None => self.draft.say(&format!("{at}: {name} is off there; the default of {key} stays")),
                }
            }
            self.end();
        }
    }

    fn default_keys(&mut self, keys: &[PluginKey]) {
        self.begin(&["defaults", "api_keys"]);
        for key in keys {
            match &key.found {
                Some(reference) => self.draft.set(&key.plugin, reference.clone(), Some(&key.at)),
                None => {
                    let why = format!("{}: {} is not set here", key.at, key.variable);
                    self.draft.suggest(&key.plugin, &spelling::variable(&key.variable), &why);
                }
            }
        }
        self.end();
    }

    fn runtime(&mut self, place: &Place, read: &Read, python: &str, value: &str, keys: &[PluginKey]) {
        self.begin(&["runtimes", RUNTIME]);
        self.draft.set_text("kind", "python", None);
        self.draft.set_text("python", python, None);
        self.draft.set_text(place.key, value, None);
        let preload = read.scan.preload.join(", ");
        self.draft.suggest("preload", "\"auto\"", &format!("at present: {preload}"));
        let others = keys::others(&read.scan, keys);
        if others.is_empty() {
            return;
        }
        self.begin(&["runtimes", RUNTIME, "env"]);
        self.draft.say("Hosts inherit no variable. What stands here is given to every tenant's host.");
        for (name, at) in others {
            self.draft.suggest(name, &spelling::variable(name), &format!("{at} reads it"));
        }
    }

    fn agents(&mut self) {
        let findings = self.findings;
        let routed = findings
            .router
            .iter()
            .flat_map(|router| router.rules.iter().map(|rule| rule.agent.as_str()).chain(router.otherwise.as_deref()));
        let capped = findings.agent_caps.iter().map(|cap| cap.agent.as_str());
        let mut names: Vec<(&str, Option<&str>)> =
            findings.agents.iter().map(|agent| (agent.name.as_str(), Some(agent.at.as_str()))).collect();
        for name in routed.chain(capped) {
            if !names.iter().any(|(known, _)| *known == name) {
                names.push((name, None));
            }
        }
        self.draft.blank();
        if !findings.agents_complete {
            self.draft
                .say("Without any [agents.NAME] all agents that the application registers are taken; with one, only");
            self.draft.say(
                "those that are named. Reading did not find all of them: `openrtc-supervisor runtime inspect` does.",
            );
            if findings.agent_caps.is_empty() {
                return;
            }
        }
        for (place, (name, at)) in names.iter().enumerate() {
            if place > 0 {
                self.draft.blank();
            }
            self.draft.table(&["agents", name]);
            self.draft.set_text("runtime", RUNTIME, *at);
            for cap in findings.agent_caps.iter().filter(|cap| cap.agent == *name) {
                self.draft.set("max_sessions", cap.max_sessions.to_string(), Some(&cap.at));
            }
        }
    }

    fn routing(&mut self) {
        let Some(router) = &self.findings.router else { return };
        self.draft.blank();
        self.draft.say(&format!("Was the router at {}: take it out of the script.", router.at));
        self.otherwise(router);
        for rule in &router.rules {
            self.draft.table_of_list(&["routing", "rule"]);
            if let Some(Json::String(tenant)) = rule.when.get("tenant") {
                self.draft.set_text("tenant", tenant, Some(&rule.at));
            }
            let others = rule.when.iter().filter(|(name, value)| name.as_str() != "tenant" || !value.is_string());
            let others: serde_json::Map<String, Json> =
                others.map(|(name, value)| (name.clone(), value.clone())).collect();
            if let Some(spelled) = spelling::value(&Json::Object(others)).filter(|spelled| spelled != "{}") {
                self.draft.set("metadata", spelled, None);
            }
            self.draft.set_text("agent", &rule.agent, None);
        }
        if let (Some(agent), true) = (&router.otherwise, router.exact) {
            self.draft.say("Every other call, whatever its metadata names, as in the router.");
            self.draft.table_of_list(&["routing", "rule"]);
            self.draft.set_text("agent", agent, Some(&router.at));
        }
    }

    /// Where calls go that no rule names, if the router leaves some to the pool's own chain.
    fn otherwise(&mut self, router: &RouterFinding) {
        if let (Some(agent), false) = (&router.otherwise, router.exact) {
            self.draft.table(&["routing"]);
            let why = "an agent that metadata or the room names goes before it; in the router it did not";
            self.draft.set_text("fallback", agent, Some(why));
        }
    }

    fn tenant(&mut self, tenant: &TenantFinding, environment: &Environment) {
        let id = tenant.id.trim();
        self.begin(&["tenants", id]);
        if let Some(cap) = tenant.max_sessions {
            self.draft.set("max_sessions", cap.to_string(), Some(&tenant.at));
        }
        if !tenant.providers.is_empty() {
            self.draft.table(&["tenants", id, "tenant_config"]);
            for (step, provider) in &tenant.providers {
                let (value, why) = provider_value(provider);
                self.draft.set(step, value, why);
            }
        }
        if tenant.keys.is_empty() {
            return;
        }
        self.draft.table(&["tenants", id, "api_keys"]);
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for key in &tenant.keys {
            let variable = key.variable.clone().unwrap_or_else(|| own_variable(id, &key.plugin));
            let why = match (&key.variable, environment.contains_key(&variable)) {
                (None, _) => format!("set it: the key is not read from a variable at {}", key.at),
                (Some(_), false) => format!("{}; it is not set here", key.at),
                (Some(_), true) => key.at.clone(),
            };
            if !environment.contains_key(&variable) {
                self.missing.insert(variable.clone());
            }
            match known.insert(&key.plugin) {
                true => self.draft.set(&key.plugin, spelling::variable(&variable), Some(&why)),
                false => {
                    let why = format!("{}: a second key of the same provider; a tenant has one", key.at);
                    self.draft.suggest(&key.plugin, &spelling::variable(&variable), &why);
                }
            }
        }
    }

    fn closing(&mut self, problems: &[String]) {
        let findings = self.findings;
        let kind = findings.kind.as_deref();
        let mut said: Vec<String> = Vec::new();
        if findings.tenants.iter().any(|tenant| !tenant.keys.is_empty()) {
            let at = findings.at.as_deref().unwrap_or("the pool");
            said.push(format!(
                "{at}: take tenant_config out: a script that holds tenants' keys is not loaded into hosts"
            ));
        }
        for setting in &findings.settings {
            if let settings::Place::Said(why) = settings::place(kind, &setting.name) {
                said.push(format!("{}: {} {why}", setting.at, setting.name));
            }
        }
        said.extend(findings.unturned.iter().map(|note| format!("{}: {}", note.at, note.what)));
        said.extend(findings.literal_keys.iter().map(|at| {
            format!("{at}: a literal key stands there, and every tenant's host that loads the script would hold it")
        }));
        said.extend(problems.iter().map(|problem| format!("not read: {problem}")));
        if said.is_empty() {
            return;
        }
        self.draft.blank();
        self.draft.say("What stays in the script, or is to be done there:");
        for line in said {
            self.draft.say(&format!("* {line}"));
        }
    }
}

/// A plain argument as TOML; `None` for a number that means none.
fn spelled_setting(value: &Json, whole: bool) -> Option<String> {
    if !whole {
        return spelling::value(value);
    }
    let number = value.as_f64()?.round();
    (number >= 1.0).then(|| format!("{number:.0}"))
}

fn provider_value(provider: &ProviderFinding) -> (String, Option<&'static str>) {
    match provider {
        ProviderFinding::Inference { inference } => (
            spelling::text(&format!("inference:{inference}")),
            Some(
                "LiveKit Inference, as a string is in the script; without `inference:` it is the plugin, with the tenant's key",
            ),
        ),
        ProviderFinding::Plugin { plugin, arguments } => {
            let model = arguments.get("model").and_then(Json::as_str).filter(|model| !model.trim().is_empty());
            if let (Some(model), 1) = (model, arguments.len()) {
                return (spelling::text(&format!("{plugin}/{model}")), None);
            }
            let mut fields = vec![format!("provider = {}", spelling::text(plugin))];
            for (name, argument) in arguments {
                if let Some(value) = spelling::value(argument) {
                    fields.push(format!("{} = {value}", spelling::key(name)));
                }
            }
            (format!("{{ {} }}", fields.join(", ")), None)
        }
    }
}

/// The variable for a tenant's own key of a provider: `ACME_CORP_OPENAI_API_KEY`.
fn own_variable(tenant: &str, plugin: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let tenant: String = tenant.chars().map(upper).collect();
    let digit = tenant.starts_with(|c: char| c.is_ascii_digit());
    format!("{}{tenant}_{}", if digit { "T_" } else { "" }, plugins::key_variable(plugin))
}
