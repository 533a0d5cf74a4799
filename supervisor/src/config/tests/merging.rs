//! Layers, aliases, included files and relative paths.

use openrtc_ipc::{CpuMax, RunAs, RuntimeName, TenantId, Wall};
use openrtc_policy::rules::HostScope;

use super::{AGENT, Place, loaded};

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn runtime(name: &str) -> RuntimeName {
    RuntimeName::parse(name).unwrap()
}

#[test]
fn layers_of_walls_merge_runtime_over_all_and_tenant_over_runtime() {
    let config = loaded(
        "[wall]\nmemory_max_mb = 100\npids_max = 10\ncpu_weight = 7\nrequire = [\"memory\"]\nread_paths = [\"/a\"]\n\
         [runtimes.r]\nkind = \"program\"\ncommand = [\"true\"]\n[runtimes.r.wall]\nmemory_max_mb = 200\npids_max = 20\n\
         [tenants.t.wall]\nmemory_max_mb = \"off\"\nrun_as = \"5000:5001\"\nrequire = [\"uid\"]\nread_paths = [\"/b\"]\n\
         cpu_max_pct = 150",
    );
    let wall = config.wall(&tenant("t"), &runtime("r"));
    assert_eq!((wall.memory_bytes_max, wall.pids_max, wall.cpu_weight), (None, Some(20), 7));
    assert_eq!(wall.require, [Wall::Memory, Wall::Uid]);
    assert_eq!(wall.read_paths, [std::path::PathBuf::from("/a"), "/b".into()]);
    assert_eq!((wall.run_as, wall.cpu_max), (RunAs::Fixed { uid: 5000, gid: 5001 }, CpuMax::Percent(150)));
    let command = config.wall(&tenant("t"), &runtime("command"));
    assert_eq!(command.pids_max, Some(10));
}

#[test]
fn lifetime_cpu_holds_only_where_hosts_live_one_session() {
    let text =
        "[supervisor]\nhost_scope = \"session\"\n[wall]\ncpu_seconds_max = 60\n[tenants.t.wall]\ncpu_seconds_max = 5";
    let config = loaded(text);
    assert_eq!(config.wall(&tenant("x"), &runtime("command")).cpu_seconds_max, Some(60));
    assert_eq!(config.wall(&tenant("t"), &runtime("command")).cpu_seconds_max, Some(5));
    let faults = super::faults(&format!("{text}\n[tenants.u]\nhost_scope = \"tenant\""));
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with("F:4: wall.cpu_seconds_max = 60: would kill the host of tenant u"), "{faults:#?}");
    // Off for that tenant, or its scope set for it alone: both are valid.
    loaded(&format!("{text}\n[tenants.u]\nhost_scope = \"tenant\"\n[tenants.u.wall]\ncpu_seconds_max = \"off\""));
    let config = loaded("[tenants.t]\nhost_scope = \"session\"\n[tenants.t.wall]\ncpu_seconds_max = 5");
    assert_eq!(config.host_scope(&tenant("t")), HostScope::Session);
    assert_eq!(config.wall(&tenant("t"), &runtime("command")).cpu_seconds_max, Some(5));
}

#[test]
fn the_seeds_spellings_are_taken() {
    let config = loaded(
        "[supervisor]\ndrain_timeout = 45\nenable_tenant_circuit_breaker = true\ntenant_circuit_cooldown_s = 12.5\n\
         memory_limit_mb = 2000\nmemory_warn_mb = 1000\nintrospection_socket_path = \"t.sock\"\n\
         max_sessions_per_tenant = { acme = 50, globex = 100 }\n\
         [circuit_breaker]\nwithin = 61\n[tenants.initech]\nmax_sessions_per_tenant = 3\nmemory_limit_mb = 64\n\
         [tenants.initech.circuit_breaker]\nerrors = 10\nwithin = 60\ncooldown = 300",
    );
    let rules = &config.rules;
    assert_eq!(rules.drain_timeout_ms, 45_000);
    assert!(rules.breaker.enabled);
    assert_eq!((rules.breaker.cooldown_ms, rules.breaker.window_ms), (12_500, 61_000));
    let wall = config.wall(&tenant("x"), &runtime("command"));
    assert_eq!((wall.memory_bytes_max, wall.memory_warn_pct), (Some(2000 << 20), 50));
    assert_eq!(config.supervisor.openrtc_top_socket, Some("/run/test/t.sock".into()));
    let cap = |id: &str| rules.tenants[&tenant(id)].max_sessions;
    assert_eq!((cap("acme"), cap("globex"), cap("initech")), (Some(50), Some(100), Some(3)));
    let initech = &rules.tenants[&tenant("initech")].breaker;
    assert_eq!((initech.min_samples, initech.window_ms, initech.cooldown_ms), (10, 60_000, 300_000));
    assert_eq!(config.wall(&tenant("initech"), &runtime("command")).memory_bytes_max, Some(64 << 20));
    let config = loaded("[supervisor]\nmax_sessions_per_tenant = 9\n[tenants.a]\n[tenants.b]\nmax_sessions = \"off\"");
    assert_eq!(config.rules.default_max_sessions, Some(9));
    assert_eq!(config.rules.tenants[&tenant("a")].max_sessions, Some(9));
    assert_eq!(config.rules.tenants[&tenant("b")].max_sessions, None);
}

#[test]
fn a_file_for_each_tenant_is_read_beside_the_main_one() {
    let place = Place::new();
    place.write("tenants.d/acme.toml", "max_sessions = 5\n[wall]\nread_paths = [\"voices\"]\n", 0o644);
    place.write("tenants.d/globex.toml", "name = \"Globex\"\n", 0o644);
    place.write("tenants.d/.hidden.toml", "nonsense", 0o644);
    place.write("tenants.d/README.md", "nonsense", 0o644);
    let config = place.load(&format!("[tenants.initech]\n{AGENT}")).unwrap();
    let ids: Vec<&str> = config.tenants.keys().map(TenantId::as_str).collect();
    assert_eq!(ids, ["acme", "globex", "initech"]);
    assert_eq!(config.rules.tenants[&tenant("acme")].max_sessions, Some(5));
    let wall = config.wall(&tenant("acme"), &runtime("command"));
    assert_eq!(wall.read_paths, [place.path().join("tenants.d/voices")]);
    let off = place.load(&format!("[include]\ntenants_dir = \"off\"\n{AGENT}")).unwrap();
    assert!(off.tenants.is_empty());
}

#[test]
fn faults_in_a_tenants_file_name_that_file() {
    let place = Place::new();
    place.write("more/acme.toml", "\nmax_sessions = 0\n[tenants.acme]\n", 0o644);
    let error = place.load(&format!("[include]\ntenants_dir = \"more\"\n{AGENT}")).unwrap_err().to_string();
    assert!(error.contains("more/acme.toml:2: tenants.acme.max_sessions = 0: is out of range"), "{error}");
    assert!(error.contains("acme.toml:3: tenants.acme.tenants: stands in a file of one tenant"), "{error}");
}

#[test]
fn programs_are_found_on_the_allowed_path_and_relative_ones_beside_the_file() {
    let place = Place::new();
    let program = place.write("bin/agent", "#!/bin/sh\n", 0o755);
    let config = place
        .load(
            "[runtimes.r]\nkind = \"program\"\ncommand = [\"bin/agent\", \"-v\"]\n[runtimes.r.env]\nMODE = \"x\"\n\
             PATH = \"/opt\"\n[agents.b]\nruntime = \"r\"\n[agents.a]\ncommand = [\"sh\", \"-c\", \"exit\"]",
        )
        .unwrap();
    let sh = &config.agents[1].command;
    assert!(sh[0].starts_with('/') && sh[0].ends_with("/sh") && sh[1] == "-c", "{sh:?}");
    let program = openrtc_ipc::Program {
        argv: vec![program.display().to_string(), "-v".to_owned()],
        env: config.program(&runtime("r"), "/w".as_ref()).unwrap().env,
    };
    assert_eq!(config.program(&runtime("r"), "/w".as_ref()), Some(program.clone()));
    let paths: Vec<_> = program.env.iter().filter(|(name, _)| name == "PATH").collect();
    assert_eq!(paths, [&("PATH".to_owned(), "/opt".to_owned())]);
    assert!(program.env.contains(&("HOME".to_owned(), "/w".to_owned())));
    assert!(program.env.contains(&("PYTHON_DOTENV_DISABLED".to_owned(), "1".to_owned())));
    assert_eq!(config.program(&runtime("command"), "/w".as_ref()), None);
}
