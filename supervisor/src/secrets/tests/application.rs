//! What a host of an application is told: the application itself, and of keys only its tenant's.

use std::path::Path;

use openrtc_ipc::RuntimeName;

use super::super::PLACEHOLDER;
use super::{Bench, bench, bench_in, tenant};

/// A Python runtime with a secret of its own, beside a tenant with a key and one with none.
async fn agency() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("agents")).unwrap();
    let text = "[runtimes.py]\nkind = \"python\"\npython = \"sh\"\nagents_dir = \"agents\"\nload_app = \"zygote\"\n\
        [runtimes.py.env]\nDB = { env = \"DB\" }\nMODE = \"live\"\n[agents.remote]\nruntime = \"py\"\n\
        [defaults.api_keys]\nopenai = { env = \"D_OA\" }\nin-house = { env = \"D_OA\" }\n\
        [tenants.acme.api_keys]\nhume = { env = \"A_HU\" }\n";
    let variables = [("DB", "db-canary"), ("D_OA", "default-canary"), ("A_HU", "acme-canary")];
    bench_in(dir, text, &variables).await
}

#[tokio::test]
async fn a_python_host_is_told_its_application_with_its_tenants_keys() {
    let bench = agency().await;
    let configure = bench.configure_on("acme", "py").unwrap();
    let application = configure.application.expect("an application");
    assert!(application.loaded && application.inspect.is_none());
    assert_eq!(application.target, openrtc_ipc::ApplicationTarget::AgentsDir(bench._dir.path().join("agents")));
    let secrets: Vec<&str> = configure.secrets.iter().map(|secret| secret.variable.as_str()).collect();
    assert_eq!(secrets, ["DB", "HUME_API_KEY", "IN_HOUSE_API_KEY", "OPENAI_API_KEY"]);
    assert_eq!(bench.configure("acme").unwrap().application, None);
}

#[tokio::test]
async fn an_application_that_is_only_asked_gets_a_placeholder_for_every_key_and_no_key() {
    let bench = agency().await;
    let runtime = RuntimeName::parse("py").unwrap();
    let configure = bench.vault.configure_inspection(&bench.config, &runtime, Path::new("/work/dir")).unwrap();
    assert!(configure.application.as_ref().is_some_and(|application| application.inspect.is_some()));
    assert!(configure.secrets.is_empty());
    for variable in [
        "OPENAI_API_KEY",
        "ELEVEN_API_KEY",
        "DEEPGRAM_API_KEY",
        "HUME_API_KEY",
        "IN_HOUSE_API_KEY",
        "LIVEKIT_INFERENCE_API_KEY",
        "DB",
    ] {
        let placeholder = (variable.to_owned(), PLACEHOLDER.to_owned());
        assert!(configure.env.contains(&placeholder), "{variable}");
    }
    assert!(configure.env.contains(&("MODE".to_owned(), "live".to_owned())));
    assert!(
        !configure.env.iter().any(|(variable, _)| variable == "LIVEKIT_API_KEY" || variable == "LIVEKIT_API_SECRET")
    );
    let frame = openrtc_ipc::encode_command(&openrtc_ipc::Command::Configure(configure)).unwrap();
    let text = String::from_utf8_lossy(&frame).into_owned();
    assert!(!text.contains("canary"), "a key went to an application that is only asked");
}

#[tokio::test]
async fn what_is_in_force_is_told_without_a_secret_and_without_a_tenants_own_affairs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("agents")).unwrap();
    let text = "[wall]\nmemory_max_mb = 400\n[supervisor]\ndrain_timeout_s = 45\n\
        [runtimes.py]\nkind = \"python\"\npython = \"sh\"\nagents_dir = \"agents\"\npreload = [\"livekit.agents\"]\n\
        [runtimes.py.env]\nDB = { env = \"DB\" }\nHTTPS_PROXY = \"http://me:pw-canary@proxy\"\n\
        [runtimes.py.wall]\nmemory_max_mb = 200\n[agents.remote]\nruntime = \"py\"\nmax_sessions = 3\n\
        [tenants.acme]\nmax_sessions = 2\nagent_config = { instructions = \"acme-affair\" }\n\
        tenant_config = { llm = \"openai/gpt-4o\" }\n[tenants.acme.api_keys]\nhume = { env = \"A_HU\" }\n";
    let bench = bench_in(dir, text, &[("DB", "db-canary"), ("A_HU", "acme-canary")]).await;
    let shown = bench.config.in_force(&RuntimeName::parse("py").unwrap());
    let text = shown.to_string();
    assert!(!text.contains("canary") && !text.contains("acme-affair"), "{text}");
    for (pointer, value) in [
        ("/wall/memory_max_mb", serde_json::json!(200)),
        ("/wall/slow_session_threshold_ms", serde_json::json!(50)),
        ("/supervisor/drain_timeout_s", serde_json::json!(45)),
        ("/circuit_breaker/enabled", serde_json::json!(false)),
        ("/agents/remote/max_sessions", serde_json::json!(3)),
        ("/tenants/acme", serde_json::json!({ "max_sessions": 2, "tenant_config": ["llm"] })),
        ("/runtimes/py/preload", serde_json::json!(["livekit.agents"])),
        ("/runtimes/py/env/HTTPS_PROXY", serde_json::json!("http://me:***@proxy")),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}: {text}");
    }
}

#[tokio::test]
async fn the_line_that_gives_a_missing_key_is_told_where_there_is_one() {
    let text = "[defaults.api_keys]\ndeepgram = { env = \"DEEPGRAM_API_KEY\" }\n[tenants.acme]\nfallback_keys = false\n\
        [tenants.globex.api_keys]\nopenai = { env = \"G_OA\" }\nin-house = { env = \"G_OA\" }\n";
    let here = [
        ("OPENAI_API_KEY", "canary"),
        ("DEEPGRAM_API_KEY", "canary"),
        ("AWS_SECRET_ACCESS_KEY", "canary"),
        ("IN_HOUSE_API_KEY", "canary"),
        ("CARTESIA_API_KEY", ""),
        ("G_OA", "canary"),
    ];
    let bench = bench(text, &here).await;
    let told = |id: &str, variable: &str| {
        let runtime = RuntimeName::parse("command").unwrap();
        let error = format!("KeyError: '{variable}'");
        let completed =
            crate::host::missing_key::completed(&bench.config, &bench.vault, &tenant(id), &runtime, error.clone());
        assert!(!completed.contains("canary"));
        completed.strip_prefix(&error).unwrap().to_owned()
    };
    let openai = "; OPENAI_API_KEY is set here but not given to hosts; add ";
    assert_eq!(
        told("default", "OPENAI_API_KEY"),
        format!("{openai}[defaults.api_keys] openai = {{ env = \"OPENAI_API_KEY\" }}")
    );
    assert_eq!(
        told("acme", "OPENAI_API_KEY"),
        format!("{openai}[tenants.acme.api_keys] openai = {{ env = \"OPENAI_API_KEY\" }}"),
        "it does not fall back"
    );
    assert!(told("acme", "DEEPGRAM_API_KEY").contains("[tenants.acme.api_keys] deepgram"));
    assert!(told("default", "AWS_SECRET_ACCESS_KEY").contains("[tenants.default.env] AWS_SECRET_ACCESS_KEY = {"));
    assert!(told("default", "IN_HOUSE_API_KEY").contains("[defaults.api_keys] in-house = "));
    for (id, variable) in [
        ("globex", "OPENAI_API_KEY"),
        ("default", "DEEPGRAM_API_KEY"),
        ("default", "CARTESIA_API_KEY"),
        ("default", "MY_OPENAI_API_KEY"),
        ("default", "HUME_API_KEY"),
    ] {
        assert_eq!(told(id, variable), "", "{id}: {variable}");
    }
}
