//! A tenant's key is in its own host and nowhere else.

use std::fs;
use std::path::Path;

use openrtc_tests::{Setup, User, until};

use crate::config;

const ACME: &str = "canary-acme-7f3a91c2d4";
const GLOBEX: &str = "canary-globex-b81e55aa07";

/// Whether a process's readable memory holds the text.
fn holds(pid: u32, needle: &str) -> bool {
    use std::os::unix::fs::FileExt;
    let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { return false };
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else { return false };
    maps.lines().filter(|line| line.contains(" rw")).any(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((Ok(from), Ok(to))) = range.map(|(a, b)| (u64::from_str_radix(a, 16), u64::from_str_radix(b, 16)))
        else {
            return false;
        };
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0).min(64 << 20)];
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        bytes[..read].windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

fn start() -> openrtc_tests::Running {
    let more = r#"
[agents.keys]
command = ["/bin/sh", "-c", "read l; echo my key is $OPENAI_API_KEY; echo $OPENAI_API_KEY >&2; read end"]
[tenants.acme]
api_keys = { openai = { file = "DIR/acme.key" } }
[tenants.globex]
api_keys = { openai = { file = "DIR/globex.key" } }
"#;
    Setup::new(&config(more)).file("acme.key", ACME.as_bytes()).file("globex.key", GLOBEX.as_bytes()).start()
}

#[test]
fn no_other_process_and_no_output_ever_holds_it() {
    let running = start();
    for tenant in ["acme", "globex"] {
        assert_eq!(running.dispatch(tenant, "keys", &[]).1, 0);
    }
    until("both agents have printed their keys", || {
        let lines = running.events().iter().filter(|line| line.to_string().contains("my key is")).count();
        (lines >= 2).then_some(())
    });
    let mut looked_at = 0;
    for pid in running.descendants() {
        let proc = Path::new("/proc").join(pid.to_string());
        let whose = running.snapshot()["hosts"].as_array().cloned().unwrap_or_default();
        let tenant =
            whose.iter().find(|host| host["pid"] == pid).and_then(|host| host["tenant"].as_str().map(str::to_owned));
        let cmdline = fs::read(proc.join("cmdline")).unwrap_or_default();
        let environ = fs::read(proc.join("environ")).unwrap_or_default();
        for (owner, key) in [("acme", ACME), ("globex", GLOBEX)] {
            let found = |bytes: &[u8]| bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found(&cmdline), "{key} is in an argv");
            if tenant.is_some() {
                assert!(!found(&environ), "{key} is in a host's own environment");
            }
            if tenant.as_deref().is_some_and(|tenant| tenant != owner) {
                assert!(!holds(pid, key), "{owner}'s key is in the memory of {tenant:?}'s host");
            }
        }
        looked_at += usize::from(tenant.is_some());
    }
    assert_eq!(looked_at, 2, "both hosts were looked at");
    let outputs = [
        running.log(),
        fs::read_to_string(running.dir().join("state/events.jsonl")).expect("events"),
        running.snapshot().to_string(),
        String::from_utf8_lossy(&running.cli(&["config", "show"]).stdout).into_owned(),
    ];
    for output in outputs {
        assert!(!output.contains(ACME) && !output.contains(GLOBEX), "a key is in:\n{output}");
    }
    assert!(running.log().contains("***("), "the redaction left no mark");
}

/// A process that must not be dumped belongs to root in `/proc`: no equal may open its memory or environment.
#[test]
fn the_supervisors_own_memory_is_closed_to_its_equals() {
    use std::os::unix::fs::MetadataExt;
    let running = Setup::new(&config("")).run_by(User::Ordinary).start();
    for name in ["mem", "environ", "maps"] {
        let owner = fs::metadata(format!("/proc/{}/{name}", running.pid())).expect("there").uid();
        assert_eq!(owner, 0, "{name}");
    }
}

#[test]
fn the_zygote_never_holds_one() {
    let running = start();
    assert_eq!(running.dispatch("acme", "keys", &[]).1, 0);
    until("the agent has printed its key", || {
        running.events().iter().any(|line| line.to_string().contains("my key is")).then_some(())
    });
    let hosts: Vec<u32> =
        running.hosts_of("acme").iter().filter_map(|host| host["pid"].as_u64().map(|pid| pid as u32)).collect();
    let zygotes: Vec<u32> = running
        .descendants()
        .into_iter()
        .filter(|pid| !hosts.contains(pid))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains("zygote"))
        })
        .collect();
    assert_eq!(zygotes.len(), 1, "expected one zygote");
    assert!(!holds(zygotes[0], ACME));
}

#[test]
fn an_agents_environment_is_only_what_it_is_given() {
    let more = "[agents.env]\ncommand = [\"DIR/attack\", \"environment\"]\n[tenants.acme]\napi_keys = { openai = { file = \"DIR/acme.key\" } }\nenv = { CRM_URL = \"https://crm.example\" }\n";
    let setup = Setup::new(&config(more)).file("acme.key", ACME.as_bytes()).program("attack", crate::ATTACK);
    let running = setup.start();
    let (answer, _) = running.dispatch("acme", "env", &["--wait"]);
    let session = answer["admitted"]["session"].as_str().expect("a session");
    let told = running.told(session, "environment", |told| !told.is_empty());
    let names: Vec<&str> = told[0].as_object().expect("an object").keys().map(String::as_str).collect();
    let allowed = [
        "CRM_URL",
        "HOME",
        "LANG",
        "MALLOC_ARENA_MAX",
        "OPENAI_API_KEY",
        "OPENRTC_AGENT",
        "OPENRTC_DEPLOYMENT_VERSION",
        "OPENRTC_SESSION_ID",
        "OPENRTC_TENANT",
        "PATH",
        "PYTHON_DOTENV_DISABLED",
        "TMPDIR",
        "TZ",
    ];
    let strange: Vec<_> = names.iter().filter(|name| !allowed.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    for needed in ["CRM_URL", "OPENAI_API_KEY", "OPENRTC_TENANT", "OPENRTC_SESSION_ID", "OPENRTC_AGENT", "PATH"] {
        assert!(names.contains(&needed), "{needed} is missing in {names:?}");
    }
    assert!(!told[0].to_string().contains(ACME), "its own key left in an event unredacted");
}
