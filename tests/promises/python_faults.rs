//! What goes wrong in a Python application has a name, and neither the zygote nor a sibling notices.

use openrtc_tests::{Running, Setup, python, until};
use serde_json::Value;

/// Scripts of `tests/python`, with a configuration for them. `APP` in it is the folder they lie in.
pub(crate) fn applications(scripts: &[&str], config: &str) -> Setup {
    let venv = python::required();
    let app = "DIR/app/";
    let base = format!(
        "config_version = 1\n[observers.jsonl]\npath = \"DIR/state/events.jsonl\"\n{}",
        config.replace("APP/", app)
    );
    python::lay(Setup::new(&base).env("VIRTUAL_ENV", venv.dir()), scripts)
}

/// `[supervisor]` of these tests; the rest of the section may follow.
pub(crate) const SUPERVISOR: &str = "[supervisor]\nterminate_grace_s = 1\ninitialize_timeout_s = 60\n\
    restart_backoff_s = [0.01]\n";

/// Places a session, however lately a host of this tenant has died.
pub(crate) fn place(running: &Running, tenant: &str, agent: &str) -> String {
    until(&format!("{agent} is admitted"), || {
        let (answer, _) = running.dispatch(tenant, agent, &[]);
        let again = answer["reason"] == "host_unavailable";
        assert!(again || answer["admitted"].is_object(), "{answer}\n{}", running.log());
        answer["admitted"]["session"].as_str().map(str::to_owned)
    })
}

/// Runs one session to its end; the account of it.
pub(crate) fn run(running: &Running, tenant: &str, agent: &str) -> Value {
    let session = place(running, tenant, agent);
    running.ended(&session)
}

/// Places a session that stays, and waits until it runs.
pub(crate) fn stay(running: &Running, tenant: &str, agent: &str) -> String {
    let session = place(running, tenant, agent);
    until("the session runs", || {
        let (entry, _) = running.json(&["session", "show", &session]);
        assert_ne!(entry["state"], "ended", "{entry}\n{}", running.log());
        entry["started_at_unix_ms"].as_u64()
    });
    session
}

/// The pid of a runtime's zygote: a host that it forked, which has its command line, is younger.
pub(crate) fn zygote(running: &Running, script: &str) -> u32 {
    let is_one = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(script)
    };
    let begun = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next()?.split(' ').nth(19)?.parse::<u64>().ok()
    };
    until("there is a zygote", || running.descendants().into_iter().filter(is_one).min_by_key(begun))
}

/// Whether a host comes from a zygote.
pub(crate) fn is_forked(host: &Value) -> bool {
    matches!(host["spawned_by"].as_str(), Some("zygote" | "ahead"))
}

/// The message of a start that was refused.
fn refused(setup: Setup) -> (Option<i32>, String) {
    let mut running = setup.launch();
    let status = until("the start is refused", || running.child.try_wait().expect("look at the supervisor"));
    (status.code(), running.log())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a session of this agent of `faulty.py` ends with: reason, part of the error.
const FAULTS: [(&str, &str, &str); 9] = [
    ("unbuildable", "error", "LookupError: no such customer: 4711 (faulty.py:"),
    ("raises", "error", "LookupError: on_enter broke: 4711 (faulty.py:"),
    ("exits", "error", "the agent called sys.exit(3)"),
    ("reads", "wall_denied", "`[wall] read_paths = [\"OUTSIDE\"]` grants it"),
    ("reads-deep", "wall_denied", "it ended as RuntimeError: the voice model is broken (faulty.py:"),
    ("reads-dotenv", "wall_denied", "APP/.env: keys belong under [tenants.*]"),
    ("listens", "error", "PermissionError: [Errno 1] Operation not permitted (faulty.py:"),
    ("exits-at-once", "host_exit", "its host exited with code 4"),
    ("segfaults", "host_signal", "its host died by signal 11"),
];

fn faulty() -> Running {
    let config = format!(
        "{SUPERVISOR}[wall]\nheartbeat_interval_s = 1\nunresponsive_warn_ms = 500\nunresponsive_kill_s = 3\n\
         [runtimes.faulty]\nkind = \"python\"\napp = \"APP/faulty.py\"\n\
         [runtimes.faulty.env]\nOUTSIDE = \"DIR/outside\"\n[tenants.acme]\n[tenants.globex]\n"
    );
    let setup = applications(&["faulty.py"], &config).file("outside", b"x").file("app/.env", b"OPENAI_API_KEY=x\n");
    setup.start()
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_fault_of_an_agent_is_its_own_sessions_alone_and_has_a_name() {
    let running = faulty();
    let zygote_was = zygote(&running, "faulty.py");
    let sibling = stay(&running, "acme", "waits");
    let beside = stay(&running, "globex", "waits");
    let place_of = |file: &str| running.dir().join(file).display().to_string();
    for (agent, reason, error) in FAULTS {
        let error = error.replace("OUTSIDE", &place_of("outside")).replace("APP", &place_of("app"));
        let ended = run(&running, "globex", agent);
        assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", reason), "{agent}: {ended}");
        assert!(text(&ended["error"]).contains(&error), "{agent}: {ended}");
        let last = text(&ended["evidence"]["last_stderr"]);
        match agent {
            "segfaults" => assert!(last.starts_with("Fatal Python error: Segmentation fault"), "{ended}"),
            "exits-at-once" => assert_eq!(last, "the licence is over: 4711"),
            "reads" | "reads-deep" => assert_eq!(ended["reason_detail"]["path"], place_of("outside"), "{ended}"),
            _ => {}
        }
        if agent == "segfaults" {
            assert!(last.contains("faulty.py\", line ") && last.contains(" in on_enter"), "{last}");
        }
        if reason != "host_exit" && reason != "host_signal" {
            // A fault that leaves the process alone leaves the other sessions of its own host alone too.
            assert_eq!(running.json(&["session", "show", &beside]).0["state"], "live", "{agent}");
        }
    }
    assert_eq!(running.ended(&beside)["reason"], "host_exit", "the process was its own too");
    assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live");
    assert_eq!(zygote(&running, "faulty.py"), zygote_was);
    assert!(is_forked(&running.hosts_of("acme")[0]));
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_agent_that_blocks_the_loop_is_marked_as_slow_and_one_that_never_ends_it_is_killed_as_unresponsive() {
    let running = faulty();
    let sibling = stay(&running, "acme", "waits");
    let slow = place(&running, "acme", "stutters");
    until("its lag is shown", || {
        let (entry, _) = running.json(&["session", "show", &slow]);
        assert_eq!(entry["state"], "live", "{entry}");
        (entry["row"]["status"] == "slow").then_some(())
    });
    let blocks = place(&running, "globex", "blocks");
    until("its host is condemned", || {
        running.hosts_of("globex").first().is_some_and(|host| !host["condemned"].is_null()).then_some(())
    });
    let ended = running.ended(&blocks);
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "unresponsive"), "{ended}");
    assert_eq!(ended["exit"]["reason"], "heartbeat_lost", "{ended}");
    assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live");
    assert_eq!(run(&running, "globex", "fine")["status"], "success", "its tenant goes on");
}

fn out_of_memory(cgroup: &str) {
    let config = format!(
        "{SUPERVISOR}[wall]\nmemory_max_mb = 160\n[wall.cgroup]\nmode = \"{cgroup}\"\n\
         [runtimes.faulty]\nkind = \"python\"\napp = \"APP/faulty.py\"\n[tenants.acme]\n[tenants.globex]\n"
    );
    let running = applications(&["faulty.py"], &config).start();
    let zygote_was = zygote(&running, "faulty.py");
    let sibling = stay(&running, "acme", "waits");
    let ended = run(&running, "globex", "hoards");
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "memory_limit"), "{ended}");
    let exit = text(&ended["exit"]["reason"]);
    assert!(exit == "mem_watchdog" || (cgroup == "auto" && exit == "oom_own_limit"), "{ended}");
    assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live");
    assert_eq!(zygote(&running, "faulty.py"), zygote_was);
    assert_eq!(run(&running, "globex", "fine")["status"], "success", "its tenant goes on");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_host_out_of_memory_is_named_so() {
    out_of_memory("auto");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_host_out_of_memory_is_named_so_without_a_cgroup() {
    out_of_memory("off");
}

/// An application, and what the start that it refuses says.
const UNLOADABLE: [(&str, &str); 7] = [
    (
        "app = \"APP/unimportable.py\"",
        "ModuleNotFoundError: No module named 'module_that_nobody_has_installed' (unimportable.py:3)",
    ),
    ("app = \"APP/quits.py\"", "it called sys.exit('no licence file: 4711') before it gave a pool"),
    ("app = \"APP/runs_nothing.py\"", "ended without pool.run(), cli.run_app(…) or server.run()"),
    ("app = \"app.nowhere:pool\"", "there is no module 'app.nowhere' in "),
    ("app = \"app.runs_nothing:server\"", "app.runs_nothing has no attribute 'server'; of those it has none"),
    ("app = \"app.runs_nothing:pool\"", "app.runs_nothing:pool is of type builtins.int, not an openrtc.AgentPool"),
    ("app = \"app.runs_nothing:entrypoint\"", "a function that is not async"),
];

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_application_that_cannot_be_loaded_refuses_the_start_with_the_reason() {
    for (app, why) in UNLOADABLE {
        let config = format!("{SUPERVISOR}[runtimes.app]\nkind = \"python\"\n{app}\npreload = []\n");
        let (code, log) = refused(applications(&["unimportable.py", "quits.py", "runs_nothing.py"], &config));
        assert_eq!(code, Some(2), "{app}: {log}");
        assert!(log.contains("load the application of runtime app: ") && log.contains(why), "{app}: {log}");
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_agent_that_the_application_does_not_register_refuses_the_start_and_lists_those_it_has() {
    let config = format!(
        "{SUPERVISOR}[runtimes.app]\nkind = \"python\"\napp = \"APP/threaded.py\"\n\
         [agents.support]\nruntime = \"app\"\n"
    );
    let (code, log) = refused(applications(&["threaded.py"], &config));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("support") && log.contains("threads"), "{log}");
}

/// What stands in for an interpreter, and what the start says of it.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_interpreter_that_cannot_be_a_host_refuses_the_start_with_both_versions_and_the_one_command() {
    let ours = env!("CARGO_PKG_VERSION");
    let version = |json: &str| format!("#!/bin/sh\ncase \"$*\" in *version) echo '{json}';; *) echo 3.12.1;; esac\n");
    let cases = [
        (
            "#!/bin/sh\ncase \"$*\" in *version) echo 'No module named openrtc_host' >&2; exit 1;; *) echo 3.12.1;; esac\n"
                .to_owned(),
            format!("it has no openrtc_host, and openrtc_host {ours} is needed (Python 3.12.1)"),
            "python -m pip install ./tenant-host/python",
        ),
        (
            version(r#"{"openrtc_host": "0.0.7", "python": "3.12.1"}"#),
            format!("its openrtc_host is 0.0.7, and openrtc_host {ours} is needed (Python 3.12.1)"),
            "python -m pip install ./tenant-host/python",
        ),
        (
            "#!/bin/sh\ncase \"$*\" in *version) exit 1;; *) echo 3.9.2;; esac\n".to_owned(),
            "it is Python 3.9.2, and hosts need Python 3.11 to 3.13".to_owned(),
            "make an environment with one of those",
        ),
    ];
    for (script, why, remedy) in cases {
        let config = format!(
            "{SUPERVISOR}[runtimes.app]\nkind = \"python\"\npython = \"DIR/python\"\napp = \"APP/threaded.py\"\n"
        );
        let (code, log) = refused(applications(&["threaded.py"], &config).script("python", &script));
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(&why) && log.contains(remedy), "{why}; {remedy}: {log}");
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_prewarm_that_raises_or_hangs_ends_its_own_sessions_alone() {
    let config = "[supervisor]\nterminate_grace_s = 1\ninitialize_timeout_s = 12\nrestart_backoff_s = [0.01]\n\
         spawn_attempts = 1\n[tenants.acme]\n\
         [runtimes.raises]\nkind = \"python\"\napp = \"APP/prewarm_raises.py\"\npreload = [\"livekit.agents\"]\n\
         [runtimes.hangs]\nkind = \"python\"\napp = \"APP/prewarm_hangs.py\"\npreload = [\"livekit.agents\"]\n";
    let running = applications(&["prewarm_raises.py", "prewarm_hangs.py"], config).start();
    let hangs = place(&running, "acme", "prewarm-hangs");
    let ended = run(&running, "acme", "prewarm-raises");
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "setup_failed"), "{ended}");
    assert!(text(&ended["error"]).contains("LookupError: no model: 4711 (prewarm_raises.py:"), "{ended}");
    let ended = running.ended(&hangs);
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "init_timeout"), "{ended}");
    zygote(&running, "prewarm_raises.py");
    zygote(&running, "prewarm_hangs.py");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_application_that_cannot_be_loaded_in_the_zygote_has_cold_hosts_and_the_reason_is_shown() {
    let zygotes = "[runtimes.raises]\nkind = \"python\"\napp = \"APP/prewarm_raises.py\"\nload_app = \"zygote\"\n\
         preload = [\"livekit.agents\"]\n\
         [runtimes.threaded]\nkind = \"python\"\napp = \"APP/threaded.py\"\nload_app = \"zygote\"\n";
    let scripts = ["prewarm_raises.py", "threaded.py"];
    let running = applications(&scripts, &format!("{SUPERVISOR}{zygotes}[tenants.acme]\n")).start();
    let spawn = |runtime: &str| {
        let snapshot = running.snapshot();
        let rows = snapshot["zygotes"].as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|row| row["runtime"] == runtime).expect("a row");
        (text(&row["spawn"]).to_owned(), text(&row["remedy"]).to_owned())
    };
    let (threaded, remedy) = spawn("threaded");
    assert!(threaded.starts_with("cold (") && threaded.contains("thread 'metrics-flusher'"), "{threaded}");
    assert!(threaded.contains("started by loading ") && !remedy.is_empty(), "{threaded}: {remedy}");
    let (raises, _) = spawn("raises");
    assert!(raises.starts_with("cold (") && raises.contains("LookupError: no model: 4711"), "{raises}");
    assert_eq!(run(&running, "acme", "threads")["status"], "success", "{}", running.log());
    let host = running.hosts_of("acme").remove(0);
    assert!(text(&host["spawned_by"]).contains("thread 'metrics-flusher'"), "{host}");
    let shown = running.cli(&["host", "list"]).stdout;
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("SPAWN") && shown.contains(" cold "), "{shown}");
    drop(running);
    let required = format!("{SUPERVISOR}{zygotes}[wall]\nrequire = [\"zygote\"]\n");
    let (code, log) = refused(applications(&scripts, &required));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("zygote") && log.contains("metrics-flusher"), "{log}");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_key_that_is_missing_in_a_host_is_told_with_the_line_that_gives_it_and_no_key_is_told() {
    let config = format!(
        "{SUPERVISOR}[runtimes.keyed]\nkind = \"python\"\napp = \"APP/keyed.py\"\n\
         [runtimes.inference]\nkind = \"python\"\napp = \"APP/inference.py\"\npreload = [\"livekit.agents\"]\n\
         [runtimes.tells]\nkind = \"python\"\napp = \"APP/tells_its_key.py\"\npreload = [\"livekit.agents\"]\n\
         [runtimes.dotenv]\nkind = \"python\"\napp = \"APP/dotenv_beside.py\"\npreload = [\"livekit.agents\"]\n\
         [tenants.acme]\n[tenants.globex.api_keys]\nopenai = {{ env = \"GLOBEX_KEY\" }}\n\
         [tenants.typo]\ntenant_config = {{ llm = {{ provider = \"openai\", temprature = 0.3 }} }}\n\
         [tenants.typo.api_keys]\nopenai = {{ env = \"GLOBEX_KEY\" }}\n"
    );
    let scripts = ["keyed.py", "inference.py", "tells_its_key.py", "dotenv_beside.py"];
    let setup = applications(&scripts, &config).file("app/.env", b"SOME_KEY=x\n");
    let setup = setup.env("OPENAI_API_KEY", "canary-of-the-supervisor").env("GLOBEX_KEY", "canary-of-globex");
    let running = setup.start();

    let ended = run(&running, "acme", "keyed");
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "setup_failed"), "{ended}");
    let line = "OPENAI_API_KEY is set here but not given to hosts; add [defaults.api_keys] openai = { env = \"OPENAI_API_KEY\" }";
    assert!(text(&ended["error"]).contains(line), "{ended}");
    let ended = run(&running, "globex", "keyed");
    assert_ne!(ended["reason"], "setup_failed", "its tenant has a key: {ended}");

    let ended = run(&running, "globex", "tells");
    assert!(text(&ended["error"]).contains("ValueError: the key ***"), "{ended}");
    assert!(!ended.to_string().contains("canary"), "{ended}");

    let ended = run(&running, "acme", "inference");
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "config_error"), "{ended}");
    let error = text(&ended["error"]);
    assert!(error.contains("inference.py uses a LiveKit Inference model"), "{error}");
    assert!(
        error.contains("LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET under [tenants.NAME.env]"),
        "{error}"
    );

    let ended = run(&running, "typo", "dotenv");
    assert_eq!((text(&ended["status"]), text(&ended["reason"])), ("failed", "config_error"), "{ended}");
    let error = text(&ended["error"]);
    assert!(error.contains("livekit.plugins.openai.LLM takes no 'temprature'; it takes: "), "{error}");
    assert!(error.contains("temperature"), "{error}");

    assert_eq!(run(&running, "acme", "dotenv")["status"], "success", "a `.env` that it may not read breaks nothing");
    let log = running.log();
    assert!(!log.contains("canary"), "{log}");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn what_a_script_asks_for_and_does_not_get_is_told_once_with_both_values() {
    let config = format!(
        "{SUPERVISOR}max_concurrent_sessions = 7\ndrain_timeout_s = 20\n[circuit_breaker]\nenabled = true\n\
         cooldown_s = 12\n[wall]\nmemory_max_mb = 400\n\
         [runtimes.asking]\nkind = \"python\"\napp = \"APP/asking.py\"\n\
         [tenants.acme-corp]\nmax_sessions = 2\n[tenants.globex]\n"
    );
    let running = applications(&["asking.py"], &config).start();
    for tenant in ["acme-corp", "globex"] {
        assert_eq!(run(&running, tenant, "support")["status"], "success", "{}", running.log());
    }
    let log = running.log();
    let told = |what: &str| log.lines().filter(|line| line.contains("NOT IN FORCE") && line.contains(what)).count();
    for what in [
        "drain_timeout = 45: in force is [supervisor] drain_timeout_s = 20; to keep the script's write [supervisor] drain_timeout_s = 45",
        "deployment_version = 'scripts-own'",
        "max_sessions_per_agent",
    ] {
        assert_eq!(told(what), 1, "{what}: {log}");
    }
    for in_force in [
        "max_concurrent_sessions",
        "memory_limit_mb",
        "enable_tenant_circuit_breaker",
        "tenant_circuit_cooldown_s",
        "max_sessions_per_tenant",
    ] {
        assert_eq!(told(in_force), 0, "{in_force}: {log}");
    }
}
