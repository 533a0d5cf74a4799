//! Runtimes of `kind = "python"`: their faults, their defaults, and the agents that their applications bring.

use std::path::{Path, PathBuf};

use openrtc_ipc::{AgentName, ApplicationTarget, RuntimeName, TenantId};
use openrtc_policy::rules::Fallback;

use super::{Place, environment};
use crate::config::{Config, LoadApp, LoadRequest, Preload, PythonRuntime};

/// A place with an interpreter, a script and a folder of agents.
fn place() -> Place {
    let place = Place::new();
    place.write(".venv/bin/python", "#!/bin/sh\n", 0o755);
    place.write("main.py", "", 0o644);
    place.write("agents/one.py", "", 0o644);
    place
}

fn runtime(name: &str) -> RuntimeName {
    RuntimeName::parse(name).unwrap()
}

fn names(list: &[&str]) -> Vec<AgentName> {
    list.iter().map(|name| AgentName::parse(name).unwrap()).collect()
}

fn python(config: &Config) -> PythonRuntime {
    config.python_runtimes().next().unwrap().1.clone()
}

fn faults(text: &str) -> Vec<String> {
    let place = place();
    let faults = place.load(text).expect_err("it was taken as valid").faults;
    let dir = place.path().display().to_string();
    let shown = |fault: &crate::config::Fault| {
        fault.to_string().replace(&format!("{dir}/openrtc-supervisor.toml"), "F").replace(&dir, "D")
    };
    faults.iter().map(shown).collect()
}

const APP: &str = "[runtimes.agency]\nkind = \"python\"\napp = \"main.py\"\n";

const FAULTY: [(&str, &str); 14] = [
    (
        "app = \"none.py\"",
        "F:3: runtimes.agency.app = \"none.py\": D/none.py does not exist: correct the path; it is relative to the file it stands in",
    ),
    (
        "app = \"agents\"",
        "F:3: runtimes.agency.app = \"agents\": names no application: write app = \"main.py\", app = \"module:attribute\" or agents_dir = \"agents\"",
    ),
    (
        "app = \"my agents:pool\"",
        "F:3: runtimes.agency.app = \"my agents:pool\": names no application: write app = \"main.py\", app = \"module:attribute\" or agents_dir = \"agents\"",
    ),
    (
        "app = \"module:\"",
        "F:3: runtimes.agency.app = \"module:\": names no application: write app = \"main.py\", app = \"module:attribute\" or agents_dir = \"agents\"",
    ),
    (
        "agents_dir = \"main.py\"",
        "F:3: runtimes.agency.agents_dir = \"main.py\": there is no folder D/main.py: correct the path; it is relative to the file it stands in",
    ),
    (
        "app = \"main.py\"\nagents_dir = \"agents\"",
        "F:4: runtimes.agency.agents_dir: stands beside app: keep one of the two",
    ),
    (
        "load_app = \"host\"",
        "F:1: runtimes.agency: has no application: write app = \"main.py\", app = \"module:attribute\" or agents_dir = \"agents\"",
    ),
    (
        "app = \"main.py\"\nload_app = \"parent\"",
        "F:4: runtimes.agency.load_app = \"parent\": is none of the choices: use \"host\" or \"zygote\"",
    ),
    (
        "app = \"main.py\"\npreload = \"all\"",
        "F:4: runtimes.agency.preload = \"all\": is no list of modules: write \"auto\", or a list of modules, as in [\"livekit.agents\", \"livekit.plugins.silero\"]",
    ),
    (
        "app = \"main.py\"\npreload = [\"os; import x\"]",
        "F:4: runtimes.agency.preload = […]: is no list of modules: write \"auto\", or a list of modules, as in [\"livekit.agents\", \"livekit.plugins.silero\"]",
    ),
    (
        "app = \"main.py\"\npython = \"venv/bin/python\"",
        "F:4: runtimes.agency.python = \"venv/bin/python\": D/venv/bin/python is no executable file: make one with `python3 -m venv .venv` beside the file, or write python = \"PATH/bin/python\"",
    ),
    (
        "app = \"main.py\"\npython = \"python0\"",
        "F:4: runtimes.agency.python = \"python0\": no such program in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin: make one with `python3 -m venv .venv` beside the file, or write python = \"PATH/bin/python\"",
    ),
    (
        "app = \"main.py\"\ncommand = [\"true\"]",
        "F:4: runtimes.agency.command: belongs to kind = \"program\": remove it, or change the kind",
    ),
    ("app = \"main.py\"\nprelod = \"auto\"", "F:4: runtimes.agency.prelod: unknown key: did you mean `preload`?"),
];

#[test]
fn every_faulty_runtime_gets_its_message() {
    for (text, message) in FAULTY {
        let found = faults(&format!("[runtimes.agency]\nkind = \"python\"\n{text}\n"));
        assert_eq!(found, [message], "for:\n{text}");
    }
}

#[test]
fn all_faults_of_a_runtime_are_told_at_once_and_its_agents_are_not_unknown_for_them() {
    let text = "[runtimes.agency]\nkind = \"python\"\napp = \"none.py\"\npython = \"python0\"\npreload = 5\n\
                [agents.support]\nruntime = \"agency\"\n[routing]\nfallback = \"sales\"\n";
    let found = faults(text);
    let lines: Vec<&str> = found.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(lines, ["F:3", "F:4", "F:5"], "{found:#?}");
}

#[test]
fn the_defaults_are_those_for_python() {
    let place = place();
    let config = place.load(APP).unwrap();
    let found = python(&config);
    assert_eq!(found.interpreter, place.path().join(".venv/bin/python"));
    assert_eq!(found.target, ApplicationTarget::Script(place.path().join("main.py")));
    assert_eq!((found.load_app, &found.preload), (LoadApp::Host, &Preload::Auto));
    assert!(found.preload_end_of_turn);
    assert_eq!(found.num_idle_hosts, 1);
    let script = place.path().join("main.py").display().to_string();
    let plan = serde_json::json!({
        "target": {"script": script}, "preload": "auto", "preload_end_of_turn": true, "load_app": "host",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found.plan_json()).unwrap(), plan);
    let (stranger, command) = (TenantId::parse("x").unwrap(), runtime("command"));
    let (agency, other) = (config.wall(&stranger, &runtime("agency")), config.wall(&stranger, &command));
    assert_eq!((agency.pids_max, agency.open_files_max), (Some(512 + 50 * 96), Some(1024 + 50 * 256)));
    assert_eq!((other.pids_max, other.open_files_max), (Some(512), Some(1024)));
    assert_eq!(config.rules.runtimes[&runtime("agency")].max_sessions_per_host, Some(50));
    assert_eq!(config.rules.runtimes[&command].max_sessions_per_host, None);
    assert_eq!(config.rules.runtimes[&runtime("agency")].recycle_after_sessions, Some(50));
    assert_eq!(config.rules.runtimes[&command].recycle_after_sessions, None);
    assert_eq!(config.rules.initialize_timeout_ms, 10_000);
}

#[test]
fn a_python_host_may_have_processes_and_descriptors_for_every_session_that_it_may_have() {
    let limits = |written: &str| {
        let config = place().load(&format!("{written}\n{APP}")).unwrap();
        let wall = config.wall(&TenantId::parse("x").unwrap(), &runtime("agency"));
        (wall.pids_max.unwrap(), wall.open_files_max.unwrap())
    };
    assert_eq!(limits("[supervisor]\nmax_sessions_per_host = 4"), (512 + 4 * 96, 1024 + 4 * 256));
    let unlimited = "[supervisor]\nmax_sessions_per_host = \"off\"\nmax_concurrent_sessions = 80";
    assert_eq!(limits(unlimited), (512 + 80 * 96, 1024 + 80 * 256));
    assert_eq!(limits("[supervisor]\nmax_sessions_per_host = 10000").1, 1_048_576, "no more than may be written");
    assert_eq!(limits("[wall]\npids_max = 90"), (90, 1024 + 50 * 256));
}

#[test]
fn what_is_written_wins_over_the_defaults_for_python() {
    let text = format!(
        "[supervisor]\nmax_sessions_per_host = \"off\"\nrecycle_after_sessions = 7\n[wall]\nopen_files_max = 3000\n{APP}"
    );
    let config = place().load(&text).unwrap();
    let wall = config.wall(&TenantId::parse("x").unwrap(), &runtime("agency"));
    assert_eq!((wall.pids_max, wall.open_files_max), (Some(512 + 50 * 96), Some(3000)));
    assert_eq!(config.rules.runtimes[&runtime("agency")].max_sessions_per_host, None);
    assert_eq!(config.rules.runtimes[&runtime("agency")].recycle_after_sessions, Some(7));
}

#[test]
fn the_interpreter_is_looked_for_in_order() {
    let place = place();
    let active = place.path().join("active");
    place.write("active/bin/python", "#!/bin/sh\n", 0o755);
    let load = |virtual_env: &Path| {
        let variables = environment(&[("VIRTUAL_ENV", virtual_env.to_str().unwrap())]);
        let request = LoadRequest { environment: variables, ..place.request(APP) };
        python(&Config::load(&request).unwrap()).interpreter
    };
    assert_eq!(load(&active), active.join("bin/python"));
    assert_eq!(load(&place.path().join("gone")), place.path().join(".venv/bin/python"));
    let bare = Place::new();
    bare.write("main.py", "", 0o644);
    let found = bare.load(APP).map(|config| python(&config).interpreter);
    match crate::config::programs::find("python3") {
        Some(python3) => assert_eq!(found.unwrap(), python3),
        None => assert!(found.unwrap_err().to_string().contains("no Python was found")),
    }
}

#[test]
fn an_application_is_a_script_an_attribute_or_a_folder() {
    let place = place();
    let load = |line: &str| python(&place.load(&format!("[runtimes.a]\nkind = \"python\"\n{line}")).unwrap());
    let attribute = ApplicationTarget::Attribute {
        folder: place.path().to_owned(),
        module: "my_agents.pools".to_owned(),
        attribute: "pool".to_owned(),
    };
    assert_eq!(load("app = \"my_agents.pools:pool\"").target, attribute);
    let folder = load(
        "agents_dir = \"agents\"\npreload = [\"livekit.agents\"]\nload_app = \"zygote\"\npreload_end_of_turn = false",
    );
    assert!(!folder.preload_end_of_turn && folder.plan_json().contains("\"preload_end_of_turn\":false"));
    assert_eq!(folder.target, ApplicationTarget::AgentsDir(place.path().join("agents")));
    assert_eq!(folder.preload, Preload::Modules(vec!["livekit.agents".to_owned()]));
    assert_eq!(folder.load_app, LoadApp::Zygote);
}

#[test]
fn what_is_shown_of_a_python_runtime_loads_again() {
    let text = format!(
        "{APP}preload = [\"livekit.agents\"]\npreload_end_of_turn = false\nnum_idle_hosts = 3\n[runtimes.agency.env]\nDB = {{ env = \"DB\" }}\n"
    );
    let place = place();
    let shown = place.load(&text).unwrap().redacted_toml();
    assert!(shown.contains("DB = \"***(env:DB)\"") && !shown.contains("max_sessions_per_host"), "{shown}");
    let again = Place::new().load(&shown).unwrap();
    assert_eq!(again.redacted_toml(), shown);
    assert!(!python(&again).preload_end_of_turn);
    assert_eq!(python(&again).num_idle_hosts, 3);
    assert_eq!(again.rules.runtimes[&runtime("agency")].max_sessions_per_host, Some(50));
}

const OPEN: &str = "[routing]\n[[routing.rule]]\ntenant = \"acme\"\nagent = \"sales\"\n\
                    [tenants.acme]\nallowed_agents = [\"support\", \"sales\"]\n";

#[test]
fn an_applications_agents_are_taken_where_none_is_configured() {
    let mut config = place().load(&format!("{APP}{OPEN}")).unwrap();
    let agency = runtime("agency");
    assert_eq!(config.runtimes_without_agents().collect::<Vec<_>>(), [&agency]);
    assert_eq!(config.rules.routing.fallback, Fallback::Reject);
    assert_eq!(config.take_agents(&agency, names(&["support", "sales"])).unwrap(), names(&["support", "sales"]));
    assert_eq!(config.rules.routing.fallback, Fallback::Agent(names(&["support"])[0].clone()));
    assert_eq!(config.rules.agents.keys().cloned().collect::<Vec<_>>(), names(&["sales", "support"]));
    let acme = TenantId::parse("acme").unwrap();
    assert_eq!(config.agents_of(&acme, &agency).count(), 2);
    assert_eq!(config.runtimes_without_agents().count(), 0);
}

#[test]
fn a_name_that_no_application_brings_is_a_fault_that_lists_those_there_are() {
    let mut config = place().load(&format!("{APP}{OPEN}")).unwrap();
    let error = config.take_agents(&runtime("agency"), names(&["support", "billing"])).unwrap_err();
    assert_eq!(error.faults.len(), 2, "{error}");
    for fault in &error.faults {
        assert_eq!((fault.value.as_deref(), fault.remedy.as_str()), (Some("\"sales\""), "use one of support, billing"));
    }
    assert!(error.faults[0].line.is_some() && error.faults[0].key == "routing.rule[0].agent", "{error}");
    assert!(config.agents.is_empty(), "nothing of it was booked");
}

#[test]
fn a_configured_agent_must_be_registered() {
    let mut config = place().load(&format!("{APP}[agents.suport]\nruntime = \"agency\"\n")).unwrap();
    assert_eq!(config.runtimes_without_agents().count(), 0);
    let agency = runtime("agency");
    let error = config.take_agents(&agency, names(&["support", "sales"])).unwrap_err();
    let [fault] = error.faults.as_slice() else { panic!("{error}") };
    assert_eq!((fault.line, fault.key.as_str()), (Some(4), "agents.suport"));
    assert_eq!(fault.problem, "the application of runtime agency registers no such agent");
    assert_eq!(fault.remedy, "use one of support, sales");
    assert_eq!(config.take_agents(&agency, names(&["suport", "sales"])).unwrap(), []);
    assert_eq!(config.agents.len(), 1, "only those of the file");
}

#[test]
fn two_applications_may_not_bring_one_name() {
    let two = format!("{APP}[runtimes.other]\nkind = \"python\"\nagents_dir = \"agents\"\n{OPEN}");
    let mut config = place().load(&two).unwrap();
    config.take_agents(&runtime("agency"), names(&["support"])).unwrap();
    let error = config.take_agents(&runtime("other"), names(&["support", "sales"])).unwrap_err();
    assert!(error.to_string().contains("registers agent support, which is of runtime agency already"), "{error}");
    // The first was not refused for a name that the second brings.
    config.take_agents(&runtime("other"), names(&["sales"])).unwrap();
    assert_eq!(config.rules.routing.fallback, Fallback::Agent(names(&["support"])[0].clone()));
    let none = config.clone().take_agents(&runtime("none"), Vec::new());
    assert_eq!(none.unwrap(), []);
}

#[test]
fn an_application_without_agents_is_a_fault() {
    let error = place().load(APP).unwrap().take_agents(&runtime("agency"), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("runtimes.agency: its application registers no agent"), "{error}");
}

#[test]
fn a_dotenv_is_warned_of_by_its_names_only() {
    let place = place();
    let dotenv = "# comment\nexport OPENAI_API_KEY=CANARY-a\nDATABASE_PASSWORD=CANARY-b\nMODE=CANARY-c\n\
                  LIVEKIT_API_SECRET = CANARY-d\nELEVEN_API_KEY=CANARY-e\nnot a line\n";
    place.write(".env", dotenv, 0o600);
    let text = format!("{APP}[defaults.api_keys]\nelevenlabs = {{ env = \"ELEVEN_API_KEY\" }}\n");
    let config = place.load(&text).unwrap();
    let [warning] = config.warnings.as_slice() else { panic!("{:#?}", config.warnings) };
    for part in [
        ".env is not readable in hosts",
        "OPENAI_API_KEY belongs into [tenants.NAME.api_keys] or [defaults.api_keys], as openai = { env = \"OPENAI_API_KEY\" }",
        "DATABASE_PASSWORD belongs into [tenants.NAME.env] or [runtimes.agency.env], as DATABASE_PASSWORD = { env =",
        "MODE belongs into [runtimes.agency.env]",
        "LIVEKIT_API_SECRET belongs into the supervisor's own environment",
    ] {
        assert!(warning.contains(part), "{part}\n{warning}");
    }
    assert!(!warning.contains("CANARY") && !warning.contains("ELEVEN"), "{warning}");
    assert_eq!(python(&config).folder(), PathBuf::from(place.path()));
}

#[test]
fn requiring_a_zygote_is_asked_of_the_runtimes_that_are_used() {
    let config = place().load(&format!("{APP}[runtimes.agency.wall]\nrequire = [\"zygote\"]\n")).unwrap();
    assert!(config.requires_zygote(&runtime("agency")));
    assert!(!config.requires_zygote(&runtime("command")));
    let config =
        place().load(&format!("{APP}[wall]\nrequire = [\"zygote\"]\n[agents.a]\ncommand = [\"true\"]\n")).unwrap();
    assert!(config.requires_zygote(&runtime("agency")) && config.requires_zygote(&runtime("command")));
}
