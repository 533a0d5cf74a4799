//! The proposed file, without what is built later, loads and means what it says.

use std::path::PathBuf;

use openrtc_ipc::{AgentName, CpuMax, DataMax, RunAs, RuntimeName, TenantId};
use openrtc_policy::rules::{Fallback, HostScope, TenantStatus};

use super::{AGENT, Place, loaded};
use crate::config::{Config, SharedKeys};
use crate::telemetry::Format;

const EXAMPLE: &str = include_str!("example.toml");

fn example(place: &Place) -> Config {
    place.write("segment.py", "#!/bin/sh\n", 0o755);
    place.load(EXAMPLE).unwrap()
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn command() -> RuntimeName {
    RuntimeName::parse("command").unwrap()
}

#[test]
fn the_proposed_file_loads() {
    let place = Place::new();
    let config = example(&place);
    assert_eq!(config.source, Some(place.path().join("openrtc-supervisor.toml")));
    assert_eq!(config.supervisor.control_socket, PathBuf::from("/run/test/control.sock"));
    assert_eq!(config.supervisor.openrtc_top_socket, Some(PathBuf::from("/run/test/top.sock")));
    assert_eq!(config.supervisor.state_dir, PathBuf::from("/state/test"));
    assert_eq!(config.supervisor.shared_keys, SharedKeys::Warn);
    assert_eq!(config.supervisor.deployment_version.as_deref(), Some("v1.0.0"));
    assert!(config.supervisor.worker_id.ends_with(&format!("-{}", std::process::id())));
    let rules = &config.rules;
    assert_eq!((rules.max_concurrent_sessions, rules.default_max_sessions), (50, None));
    assert_eq!(rules.restart_backoff_ms, [1_000, 2_000, 5_000, 15_000, 60_000]);
    assert_eq!(rules.routing.fallback, Fallback::Agent(AgentName::parse("support").unwrap()));
    let acme = &rules.tenants[&tenant("acme-corp")];
    assert_eq!((acme.status, acme.max_sessions), (TenantStatus::Active, Some(50)));
    assert_eq!(acme.host_scope, Some(HostScope::Session));
    assert_eq!(acme.breaker.cooldown_ms, 60_000);
    assert_eq!(rules.breaker.cooldown_ms, 30_000);
    assert_eq!(rules.tenants[&tenant("globex")].allowed_agents, None);
    let support = config.agent(&AgentName::parse("support").unwrap()).unwrap();
    assert_eq!(support.command, [place.path().join("segment.py").display().to_string()]);
    assert_eq!(config.logs.format, Format::Auto);
    assert_eq!(config.observers.jsonl, None);
}

#[test]
fn a_tenants_wall_lies_over_the_walls_of_all() {
    let config = example(&Place::new());
    assert_eq!(config.wall(&tenant("acme-corp"), &command()).memory_bytes_max, Some(2048 << 20));
    let globex = config.wall(&tenant("globex"), &command());
    assert_eq!(globex.memory_bytes_max, Some(1024 << 20));
    assert_eq!(config.wall(&tenant("stranger"), &command()), globex);
}

#[test]
fn an_absent_key_is_the_default_that_the_example_names() {
    let place = Place::new();
    let example = example(&place);
    let bare = Place::new().load("[agents.support]\ncommand = [\"true\"]").unwrap();
    assert_eq!(bare.wall(&tenant("x"), &command()), example.wall(&tenant("x"), &command()));
    let strip = |rules: &openrtc_policy::Rules| openrtc_policy::Rules {
        tenants: Default::default(),
        agents: Default::default(),
        routing: openrtc_policy::rules::RoutingRules { rules: Vec::new(), ..rules.routing.clone() },
        ..rules.clone()
    };
    assert_eq!(strip(&bare.rules), strip(&example.rules));
    assert_eq!((bare.liveness, bare.cgroup.clone(), bare.uids), (example.liveness, example.cgroup, example.uids));
    assert_eq!((&bare.observers, &bare.metrics, &bare.logs), (&example.observers, &example.metrics, &example.logs));
}

#[test]
fn the_default_walls_are_those_of_w10() {
    let config = Place::new().load(AGENT).unwrap();
    let wall = config.wall(&tenant("x"), &command());
    assert_eq!(wall.memory_bytes_max, Some(1024 << 20));
    assert_eq!((wall.pids_max, wall.open_files_max), (Some(512), Some(1024)));
    assert_eq!((wall.cpu_max, wall.data_max, wall.run_as), (CpuMax::Auto, DataMax::Auto, RunAs::Auto));
    assert_eq!((wall.memory_warn_pct, wall.sample_ms, wall.oom_score_adj), (80, 250, 500));
    assert!(!wall.core_dump && !wall.unix_sockets);
    assert_eq!(config.liveness.heartbeat_interval_ms, 2_500);
}

#[test]
fn the_first_agent_of_the_file_is_the_fallback() {
    let config =
        Place::new().load("[agents.zeta]\ncommand = [\"true\"]\n[agents.alpha]\ncommand = [\"true\"]").unwrap();
    assert_eq!(config.rules.routing.fallback, Fallback::Agent(AgentName::parse("zeta").unwrap()));
    assert_eq!(config.agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), ["zeta", "alpha"]);
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let place = Place::new();
    let text = "[supervisor]\nhost_scope = \"session\"\nmax_hosts = 7\nopenrtc_top_socket = \"top.sock\"\n\
        [wall]\ncpu_seconds_max = 60\nmemory_warn_mb = 512\nread_paths = [\"data\"]\nconnect_ports = [443]\n\
        [runtimes.mine]\nkind = \"program\"\ncommand = [\"true\", \"-x\"]\n[runtimes.mine.wall]\npids_max = 64\n\
        [agents.a]\nruntime = \"mine\"\nllm = { provider = \"openai\", temperature = 0.5 }\n\
        [tenants.acme]\nmax_sessions = 3\n[tenants.acme.wall]\nmemory_warn_mb = 256\ncpu_max_pct = 50\n\
        [tenants.acme.agent_config]\nnested = { list = [1, 2], text = \"x\" }\n\
        [[routing.rule]]\nagent = \"a\"\nmetadata = { plan = \"gold\" }\n";
    let first = place.load(text).unwrap().redacted_toml();
    let second = Place::new().load(&first).unwrap();
    assert_eq!(second.redacted_toml(), first);
    assert_eq!(second.wall(&tenant("acme"), &RuntimeName::parse("mine").unwrap()).pids_max, Some(64));
    assert!(first.contains("cpu_seconds_max = 60") && first.contains("memory_warn_mb = 256"), "{first}");
}

#[test]
fn references_are_shown_and_values_are_not() {
    let config = example(&Place::new());
    let json = config.redacted_json();
    assert_eq!(json["tenants"]["acme-corp"]["api_keys"]["deepgram"], "***(env:ACME_DG)");
    assert_eq!(json["tenants"]["acme-corp"]["api_keys"]["cartesia"], "***(exec:vault)");
    let config = loaded("[tenants.acme.env]\nDB = \"postgres://ann:CANARY@db/x\"\nMY_TOKEN = \"CANARY\"");
    let text = config.redacted_toml();
    assert!(text.contains("postgres://ann:***@db/x") && !text.contains("CANARY"), "{text}");
}
