//! Flag over environment over file over default.

use std::path::PathBuf;

use super::{AGENT, Place, environment};
use crate::config::{Config, LoadRequest, Overrides};

#[test]
fn a_flag_wins_over_the_environment_over_the_file() {
    let place = Place::new();
    let text =
        format!("[supervisor]\nmax_hosts = 5\nworker_id = \"file\"\ndrain_timeout = 7\n[wall]\npids_max = 10\n{AGENT}");
    let mut request = place.request(&text);
    request.environment = environment(&[
        ("OPENRTC_SUPERVISOR_SUPERVISOR__MAX_HOSTS", "6"),
        ("OPENRTC_SUPERVISOR_SUPERVISOR__WORKER_ID", "77"),
        ("OPENRTC_SUPERVISOR_SUPERVISOR__DRAIN_TIMEOUT_S", "8"),
        ("OPENRTC_SUPERVISOR_WALL__PIDS_MAX", "off"),
        ("OPENRTC_SUPERVISOR_WALL__CONNECT_PORTS", "[443, 80]"),
        ("OPENRTC_SUPERVISOR_WALL__CGROUP__MODE", "require"),
        ("OPENRTC_SUPERVISOR_LOGS__FORMAT", "json"),
        ("OPENRTC_MAX_CONCURRENT_SESSIONS", "51"),
    ]);
    request.overrides = Overrides {
        keys: vec![("supervisor.max_hosts".to_owned(), "8".to_owned())],
        control_socket: Some("/x/c.sock".into()),
        isolation: Some("process".to_owned()),
        ..Overrides::default()
    };
    let config = Config::load(&request).unwrap();
    assert_eq!(config.rules.max_hosts, 8);
    assert_eq!(config.supervisor.worker_id, "77");
    assert_eq!(config.rules.drain_timeout_ms, 8_000);
    assert_eq!(config.rules.max_concurrent_sessions, 51);
    assert_eq!(config.supervisor.control_socket, PathBuf::from("/x/c.sock"));
    assert_eq!(config.cgroup.mode, crate::config::CgroupMode::Require);
    assert_eq!(config.logs.format, crate::telemetry::Format::Json);
    let wall = config.wall(&config.rules.default_tenant.clone(), &config.agents[0].rules.runtime.clone());
    assert_eq!((wall.pids_max, wall.connect_ports), (None, Some(vec![443, 80])));
}

#[test]
fn our_own_name_for_the_cap_wins_over_openrtcs() {
    let mut request = Place::new().request(AGENT);
    let place = Place::new();
    request.path = Some(place.write("c.toml", AGENT, 0o644));
    request.environment = environment(&[
        ("OPENRTC_MAX_CONCURRENT_SESSIONS", "51"),
        ("OPENRTC_SUPERVISOR_SUPERVISOR__MAX_CONCURRENT_SESSIONS", "52"),
    ]);
    assert_eq!(Config::load(&request).unwrap().rules.max_concurrent_sessions, 52);
}

#[test]
fn faults_of_variables_and_flags_name_them() {
    let place = Place::new();
    let mut request = place.request(AGENT);
    request.environment = environment(&[
        ("OPENRTC_SUPERVISOR_SUPERVISOR__MAX_HOST", "6"),
        ("OPENRTC_SUPERVISOR_TENANTS__ACME", "6"),
        ("OPENRTC_MAX_CONCURRENT_SESSIONS", "lots"),
        ("OPENRTC_SUPERVISOR_CONFIG", "ignored, for --config is given"),
    ]);
    request.overrides.isolation = Some("coroutine".to_owned());
    let error = Config::load(&request).unwrap_err();
    let text = error.to_string();
    for message in [
        "environment variable OPENRTC_SUPERVISOR_SUPERVISOR__MAX_HOST: supervisor.max_host: unknown key: did you mean `max_hosts`?",
        "environment variable OPENRTC_SUPERVISOR_TENANTS__ACME: names no section: write OPENRTC_SUPERVISOR_<SECTION>__<KEY>",
        "environment variable OPENRTC_MAX_CONCURRENT_SESSIONS: supervisor.max_concurrent_sessions = \"lots\": is text, not a whole number",
        "--isolation: supervisor.isolation = \"coroutine\": is not what this builds",
    ] {
        assert!(text.contains(message), "{message}\n{text}");
    }
    assert_eq!(error.faults.len(), 4, "{text}");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let place = Place::new();
    let path = place.write("elsewhere.toml", AGENT, 0o644);
    let environment = environment(&[("OPENRTC_SUPERVISOR_CONFIG", path.to_str().unwrap())]);
    let config = Config::load(&LoadRequest { environment, ..LoadRequest::default() }).unwrap();
    assert_eq!(config.source, Some(path));
}

#[test]
fn openrtcs_port_is_the_probes_and_its_other_variable_is_warned_of() {
    let place = Place::new();
    let mut request = place.request(AGENT);
    request.environment = environment(&[("OPENRTC_ISOLATION", "coroutine"), ("OPENRTC_PORT", "80")]);
    let config = Config::load(&request).unwrap();
    assert_eq!(config.warnings.len(), 1, "{:#?}", config.warnings);
    assert_eq!(config.supervisor.health_listen, "0.0.0.0:80".parse().ok());
}

#[test]
fn an_embedded_text_lives_below_its_directory() {
    let place = Place::new();
    let config = Config::embedded(AGENT, place.path()).unwrap();
    assert_eq!(config.supervisor.control_socket, place.path().join("run/control.sock"));
    assert_eq!(config.supervisor.state_dir, place.path().join("state"));
    let literal = "[supervisor]\nallow_literal_secrets = true\n[tenants.a.api_keys]\nopenai = \"CANARY\"\n";
    Config::embedded(&format!("{literal}{AGENT}"), place.path()).unwrap();
}

#[test]
fn a_socket_path_that_no_socket_can_have_is_a_fault() {
    let place = Place::new();
    let long = "x".repeat(120);
    let error = place.load(&format!("[supervisor]\nruntime_dir = \"/{long}\"\n{AGENT}")).unwrap_err().to_string();
    assert!(
        error.contains("supervisor.control_socket = ") && error.contains("is longer than the 107 bytes"),
        "{error}"
    );
}
