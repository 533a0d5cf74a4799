//! No text panics, and no secret shows.

use proptest::prelude::*;

use super::{AGENT, Place};
use crate::config::Config;

const CANARY: &str = "CANARY-7f3a";

/// Words of the language, so that random texts come near to files.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "[supervisor]",
        "[wall]",
        "[wall.cgroup]",
        "[tenants.a]",
        "[tenants.a.wall]",
        "[agents.x]",
        "[[routing.rule]]",
        "[tenants.a.api_keys]",
        "[defaults]",
        "[runtimes.r]",
        "[rooms]",
        "max_hosts",
        "memory_max_mb",
        "command",
        "llm",
        "openai",
        "env",
        "file",
        "exec",
        "=",
        "=",
        "=",
        "\"off\"",
        "\"auto\"",
        "0",
        "-1",
        "1e400",
        "nan",
        "true",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"a/b\"",
        "\"env:X\"",
        "kind",
        "\"program\"",
        "runtime",
        "max_sessions_per_tenant",
        "separator",
        "99999999999999999999999999999999999999999",
        "1979-05-27",
        "\n",
        "\n",
        "\n",
        ".",
        "\"\"",
        "require",
        "uid_range",
        "restart_backoff_s",
        "tenants_dir",
        "agent",
        "tenant",
        "metadata",
        "cpu_seconds_max",
    ];
    prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_words_panic(words in proptest::collection::vec(word(), 0..60)) {
        let text = words.join(" ");
        match Config::embedded(&text, "/nonexistent".as_ref()) {
            Ok(config) => prop_assert!(!config.redacted_toml().is_empty()),
            Err(error) => prop_assert!(!error.faults.is_empty()),
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}|[\\[\\]{}=\".#\\n a-z0-9_]{0,200}") {
        let loaded = Config::embedded(&format!("{AGENT}{text}"), "/nonexistent".as_ref());
        if let Err(error) = loaded {
            prop_assert!(!error.faults.is_empty());
        }
    }

    #[test]
    fn any_number_of_any_key_is_taken_or_refused(
        key in proptest::sample::select(vec![
            "supervisor.max_hosts", "supervisor.drain_timeout_s", "wall.memory_max_mb", "wall.memory_warn_mb",
            "wall.cpu_max_pct", "wall.data_max_mb", "wall.session_seconds_max", "wall.oom_score_adj",
            "circuit_breaker.failure_ratio", "metrics.stream_events_max", "wall.unresponsive_kill_s",
            "wall.address_space_max_mb", "wall.file_size_max_mb", "wall.open_files_max",
        ]),
        number in prop_oneof![any::<i64>().prop_map(|n| n.to_string()), any::<f64>().prop_map(|n| format!("{n:?}"))],
    ) {
        if let Ok(config) = Config::embedded(&format!("{key} = {number}\n{AGENT}"), "/nonexistent".as_ref()) {
            let runtime = config.agents[0].rules.runtime.clone();
            let wall = config.wall(&config.rules.default_tenant, &runtime);
            prop_assert!(wall.memory_warn_pct >= 1 && wall.memory_warn_pct <= 100);
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_recursed_into() {
    let dots = vec!["a"; 100_000].join(".");
    let brackets = format!("a = {}", "[".repeat(100_000));
    for text in [format!("{dots} = 1"), format!("[{dots}]"), brackets] {
        assert!(Config::embedded(&text, "/".as_ref()).is_err());
    }
}

#[test]
fn a_file_over_the_cap_is_refused() {
    let error = Place::new().load(&"#\n".repeat(3 * 1024 * 1024)).unwrap_err().to_string();
    assert!(error.contains("file is too large"), "{error}");
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let place = Place::new();
    let path = place.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut request = place.request(AGENT);
    request.path = Some(path);
    assert!(Config::load(&request).unwrap_err().to_string().contains("is no regular file"));
}

#[test]
fn no_secret_shows_in_what_is_valid() {
    let text = format!(
        "[supervisor]\nallow_literal_secrets = true\n[defaults.api_keys]\nopenai = \"{CANARY}\"\n\
         [tenants.acme.api_keys]\ndeepgram = \"{CANARY}\"\ncartesia = {{ env = \"CT\" }}\n\
         [tenants.acme.agent_config]\ncrm_api_key = \"{CANARY}\"\n{AGENT}"
    );
    let place = Place::new();
    let path = place.write("private.toml", &text, 0o600);
    let mut request = place.request("");
    request.path = Some(path);
    request.environment.insert("CT".to_owned(), CANARY.to_owned());
    request.environment.insert("UNRELATED".to_owned(), CANARY.to_owned());
    assert!(!format!("{request:?}").contains(CANARY));
    let config = Config::load(&request).unwrap();
    assert_eq!(config.found_variable("CT"), Some(CANARY));
    assert_eq!(config.found_variable("UNRELATED"), None);
    let acme = openrtc_ipc::TenantId::parse("acme").unwrap();
    let shown = [config.redacted_toml(), config.redacted_json().to_string(), config.warnings.join("\n")];
    let tenant = config.redacted_tenant(&acme).unwrap().to_string();
    for text in shown.iter().chain([&tenant, &format!("{:?}", config.default_keys)]) {
        assert!(!text.contains(CANARY), "{text}");
    }
    assert!(!format!("{:?}", config.found).contains(CANARY));
}

#[test]
fn no_secret_shows_when_it_comes_from_a_variable() {
    let place = Place::new();
    for name in ["DEFAULTS__API_KEYS", "DEFAULTS__API_KEYS__OPENAI"] {
        let mut request = place.request(AGENT);
        let value = format!("{{ openai = \"{CANARY}\" }}");
        request.environment.insert(format!("OPENRTC_SUPERVISOR_{name}"), value);
        let error = Config::load(&request).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    }
}

#[test]
fn no_secret_shows_in_faults() {
    for value in [
        format!("\"{CANARY}\""),
        format!("{{ env = \"{CANARY} x\" }}"),
        format!("{{ literal = \"{CANARY}\" }}"),
        format!("[\"{CANARY}\"]"),
        format!("{{ exec = \"{CANARY}\" }}"),
        CANARY.to_owned(),
    ] {
        for table in ["defaults.api_keys", "tenants.acme.api_keys"] {
            let error = Place::new().load(&format!("[{table}]\nopenai = {value}\n{AGENT}")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
        }
    }
    let error = Place::new().load(&format!("[tenants.acme]\nopenai_key = \"{CANARY}\"\n{AGENT}")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
}
