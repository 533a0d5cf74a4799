//! Faulty files, and the messages that they get.

use super::{AGENT, Place, faults, loaded};

/// Text and the one fault it has.
pub(super) const ONE_FAULT: &[(&str, &str)] = &[
    (
        "[supervisor]\nmax_session = 5",
        "F:2: supervisor.max_session: unknown key: did you mean `max_sessions_per_host`?",
    ),
    ("[supervisor]\nmax_host = 5", "F:2: supervisor.max_host: unknown key: did you mean `max_hosts`?"),
    ("[supervisor]\nmemory_max_mb = 5", "F:2: supervisor.memory_max_mb: unknown key: it belongs to [wall]"),
    ("[supervisr]\nmax_hosts = 5", "F:1: supervisr: unknown key: did you mean `supervisor`?"),
    ("[supervisor]\nmax_hosts = 0", "F:2: supervisor.max_hosts = 0: is out of range: give 1 to 10000"),
    (
        "[supervisor]\nmax_hosts = \"many\"",
        "F:2: supervisor.max_hosts = \"many\": is text, not a whole number: give a whole number",
    ),
    (
        "[supervisor]\ndefault_max_sessions = 0",
        "F:2: supervisor.default_max_sessions = 0: is out of range: give 1 to 100000, or \"off\" for none",
    ),
    (
        "[supervisor]\nmax_hosts = \"off\"",
        "F:2: supervisor.max_hosts = \"off\": is text, not a whole number: give a whole number",
    ),
    (
        "[supervisor]\ndrain_timeout_s = 0",
        "F:2: supervisor.drain_timeout_s = 0: is out of range: give 1 to 86400 seconds",
    ),
    (
        "[supervisor]\ndrain_timeout_s = nan",
        "F:2: supervisor.drain_timeout_s = NaN: is out of range: give 1 to 86400 seconds",
    ),
    (
        "[supervisor]\nisolation = \"coroutine\"",
        "F:2: supervisor.isolation = \"coroutine\": is not what this builds: use \"process\"; for sessions as coroutines of one process run OpenRTC itself",
    ),
    (
        "[supervisor]\nhost_scope = \"room\"",
        "F:2: supervisor.host_scope = \"room\": is none of the choices: use \"tenant\" or \"session\"",
    ),
    (
        "[supervisor]\ncontrol_listen = \"127.0.0.1:8082\"",
        "F:2: supervisor.control_listen = \"127.0.0.1:8082\": has no token: give supervisor.control_token as { env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }",
    ),
    (
        "[supervisor]\ncontrol_listen = \"0.0.0.0:8082\"\ncontrol_token = { env = \"T\" }",
        "F:2: supervisor.control_listen = \"0.0.0.0:8082\": can be reached by other machines: listen on 127.0.0.1, or say control_listen_public = true; what travels there is not encrypted",
    ),
    (
        "[supervisor]\nhealth_listen = 65536",
        "F:2: supervisor.health_listen = \"65536\": is no address to listen on: give \"off\", or an IP address and a port, as \"0.0.0.0:8081\"",
    ),
    (
        "[supervisor]\ncontrol_group = \"nobody-has-this\"",
        "F:2: supervisor.control_group = \"nobody-has-this\": is no group here: make it (`groupadd --system nobody-has-this`), or name one of /etc/group",
    ),
    (
        "[traces]\notlp_endpoint = \"https://me:secret@otlp.example.com\"",
        "F:2: traces.otlp_endpoint: is no address of a collector: give \"off\", or http://HOST:PORT of a collector beside us, as \"http://127.0.0.1:4318\"",
    ),
    (
        "[supervisor]\nrestart_backoff_s = [1, 0]",
        "F:2: supervisor.restart_backoff_s[1] = 0: is out of range: give 0.01 to 86400 seconds",
    ),
    (
        "[livekit]\nurl = \"ftp://h\"\napi_key = \"k\"\napi_secret = { env = \"S\" }",
        "F:2: livekit.url: is no server's URL: it begins with none of ws://, wss://, http://, https://: write url = \"wss://HOST\", as LiveKit's console shows it",
    ),
    ("[budgets]\n", "F:1: budgets: is not built in this version: remove it"),
    ("[tiers.gold]\n", "F:1: tiers: is not built in this version: set the numbers in each [tenants.NAME]"),
    ("config_version = 2", "F:1: config_version = 2: is out of range: give 1"),
    (
        "[wall]\ncpu_seconds_max = 60",
        "F:2: wall.cpu_seconds_max = 60: would kill a tenant's host after so much CPU in its whole life: use host_scope = \"session\", or cpu_max_pct to slow hosts down",
    ),
    (
        "[supervisor]\nopenrtc_top_socket = \"top.sock\"\n[wall]\nunix_sockets = true",
        "F:2: supervisor.openrtc_top_socket = \"top.sock\": can be read by hosts that have unix_sockets = true: it asks for no token: remove one of the two, or use `openrtc-supervisor snapshot`",
    ),
    ("[wall]\nrequire = [\"memroy\"]", "F:2: wall.require[0] = \"memroy\": is no wall: did you mean \"memory\"?"),
    (
        "[wall]\nrun_as = \"0:0\"",
        "F:2: wall.run_as = \"0:0\": is no identity: use \"auto\", \"same\" or \"UID:GID\" in numbers, neither of them 0",
    ),
    (
        "[wall]\nuid_range = [0, 5]",
        "F:2: wall.uid_range = […]: is no range of user ids: write [FIRST, LAST], both from 1000 to 4294967293, as in [200000, 265535]",
    ),
    (
        "[wall.cgroup]\nparent = \"a/../..\"",
        "F:2: wall.cgroup.parent = \"a/../..\": leaves the cgroup hierarchy: write it without ..",
    ),
    (
        "[wall]\nconnect_ports = [443, 70000]",
        "F:2: wall.connect_ports = […]: is no list of ports: write \"any\", or a list of TCP ports from 1 to 65535",
    ),
    (
        "[wall]\nunresponsive_warn_ms = 20000",
        "F:1: wall.unresponsive_kill_s = 15: is not above unresponsive_warn_ms = 20000: warn first, kill later",
    ),
    ("wall = 5", "F:1: wall: is a number, not a table: write [wall] and its keys below"),
    (
        "[circuit_breaker]\nfailure_ratio = 1.0",
        "F:2: circuit_breaker.failure_ratio = 1: is out of range: give 0.01 to 0.99",
    ),
    (
        "[agents.x]\ncommand = [\"no-such-program\"]",
        "F:2: agents.x.command[0] = \"no-such-program\": no such program: install it there, or write its path; searched: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    (
        "[agents.x]\n",
        "F:1: agents.x: has no command: add command = [\"./program\"], or runtime = \"NAME\" of [runtimes.NAME]",
    ),
    ("[agents.x]\nruntime = \"pyhton\"", "F:2: agents.x.runtime = \"pyhton\": names no runtime: use one of command"),
    (
        "[agents.\"a b\"]\ncommand = [\"true\"]",
        "F:1: agents.\"a b\": is no agent name: agent name must be 1-64 characters of ASCII letters, digits, dashes, or underscores, not \"a b\"",
    ),
    (
        "[agents.x]\ncommand = [\"true\"]\napi_keys = {}",
        "F:3: agents.x.api_keys: is not built in this version: put keys under [defaults.api_keys] or [tenants.NAME.api_keys]",
    ),
    (
        "[runtimes.py]\nkind = \"pyhton\"",
        "F:2: runtimes.py.kind = \"pyhton\": is no kind of runtime: use \"python\" or \"program\"",
    ),
    ("[runtimes.py]\n", "F:1: runtimes.py.kind: is missing: write kind = \"python\" or \"program\""),
    (
        "[runtimes.py]\nkind = \"program\"\ncommand = [\"true\"]\napp = \"main.py\"",
        "F:4: runtimes.py.app: belongs to kind = \"python\": remove it, or change the kind",
    ),
    (
        "[runtimes.mine]\nkind = \"program\"",
        "F:1: runtimes.mine: has no command: add command = [\"./program\"], a program that speaks the host protocol",
    ),
    (
        "[runtimes.command]\nkind = \"program\"\ncommand = [\"true\"]",
        "F:1: runtimes.command: is built in: give this runtime another name",
    ),
    (
        "[routing]\nfallback = \"suport\"",
        "F:2: routing.fallback = \"suport\": names no agent: did you mean \"support\"?",
    ),
    (
        "[[routing.rule]]\ntenant = \"acme\"\nagent = \"sales\"",
        "F:3: routing.rule[0].agent = \"sales\": names no agent: use one of support",
    ),
    (
        "[tenants.acme]\nallowed_agents = [\"sales\"]",
        "F:2: tenants.acme.allowed_agents[0] = \"sales\": names no agent: use one of support",
    ),
    (
        "[tenants.\"a/b\"]\n",
        "F:1: tenants.\"a/b\": is no tenant id: Tenant id must be 1-128 characters of ASCII letters, digits, dashes, or underscores, not \"a/b\"",
    ),
    ("[tenants]\nacme = 5", "F:2: tenants.acme = 5: is not a table: write [tenants.acme] and its keys below"),
    (
        "[tenants.acme]\n[tenants.\" acme\"]\n",
        "F:2: tenants.\" acme\": tenant acme is configured twice, first in F:1: keep one of the two",
    ),
    ("[tenants.acme]\nbudget = 5", "F:2: tenants.acme.budget: is not built in this version: remove it"),
    (
        "[tenants.acme.tenant_config]\nprompt = \"x\"",
        "F:2: tenants.acme.tenant_config.prompt: is no provider: a different prompt is a different agent; or put it into [tenants.NAME.agent_config]",
    ),
    (
        "[tenants.acme.tenant_config]\nllm = \"gpt-4o\"",
        "F:2: tenants.acme.tenant_config.llm = \"gpt-4o\": is no provider: write \"plugin/model\", \"inference:plugin/model\" or { provider = \"…\", model = \"…\" }",
    ),
    (
        "[tenants.acme.tenant_config]\nllm = { provider = \"openai\", api_key = \"CANARY\" }",
        "F:2: tenants.acme.tenant_config.llm.api_key: is a secret: put keys under api_keys, as references",
    ),
    (
        "[tenants.acme.wall]\nuid_range = [1000, 2000]",
        "F:2: tenants.acme.wall.uid_range: holds for all hosts alike: move it to [wall]",
    ),
    (
        "[tenants.acme.wall]\nsession_seconds_max = 5",
        "F:2: tenants.acme.wall.session_seconds_max: is not built for one tenant in this version: set it in [wall] or [runtimes.NAME.wall]",
    ),
    (
        "[tenants.acme.api_keys]\nopenai = \"CANARY\"",
        "F:2: tenants.acme.api_keys.openai: is a secret in plain text: write { env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }; or set supervisor.allow_literal_secrets = true and chmod 600 the file",
    ),
    (
        "[tenants.acme.api_keys]\nopenai = { env = \"A\", file = \"b\" }",
        "F:2: tenants.acme.api_keys.openai: must have exactly one key: write { env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }",
    ),
    (
        "[tenants.acme.api_keys]\nopenai = { vault = \"A\" }",
        "F:2: tenants.acme.api_keys.openai: is no reference to a secret: write { env = \"NAME\" }, { file = \"PATH\" }, { exec = [\"PROGRAM\", …] } or { credential = \"NAME\" }",
    ),
    (
        "[tenants.acme.api_keys]\nopenai = { credential = \"../x\" }",
        "F:2: tenants.acme.api_keys.openai: names no credential: write the name that stands in LoadCredential=, without a slash",
    ),
    (
        "[tenants.acme.env]\nOPENRTC_TENANT = \"x\"",
        "F:2: tenants.acme.env.OPENRTC_TENANT: is no variable to set: use letters, digits and _; names that begin with OPENRTC_ are ours",
    ),
    (
        "[rooms]\nnamespace_mode = \"tenant_prefix\"\n[tenants.acme]\n[tenants.acme_corp]\n[tenants.globex]",
        "F:4: tenants.acme_corp: its rooms (acme_corp_…) lie within those of tenant acme (acme_…): set rooms.separator = \".\", which no tenant id can contain, or rename one",
    ),
    (
        "[supervisor]\nmax_sessions_per_tenant = { acme = 5 }\n[tenants.acme]\nmax_sessions = 6",
        "F:2: supervisor.max_sessions_per_tenant.acme: says the same as max_sessions: keep one of the two",
    ),
    (
        "[wall]\nmemory_max_mb = 5000\nmemory_limit_mb = 4000",
        "F:3: wall.memory_limit_mb: says the same as memory_max_mb: keep one of the two",
    ),
    (
        "[supervisor]\nshared_keys = \"deny\"\n[tenants.a.api_keys]\nopenai = \"env:K\"\n[tenants.b.api_keys]\nopenai = { env = \"K\" }",
        "F:6: tenants.b.api_keys.openai = env:K: names the secret of tenant a, and shared_keys = \"deny\": give each tenant its own",
    ),
    ("[observers.voicegateway]\n", "F:1: observers.voicegateway: is not built in this version: use [observers.jsonl]"),
    (
        "[metrics]\njsonl_interval_s = 0.1",
        "F:2: metrics.jsonl_interval_s = 0.1: is out of range: give 0.25 to 3600 seconds",
    ),
    ("x = hello", "F:1: not TOML: string values must be quoted, expected literal string: correct the syntax"),
];

#[test]
fn every_faulty_file_gets_its_message() {
    let mut wrong = Vec::new();
    for (text, message) in ONE_FAULT {
        let found = faults(text);
        if found != [*message] {
            wrong.push(format!("for:\n{text}\nwanted: {message}\nfound:  {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = "[supervisor]\nmax_hosts = 0\nunknwn = 1\ndrain_timeout_s = \"x\"\n\
                [wall]\npids_max = -1\n[tenants.acme]\nallowed_agents = [\"nobody\"]\n[budgets]\n";
    let faults = faults(text);
    let lines: Vec<&str> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(lines, ["F:2", "F:3", "F:4", "F:6", "F:8", "F:9"], "{faults:#?}");
}

#[test]
fn several_syntax_errors_are_told_at_once_without_their_lines_text() {
    let faults = faults("a = CANARY-secret\nb = \"CANARY\nc = 1\n");
    assert!(faults.len() >= 2, "{faults:#?}");
    assert!(!faults.join("\n").contains("CANARY"), "{faults:#?}");
}

#[test]
fn without_agents_there_is_nothing_to_run() {
    let error = Place::new().load("").unwrap_err().to_string();
    assert!(error.contains("agents: no agent is configured: add [agents.NAME]"), "{error}");
}

#[test]
fn a_faulty_agent_does_not_make_its_name_unknown() {
    let faults = faults("[agents.x]\ncommand = [\"no-such-program\"]\n[tenants.acme]\nallowed_agents = [\"x\"]");
    assert_eq!(faults.len(), 1, "{faults:#?}");
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    let mut request = place.request(AGENT);
    request.path = Some(place.path().join("none.toml"));
    let error = super::Config::load(&request).unwrap_err().to_string();
    assert!(error.contains("none.toml: cannot be read: No such file"), "{error}");
}

#[test]
fn a_script_that_is_not_executable_gets_its_remedy() {
    let place = Place::new();
    place.write("agent.sh", "#!/bin/sh\n", 0o644);
    let error = place.load("[agents.a]\ncommand = [\"./agent.sh\"]").unwrap_err().to_string();
    assert!(error.contains("agent.sh is no executable file: chmod +x /"), "{error}");
}

#[test]
fn literals_need_the_key_and_a_private_file() {
    let place = Place::new();
    let text =
        format!("[supervisor]\nallow_literal_secrets = true\n[tenants.acme.api_keys]\nopenai = \"CANARY\"\n{AGENT}");
    let error = place.load(&text).unwrap_err().to_string();
    assert!(error.contains("is a secret in a file that others can read: chmod 600 /"), "{error}");
    assert!(!error.contains("CANARY"), "{error}");
    let path = place.write("openrtc-supervisor.toml", &text, 0o600);
    let request = super::LoadRequest { path: Some(path), ..place.request("") };
    place.write("openrtc-supervisor.toml", &text, 0o600);
    super::Config::load(&request).unwrap();
}

#[test]
fn a_tenant_in_the_file_and_in_the_directory_is_a_fault() {
    let place = Place::new();
    place.write("tenants.d/acme.toml", "max_sessions = 5\n", 0o644);
    let error = place.load(&format!("[tenants.acme]\n{AGENT}")).unwrap_err().to_string();
    assert!(
        error.contains("tenants.d/acme.toml: tenants.acme: tenant acme is configured twice, first in /"),
        "{error}"
    );
}

#[test]
fn suspicious_things_are_warned_of() {
    let config = loaded(
        "[wall]\nmemory_max_mb = 0\ncpu_max_pct = \"off\"\n[tenants.acme]\nmax_sessions = 500\n\
         [tenants.acme.wall]\npids_max = \"off\"\n[tenants.acme.tenant_config]\nstt = \"deepgran/nova\"\n\
         [tenants.acme.env]\nMY_API_KEY = \"x\"\nOTHER = \"env:Y\"\n[circuit_breaker]\nerrors = 10\n\
         [metrics]\nwithout_token = true",
    );
    for warning in [
        "metrics.without_token = true: has no port; set supervisor.health_listen, or scrape the control API",
        "NO MEMORY WALL: [wall] turns it off for every host",
        "NO CPU WALL: [wall] turns it off for every host",
        "NO PROCESS WALL: [tenants.acme.wall] turns it off",
        "tenants.acme.max_sessions = 500 is above supervisor.max_concurrent_sessions = 50, which holds on top",
        "tenants.acme.tenant_config.stt = \"deepgran\": did you mean \"deepgram\"?",
    ] {
        assert!(config.warnings.iter().any(|found| found == warning), "{warning}\n{:#?}", config.warnings);
    }
    for beginning in [
        "tenants.acme.env.MY_API_KEY looks like a secret in plain text",
        "tenants.acme.env.OTHER is passed on as the text \"env:…\"",
        "circuit_breaker.errors is read as min_samples",
    ] {
        assert!(
            config.warnings.iter().any(|found| found.starts_with(beginning)),
            "{beginning}\n{:#?}",
            config.warnings
        );
    }
}
