//! What is made of the answers of `openrtc_host scan`: configurations that our own loader takes, and no key in them.

use std::path::Path;

use openrtc_ipc::{AgentName, TenantId};
use openrtc_policy::rules::Fallback;
use serde_json::{Value as Json, json};

use super::place::Place;
use super::scan::{Read, Scan};
use super::{import, made, scan};
use crate::config::paths::Environment;
use crate::config::{Config, LoadRequest, SecretRef};
use crate::spawn::Interpreter;

/// A folder with an application and an interpreter, which is never run here.
struct Folder {
    home: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("main.py"), "").unwrap();
        std::fs::create_dir_all(home.path().join(".venv/bin")).unwrap();
        std::os::unix::fs::symlink("/bin/true", home.path().join(".venv/bin/python")).unwrap();
        Self { home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn request(&self, more: &[(&str, &str)]) -> LoadRequest {
        let places = [("RUNTIME_DIRECTORY", "/run/test"), ("STATE_DIRECTORY", "/state/test")];
        let all = places.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        LoadRequest { environment: all.collect(), ..LoadRequest::default() }
    }

    fn place(&self) -> Place {
        Place::read("main.py", self.path()).unwrap()
    }

    fn read(&self, findings: Json, more: Json) -> Read {
        let (_, _, python) = scan::runtime(&self.place(), &self.request(&[])).unwrap();
        let interpreter = json!({ "openrtc_host": "0.1.0", "python": "3.11.2" });
        let interpreter: Interpreter = serde_json::from_value(interpreter).unwrap();
        Read { python, interpreter, scan: answer(findings, more) }
    }

    fn import(&self, findings: Json, environment: &[(&str, &str)]) -> (String, Config, Vec<String>) {
        let read = self.read(findings, json!({}));
        let environment: Environment = self.request(environment).environment;
        let written = import::write(&self.place(), &read, self.path(), &environment).unwrap();
        // Once more, as a file: what was written is what is loaded.
        let file = self.path().join("openrtc-supervisor.toml");
        std::fs::write(&file, &written.text).unwrap();
        let config = Config::load(&LoadRequest { path: Some(file), ..self.request(&[]) }).unwrap();
        (written.text, config, written.missing)
    }
}

fn answer(findings: Json, more: Json) -> Scan {
    let mut whole = json!({
        "frameworks": { "openrtc": "0.20.1" },
        "preload": ["livekit.agents", "openrtc"],
        "plugins": [
            { "name": "openai", "at": "main.py:4", "installed": true, "distribution": "livekit-plugins-openai" },
            { "name": "deepgram", "at": "main.py:4", "installed": false, "distribution": "livekit-plugins-deepgram" },
            { "name": "silero", "at": "main.py:5", "installed": true, "distribution": "livekit-plugins-silero" },
        ],
        "environment": [
            { "variable": "DATABASE_URL", "at": "main.py:9" },
            { "variable": "ACME_OPENAI", "at": "main.py:12" },
            { "variable": "LIVEKIT_API_SECRET", "at": "main.py:13" },
        ],
        "dotenv": null,
        "problems": [],
        "findings": {
            "kind": "pool", "at": "main.py:20", "agents": [], "agents_complete": false, "settings": [], "tenants": [],
            "agent_caps": [], "router": null, "unturned": [], "literal_keys": [],
        },
    });
    for (into, from) in [("", more), ("findings", findings)] {
        let into = if into.is_empty() { &mut whole } else { &mut whole[into] };
        let Json::Object(from) = from else { unreachable!() };
        into.as_object_mut().unwrap().extend(from);
    }
    serde_json::from_value(whole).unwrap()
}

fn setting(name: &str, value: Json) -> Json {
    json!({ "name": name, "plain": !value.is_null(), "value": value, "at": "main.py:20" })
}

#[test]
fn an_application_alone_is_a_configuration_with_the_keys_that_are_there() {
    let folder = Folder::new();
    let dotenv = json!({ "dotenv": { "path": "/srv/.env", "names": ["DEEPGRAM_API_KEY", "OTHER"] } });
    let read = folder.read(json!({}), dotenv);
    let request = folder.request(&[("OPENAI_API_KEY", "sk-canary"), ("DEEPGRAM_API_KEY", "")]);
    let made = made::make(&folder.place(), &read, &request).unwrap();
    let (name, python) = made.config.python_runtimes().next().unwrap();
    assert_eq!(name.as_str(), "app");
    assert_eq!(python.interpreter, folder.path().join(".venv/bin/python"));
    let keys: Vec<(String, SecretRef)> =
        made.config.default_keys().map(|(plugin, _, key)| (plugin.to_owned(), key.clone())).collect();
    assert_eq!(keys, [("openai".to_owned(), SecretRef::Env("OPENAI_API_KEY".to_owned()))]);
    let said = made.said.join("\n");
    assert!(said.contains("keys found: OPENAI_API_KEY\n"), "{said}");
    assert!(said.contains("keys missing: DEEPGRAM_API_KEY (deepgram, main.py:4)"), "{said}");
    assert!(said.contains("DEEPGRAM_API_KEY stands in /srv/.env"), "{said}");
    assert!(said.contains("pip install livekit-plugins-deepgram"), "{said}");
    assert!(said.contains("not given to hosts: DATABASE_URL (main.py:9), ACME_OPENAI (main.py:12);"), "{said}");
    assert!(!said.contains("SILERO") && !said.contains("LIVEKIT_API_SECRET") && !said.contains("canary"), "{said}");
}

#[test]
fn google_is_given_by_the_file_that_its_libraries_are_told_of() {
    let folder = Folder::new();
    let google =
        json!({ "name": "google", "at": "main.py:4", "installed": true, "distribution": "livekit-plugins-google" });
    let read = folder.read(json!({}), json!({ "plugins": [google] }));
    let request = folder.request(&[("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json")]);
    let made = made::make(&folder.place(), &read, &request).unwrap();
    let keys: Vec<SecretRef> = made.config.default_keys().map(|(_, _, key)| key.clone()).collect();
    assert_eq!(keys, [SecretRef::File("/etc/google.json".into())]);
}

#[test]
fn a_missing_application_is_told_with_its_place() {
    let folder = Folder::new();
    let place = Place::read("gone.py", folder.path()).unwrap();
    let error = scan::runtime(&place, &folder.request(&[])).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("gone.py does not exist"), "{error}");
}

/// What is found in a script that says all that a pool can say.
fn talkative_pool() -> Json {
    json!({
        "agents": [{ "name": "support", "at": "main.py:20" }, { "name": "sales", "at": "main.py:30" }],
        "agents_complete": true,
        "settings": [
            setting("max_concurrent_sessions", json!(200)), setting("drain_timeout", json!(60)),
            setting("memory_limit_mb", json!(512.0)), setting("enable_tenant_circuit_breaker", json!(true)),
            setting("tenant_circuit_cooldown_s", json!(45.5)), setting("memory_warn_mb", Json::Null),
            setting("deployment_version", json!("v1\"\n[tenants.evil]")), setting("port", json!(8082)),
        ],
        "agent_caps": [{ "agent": "support", "max_sessions": 30, "at": "main.py:20" }],
        "tenants": [
            {
                "id": "acme-corp", "at": "main.py:20", "max_sessions": 50,
                "providers": {
                    "llm": { "plugin": "openai", "at": "x", "arguments": { "model": "gpt-4o", "temperature": 0.2 } },
                    "stt": { "plugin": "deepgram", "at": "x", "arguments": { "model": "nova-3" } },
                    "tts": { "inference": "cartesia/sonic", "at": "x" },
                },
                "keys": [
                    { "plugin": "openai", "variable": "ACME_OPENAI", "at": "main.py:22" },
                    { "plugin": "deepgram", "variable": null, "at": "main.py:23" },
                    { "plugin": "openai", "variable": "ACME_OTHER", "at": "main.py:24" },
                ],
            },
            { "id": "7up", "at": "main.py:20", "max_sessions": 0, "providers": {},
              "keys": [{ "plugin": "elevenlabs", "variable": null, "at": "main.py:25" }] },
            { "id": "no id", "at": "main.py:20", "max_sessions": 3, "providers": {}, "keys": [] },
        ],
        "router": {
            "at": "main.py:11", "otherwise": null, "exact": true,
            "rules": [{ "when": { "tenant": "acme-corp", "plan": "pro", "tier": 2 }, "agent": "sales", "at": "main.py:12" }],
        },
        "unturned": [{ "at": "main.py:40", "what": "tenant_config['x']: it is\ncomputed" }],
        "literal_keys": ["main.py:23", "main.py:30"],
    })
}

#[test]
fn what_a_pool_says_is_written_and_loads() {
    let (text, config, missing) =
        Folder::new().import(talkative_pool(), &[("OPENAI_API_KEY", "sk-canary"), ("ACME_OPENAI", "sk-canary")]);
    let tenant = |id: &str| TenantId::parse(id).unwrap();
    let agent = |name: &str| AgentName::parse(name).unwrap();
    let rules = &config.rules;
    assert_eq!((rules.max_concurrent_sessions, rules.drain_timeout_ms), (200, 60_000));
    assert!(rules.breaker.enabled && rules.breaker.cooldown_ms == 45_500);
    assert_eq!(config.supervisor.deployment_version.as_deref(), Some("v1\"\n[tenants.evil]"));
    assert_eq!(config.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), ["support", "sales"]);
    assert_eq!(rules.agents[&agent("support")].max_sessions, Some(30));
    assert_eq!(rules.tenants.keys().map(TenantId::as_str).collect::<Vec<_>>(), ["7up", "acme-corp"]);
    assert_eq!(rules.tenants[&tenant("acme-corp")].max_sessions, Some(50));
    let acme = &config.tenants[&tenant("acme-corp")].providers;
    let llm = json!({ "provider": "openai", "model": "gpt-4o", "temperature": 0.2 });
    assert_eq!(acme.llm.as_ref().unwrap().json(), llm);
    assert_eq!(acme.stt.as_ref().unwrap().json(), json!({ "provider": "deepgram", "model": "nova-3" }));
    assert_eq!(acme.tts.as_ref().unwrap().json(), json!({ "provider": "inference", "model": "cartesia/sonic" }));
    let keys: Vec<String> =
        config.keys_of(&tenant("acme-corp")).map(|(plugin, _, key)| format!("{plugin} {key}")).collect();
    assert_eq!(keys, ["deepgram env:ACME_CORP_DEEPGRAM_API_KEY", "openai env:ACME_OPENAI"]);
    assert_eq!(missing, ["ACME_CORP_DEEPGRAM_API_KEY", "ACME_OTHER", "T_7UP_ELEVEN_API_KEY"]);
    let [rule] = &*rules.routing.rules else { panic!("{text}") };
    assert_eq!((rule.tenant.as_ref(), &rule.agent), (Some(&tenant("acme-corp")), &agent("sales")));
    assert_eq!(rule.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["plan=pro", "tier=2"]);
    for part in [
        "# memory_warn_mb = …   # main.py:20: memory_warn_mb is computed there",
        "# DATABASE_URL = { env = \"DATABASE_URL\" }   # main.py:9 reads it",
        "# deepgram = { env = \"DEEPGRAM_API_KEY\" }   # main.py:4: DEEPGRAM_API_KEY is not set here",
        "# * main.py:20: port is off in hosts",
        "# * main.py:40: tenant_config['x']: it is\\ncomputed",
        "# * main.py:30: a literal key stands there",
        "# [tenants.\"no id\"]",
        "# max_sessions = 0",
        "python = \".venv/bin/python\"",
        "app = \"main.py\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("canary") && !text.contains("main.py:23: a literal"), "{text}");
    assert!(!text.contains("ACME_OPENAI = "), "one tenant's key is offered to all:\n{text}");
}

#[test]
fn a_router_that_leaves_nothing_over_is_a_last_rule_and_one_that_does_is_a_fallback() {
    let router = |exact: bool| {
        json!({
            "agents": [{ "name": "a", "at": "x" }, { "name": "b", "at": "x" }],
            "agents_complete": true,
            "router": { "at": "main.py:1", "rules": [], "otherwise": "b", "exact": exact },
        })
    };
    let b = AgentName::parse("b").unwrap();
    let (_, config, _) = Folder::new().import(router(true), &[]);
    let [rule] = &*config.rules.routing.rules else { panic!() };
    assert!(rule.tenant.is_none() && rule.metadata.is_empty() && rule.agent == b);
    let (_, config, _) = Folder::new().import(router(false), &[]);
    assert!(config.rules.routing.rules.is_empty());
    assert_eq!(config.rules.routing.fallback, Fallback::Agent(b));
}

#[test]
fn where_reading_did_not_find_all_agents_none_is_named() {
    let findings = json!({ "agents": [{ "name": "a", "at": "x" }], "agents_complete": false });
    let (text, config, _) = Folder::new().import(findings, &[]);
    assert!(config.agents.is_empty() && config.runtimes_without_agents().count() == 1, "{text}");
    assert!(text.contains("all agents that the application registers are taken"), "{text}");
}

#[test]
fn a_file_elsewhere_names_the_script_by_its_whole_path_and_refuses_a_module() {
    let folder = Folder::new();
    let read = folder.read(json!({}), json!({}));
    let elsewhere = tempfile::tempdir().unwrap();
    let written = import::write(&folder.place(), &read, elsewhere.path(), &Environment::new()).unwrap();
    let script = folder.path().join("main.py");
    assert!(written.text.contains(&format!("app = \"{}\"", script.display())), "{}", written.text);
    let module = Place::read("main.py:pool", folder.path()).unwrap();
    let error = import::write(&module, &read, elsewhere.path(), &Environment::new()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains(&folder.path().display().to_string()), "{error}");
}
