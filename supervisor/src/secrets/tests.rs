//! Tests of the vault: who gets which secret, and that none shows.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use openrtc_ipc::{Configure, RuntimeName, TenantId};

use super::{SecretError, SecretFault, Vault};
use crate::config::{Config, LoadRequest};

mod application;

const AGENT: &str = "[agents.support]\ncommand = [\"true\"]\ntools = [\"a\", \"b\"]\nllm = \"openai/agent\"\n";

struct Bench {
    config: Config,
    vault: Vault,
    faults: Vec<SecretFault>,
    _dir: tempfile::TempDir,
}

async fn no_program(argv: Vec<String>) -> Result<Vec<u8>, String> {
    Err(format!("{} is not to be run", argv.join(" ")))
}

async fn bench_in(dir: tempfile::TempDir, text: &str, variables: &[(&str, &str)]) -> Bench {
    let path = dir.path().join("c.toml");
    std::fs::write(&path, format!("{text}\n{AGENT}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let base = [("RUNTIME_DIRECTORY", "/run/x"), ("STATE_DIRECTORY", "/state/x")];
    let environment = base.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let request = LoadRequest { path: Some(path), environment: environment.collect(), ..LoadRequest::default() };
    let config = Config::load(&request).unwrap();
    let (vault, faults) = Vault::resolve(&config, no_program).await;
    Bench { config, vault, faults, _dir: dir }
}

async fn bench(text: &str, variables: &[(&str, &str)]) -> Bench {
    bench_in(tempfile::tempdir().unwrap(), text, variables).await
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

impl Bench {
    fn configure(&self, id: &str) -> Result<Configure, SecretError> {
        self.configure_on(id, "command")
    }

    fn configure_on(&self, id: &str, runtime: &str) -> Result<Configure, SecretError> {
        let runtime = RuntimeName::parse(runtime).unwrap();
        self.vault.configure(&self.config, &tenant(id), &runtime, Path::new("/work/dir"))
    }

    fn secrets(&self, id: &str) -> Vec<(String, String)> {
        let secrets = self.configure(id).unwrap().secrets;
        secrets.into_iter().map(|it| (it.variable.clone(), it.value.expose_secret().to_owned())).collect()
    }

    fn unusable(&self, id: &str) -> Option<String> {
        self.vault.rules(&self.config).tenants[&tenant(id)].unusable.clone()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

const TWO: &str = "[defaults.api_keys]\nopenai = { env = \"D_OA\" }\nelevenlabs = { env = \"D_EL\" }\n\
    [tenants.acme.api_keys]\nopenai = { env = \"A_OA\" }\n[tenants.globex]\nfallback_keys = false\n\
    [tenants.globex.api_keys]\ndeepgram = \"env:G_DG\"\n[tenants.initech]\n";
const TWO_ENV: &[(&str, &str)] =
    &[("D_OA", "default-oa"), ("D_EL", "default-el"), ("A_OA", "acme-oa"), ("G_DG", "globex-dg")];

#[tokio::test]
async fn keys_come_from_the_tenant_and_else_from_the_defaults() {
    let bench = bench(TWO, TWO_ENV).await;
    assert_eq!(bench.faults, []);
    assert_eq!(bench.secrets("acme"), pairs(&[("ELEVEN_API_KEY", "default-el"), ("OPENAI_API_KEY", "acme-oa")]));
    assert_eq!(bench.secrets("initech"), pairs(&[("ELEVEN_API_KEY", "default-el"), ("OPENAI_API_KEY", "default-oa")]));
    assert_eq!(bench.secrets("stranger"), bench.secrets("initech"));
    // Without fallback there is nothing but its own.
    assert_eq!(bench.secrets("globex"), pairs(&[("DEEPGRAM_API_KEY", "globex-dg")]));
}

#[tokio::test]
async fn no_tenants_host_is_told_anothers_secret() {
    let bench = bench(TWO, TWO_ENV).await;
    let owners = [("acme", "acme-oa"), ("globex", "globex-dg")];
    for (owner, secret) in owners {
        for id in ["acme", "globex", "initech", "stranger"] {
            let configure = bench.configure(id).unwrap();
            let frame = openrtc_ipc::encode_command(&openrtc_ipc::Command::Configure(configure)).unwrap();
            let found = frame.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert_eq!(found, id == owner, "{secret} in the configuration of {id}");
            let redacted = bench.vault.redactions(&tenant(id)).iter().any(|(_, text)| text.expose_secret() == secret);
            assert_eq!(redacted, id == owner, "{secret} among the redactions of {id}");
        }
    }
}

#[tokio::test]
async fn no_secret_shows() {
    let text =
        format!("[supervisor]\nallow_literal_secrets = true\n{TWO}[tenants.lit.api_keys]\nopenai = \"lit-canary\"\n");
    let bench = bench(&text, TWO_ENV).await;
    let configure = bench.configure("lit").unwrap();
    let shown = format!("{:?} {:?} {configure:?} {}", bench.vault, bench.config, bench.config.redacted_toml());
    for secret in ["default-oa", "acme-oa", "globex-dg", "lit-canary"] {
        assert!(!shown.contains(secret), "{secret}");
    }
    assert!(shown.contains("env:A_OA") && shown.contains("literal"));
    let labels: Vec<String> = bench.vault.redactions(&tenant("lit")).into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["env:D_EL", "env:D_OA", "literal"]);
}

#[tokio::test]
async fn an_unreadable_reference_makes_that_tenant_unusable_and_no_other() {
    let text = "[tenants.acme.api_keys]\nopenai = { env = \"NONE\" }\n[tenants.b.api_keys]\nopenai = { file = \"none\" }\n\
        [tenants.c.api_keys]\nopenai = { exec = [\"vault\", \"read\"] }\n[tenants.d.api_keys]\nopenai = { credential = \"k\" }\n\
        [tenants.e.env]\nDB = { env = \"NONE\" }\n[tenants.good]\n";
    let bench = bench(text, &[]).await;
    assert_eq!(bench.faults.len(), 5, "{:#?}", bench.faults);
    let messages = [
        (
            "acme",
            "tenants.acme.api_keys.openai = env:NONE: the variable is not set: set NONE in the supervisor's environment",
        ),
        ("b", "none: cannot be read: No such file or directory (os error 2): correct the path, or its permissions"),
        (
            "c",
            "tenants.c.api_keys.openai = exec:vault: the program failed: vault read is not to be run: run it by hand",
        ),
        ("d", "tenants.d.api_keys.openai = credential:k: $CREDENTIALS_DIRECTORY is not set: add LoadCredential=k:PATH"),
        ("e", "tenants.e.env.DB = env:NONE: the variable is not set"),
    ];
    for (id, message) in messages {
        let unusable = bench.unusable(id).unwrap_or_default();
        assert!(unusable.contains(message), "{message}\n{unusable}");
        let error = bench.configure(id).unwrap_err();
        assert!(matches!(&error, SecretError::Unreadable { fault } if fault.to_string() == unusable), "{error}");
    }
    assert_eq!(bench.unusable("good"), None);
    bench.configure("good").unwrap();
}

#[tokio::test]
async fn an_unreadable_fallback_key_matters_only_where_it_would_be_used() {
    let text = "[defaults]\ntts = \"cartesia/sonic\"\n[defaults.api_keys]\nopenai = { env = \"NONE\" }\ngroq = { env = \"NONE\" }\n\
        [tenants.uses]\n[tenants.own.api_keys]\nopenai = { env = \"OWN\" }\n[tenants.other.tenant_config]\nllm = \"anthropic/x\"\n\
        [tenants.alone]\nfallback_keys = false\n";
    let bench = bench(text, &[("OWN", "own-key")]).await;
    assert_eq!(bench.faults.len(), 2);
    assert!(bench.unusable("uses").unwrap().starts_with("defaults.api_keys.openai = env:NONE"));
    for id in ["own", "other", "alone"] {
        assert_eq!(bench.unusable(id), None, "{id}");
    }
    assert_eq!(bench.secrets("own"), pairs(&[("OPENAI_API_KEY", "own-key")]));
}

#[tokio::test]
async fn a_runtimes_unreadable_variable_spoils_that_runtime_only() {
    let text = "[runtimes.r]\nkind = \"program\"\ncommand = [\"true\"]\n[runtimes.r.env]\nDB = { env = \"NONE\" }\n\
        [agents.remote]\nruntime = \"r\"\n[tenants.both]\n[tenants.stuck]\nallowed_agents = [\"remote\"]\n";
    let bench = bench(text, &[]).await;
    assert!(bench.configure_on("both", "r").is_err());
    bench.configure_on("both", "command").unwrap();
    assert_eq!(bench.unusable("both"), None);
    assert!(bench.unusable("stuck").unwrap().starts_with("runtimes.r.env.DB = env:NONE"));
    let gone = bench.configure_on("both", "gone").unwrap_err();
    assert!(matches!(gone, SecretError::UnknownRuntime { .. }));
}

#[tokio::test]
async fn providers_fall_back_step_by_step() {
    // Each of the three steps is named on another set of rungs.
    let text = "[defaults]\nstt = \"d/stt\"\nllm = \"d/llm\"\ntts = { provider = \"d\", voice = \"v\" }\n\
        [tenants.acme.tenant_config]\nstt = \"t/stt\"\n[tenants.acme.agent_config]\ntools_enabled = [\"b\", \"z\"]\n";
    let bench = bench(text, &[]).await;
    let providers = |id: &str| -> serde_json::Value {
        serde_json::from_str(&bench.configure(id).unwrap().agents[0].providers_json).unwrap()
    };
    let tts = serde_json::json!({"provider": "d", "voice": "v"});
    let llm = serde_json::json!({"provider": "openai", "model": "agent"});
    let stt = |rung: &str| serde_json::json!({"provider": rung, "model": "stt"});
    assert_eq!(providers("acme"), serde_json::json!({"stt": stt("t"), "llm": llm, "tts": tts}));
    assert_eq!(providers("other"), serde_json::json!({"stt": stt("d"), "llm": llm, "tts": tts}));
    let acme = bench.configure("acme").unwrap();
    assert_eq!(acme.agents[0].tools, ["b"]);
    assert_eq!(acme.agent_config_json, r#"{"tools_enabled":["b","z"]}"#);
    assert_eq!(bench.configure("other").unwrap().agents[0].tools, ["a", "b"]);
}

#[tokio::test]
async fn the_environment_is_an_allow_list_and_the_tenants_word_is_the_last() {
    let text = "[runtimes.r]\nkind = \"program\"\ncommand = [\"true\"]\n[runtimes.r.env]\nMODE = \"runtime\"\nOPENAI_API_KEY = \"runtime\"\n\
        DB = { env = \"DB\" }\n[agents.remote]\nruntime = \"r\"\n[tenants.acme.api_keys]\nopenai = { env = \"OA\" }\n\
        [tenants.acme.env]\nMODE = \"tenant\"\nPORT = 5\n";
    let variables = [("DB", "db-secret"), ("OA", "oa-secret"), ("LANG", "de_DE.UTF-8"), ("AWS_SECRET", "leak")];
    let bench = bench(text, &variables).await;
    let configure = bench.configure_on("acme", "r").unwrap();
    let expected = pairs(&[
        ("HOME", "/work/dir"),
        ("LANG", "de_DE.UTF-8"),
        ("MALLOC_ARENA_MAX", "2"),
        ("MODE", "tenant"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("PORT", "5"),
        ("PYTHON_DOTENV_DISABLED", "1"),
        ("TMPDIR", "/work/dir"),
    ]);
    assert_eq!(configure.env, expected);
    let secrets: Vec<_> = configure.secrets.iter().map(|it| (it.variable.as_str(), it.value.expose_secret())).collect();
    assert_eq!(secrets, [("DB", "db-secret"), ("OPENAI_API_KEY", "oa-secret")]);
    assert_eq!(configure.agents.len(), 1);
    assert_eq!(configure.terminate_grace_ms, 10_000);
}

#[tokio::test]
async fn shared_secrets_are_warned_of_or_denied_by_their_values() {
    let tenants = "[tenants.a.api_keys]\nopenai = { env = \"A\" }\n[tenants.b.api_keys]\nopenai = { env = \"B\" }\n\
        [tenants.c.api_keys]\nopenai = { env = \"C\" }\n[defaults.api_keys]\nopenai = { env = \"A\" }\n";
    let variables = [("A", "same-secret"), ("B", "same-secret"), ("C", "another")];
    let warned = bench(tenants, &variables).await;
    assert_eq!(warned.faults, []);
    let message = "tenants.a.api_keys.openai and tenants.b.api_keys.openai are the same secret";
    assert_eq!(warned.vault.warnings().len(), 1);
    assert!(warned.vault.warnings()[0].starts_with(message), "{:?}", warned.vault.warnings());
    let denied = bench(&format!("[supervisor]\nshared_keys = \"deny\"\n{tenants}"), &variables).await;
    assert_eq!(denied.faults.len(), 1);
    assert!(denied.unusable("a").is_some() && denied.unusable("b").is_some());
    assert_eq!(denied.unusable("c"), None);
    assert!(denied.configure("a").is_err());
    assert!(!format!("{:?}{:?}", denied.faults, denied.vault).contains("same-secret"));
}

#[tokio::test]
async fn files_are_trimmed_capped_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good"), "key-from-file\r\n").unwrap();
    std::fs::write(dir.path().join("large"), vec![b'x'; super::SECRET_BYTES_MAX + 1]).unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
    std::fs::write(dir.path().join("nul"), "a\0b").unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let keys = ["good", "large", "empty", "binary", "nul", "pipe"].map(|name| format!("{name} = \"file:{name}\"\n"));
    let text = format!("[tenants.acme.api_keys]\n{}", keys.concat());
    let bench = bench_in(dir, &text, &[]).await;
    let problems: Vec<&str> = bench.faults.iter().map(|fault| fault.problem.as_str()).collect();
    assert_eq!(
        problems,
        [
            "is not UTF-8",
            "is empty",
            "is larger than 65536 bytes",
            "has a NUL byte, which no variable can carry",
            "is no regular file"
        ]
    );
    let redactions = bench.vault.redactions(&tenant("acme"));
    assert_eq!(redactions[0].1.expose_secret(), "key-from-file");
    assert!(redactions[0].0.starts_with("file:/"));
}

#[tokio::test]
async fn resolving_may_run_on_any_thread() {
    let bench = bench("[tenants.a.api_keys]\nopenai = { exec = [\"vault\"] }\n", &[]).await;
    let config = bench.config.clone();
    let spawner = std::sync::Arc::new("key");
    let resolved = tokio::spawn(async move {
        let run = |_argv: Vec<String>| {
            let spawner = std::sync::Arc::clone(&spawner);
            async move {
                tokio::task::yield_now().await;
                Ok(spawner.as_bytes().to_vec())
            }
        };
        Vault::resolve(&config, run).await
    });
    assert_eq!(resolved.await.unwrap().1, []);
}

#[tokio::test]
async fn programs_and_credentials_are_read_and_one_program_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dg"), "credential-key\n").unwrap();
    let text = "[tenants.a.api_keys]\nopenai = { exec = [\"vault\", \"read\"] }\ndeepgram = { credential = \"dg\" }\n\
        [tenants.b.api_keys]\nopenai = { exec = [\"vault\", \"read\"] }\n";
    let credentials = dir.path().display().to_string();
    let mut bench = bench_in(dir, text, &[("CREDENTIALS_DIRECTORY", &credentials)]).await;
    let runs = AtomicUsize::new(0);
    let run = |argv: Vec<String>| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("{}-output\n", argv.join("-")).into_bytes()) }
    };
    (bench.vault, bench.faults) = Vault::resolve(&bench.config, run).await;
    assert_eq!(bench.faults, []);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    let expected = pairs(&[("DEEPGRAM_API_KEY", "credential-key"), ("OPENAI_API_KEY", "vault-read-output")]);
    assert_eq!(bench.secrets("a"), expected);
}

#[tokio::test]
async fn a_service_account_is_passed_on_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let account = dir.path().join("account.json");
    std::fs::write(&account, "{\n  \"private_key\": \"MIIEvQIBADANBg\"\n}\n").unwrap();
    let text = "[tenants.a.api_keys]\ngoogle = { file = \"account.json\" }\n[tenants.b.api_keys]\ngoogle = { env = \"ACCOUNT\" }\n\
        [tenants.c.api_keys]\ngoogle = { env = \"PLAIN\" }\n";
    let bench = bench_in(dir, text, &[("ACCOUNT", "{}"), ("PLAIN", "plain-key")]).await;
    let a = bench.configure("a").unwrap();
    let path = account.display().to_string();
    assert!(a.env.contains(&("GOOGLE_APPLICATION_CREDENTIALS".to_owned(), path)), "{:?}", a.env);
    assert!(a.secrets.is_empty());
    let command = RuntimeName::parse("command").unwrap();
    assert_eq!(bench.config.wall(&tenant("a"), &command).read_paths, [account]);
    assert!(bench.unusable("b").unwrap().contains("is a service account, which plugins read from a file"));
    assert_eq!(bench.secrets("c"), pairs(&[("GOOGLE_API_KEY", "plain-key")]));
    // The key within is hidden line by line, for it is printed without the braces around it.
    let hidden = bench.vault.redactions(&tenant("a"));
    assert!(
        hidden.iter().any(|(_, text)| text.expose_secret() == "\"private_key\": \"MIIEvQIBADANBg\""),
        "{}",
        hidden.len()
    );
}
