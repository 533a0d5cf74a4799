//! Under systemd: the unit is one that systemd takes, the manager hears what it should, credentials are read, and hosts see
//! none of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use openrtc_tests::{Setup, binary, until};
use rustix::process::Signal;

/// A manager's socket, and everything that it was told so far.
struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    fn at(setup: &Setup) -> Self {
        let path = setup.dir().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("open the socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        Self { socket, told: Vec::new() }
    }

    fn hear(&mut self, what: &str) {
        until(&format!("the manager hears {what}"), || {
            let mut bytes = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut bytes) {
                self.told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            self.heard(what).then_some(())
        });
    }

    fn heard(&self, what: &str) -> bool {
        self.told.iter().any(|told| told.lines().any(|line| line.starts_with(what)))
    }
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = include_str!("../../examples/systemd/openrtc-supervisor.service");
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("openrtc-supervisor.service");
    let here = unit.replace("/usr/local/bin/openrtc-supervisor", &binary().display().to_string());
    fs::write(&path, here).expect("write");
    let Ok(verified) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
        eprintln!("skipped: no systemd-analyze here");
        return;
    };
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
}

#[test]
fn the_manager_is_told_when_it_is_ready_how_it_goes_and_that_it_stops() {
    let setup = Setup::new(&crate::config("[tenants.acme]\n"));
    let mut manager = Manager::at(&setup);
    let socket = setup.dir().join("notify");
    let mut running = setup.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "600000").start();
    manager.hear("READY=1");
    assert!(running.cli(&["snapshot"]).status.success());
    manager.hear("WATCHDOG=1");
    manager.hear("STATUS=serving: 0 sessions");
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    running.live(answer["admitted"]["session"].as_str().expect("admitted"));
    manager.hear("STATUS=serving: 1 sessions on 1 hosts");
    assert!(!manager.heard("STOPPING=1"), "{:?}", manager.told);
    running.signal(Signal::TERM);
    manager.hear("STOPPING=1");
    manager.hear("EXTEND_TIMEOUT_USEC=");
    manager.hear("STATUS=draining: 1 sessions");
    running.cli(&["shutdown"]);
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
}

#[test]
fn it_is_not_ready_where_a_required_wall_is_missing() {
    let setup = Setup::new(&crate::config("[wall]\nrequire = [\"network\"]\n"));
    let manager = Manager::at(&setup);
    let socket = setup.dir().join("notify");
    let mut running = setup.env("NOTIFY_SOCKET", socket).launch();
    assert!(!running.child.wait().expect("wait").success());
    let mut bytes = [0; 64];
    assert!(manager.socket.recv(&mut bytes).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_credential_is_a_key_and_hosts_see_neither_the_directory_nor_the_manager() {
    let more = "[agents.env]\ncommand = [\"/bin/sh\", \"-c\", \"env; test -n \\\"$OPENAI_API_KEY\\\"\"]\n\
                [tenants.acme.api_keys]\nopenai = { credential = \"acme_openai\" }\n\
                [tenants.globex.api_keys]\nopenai = \"credential:globex_openai\"\n\
                [tenants.initech.api_keys]\nopenai = { credential = \"nothing_of_this_name\" }\n";
    let setup = Setup::new(&crate::config(more));
    let credentials = setup.dir().join("credentials");
    fs::create_dir(&credentials).expect("directory");
    for name in ["acme_openai", "globex_openai"] {
        fs::write(credentials.join(name), format!("sk-of-{name}\n")).expect("write");
    }
    let socket = setup.dir().join("notify");
    let _manager = Manager::at(&setup);
    let running = setup
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .env("NOTIFY_SOCKET", socket)
        .env("JOURNAL_STREAM", "1:2")
        .env("INVOCATION_ID", "0123456789abcdef")
        .start();
    for tenant in ["acme", "globex"] {
        let (answer, _) = running.dispatch(tenant, "env", &[]);
        let session = answer["admitted"]["session"].as_str().expect("admitted").to_owned();
        assert_eq!(running.ended(&session)["status"], "success", "{}", running.log());
    }
    let (answer, code) = running.dispatch("initech", "env", &[]);
    assert_eq!(code, 4, "{answer}");
    let log = running.log();
    assert!(log.contains("LoadCredential=nothing_of_this_name:PATH"), "{log}");
    let written = fs::read_to_string(running.dir().join("state/events.jsonl")).expect("events");
    for name in ["CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "JOURNAL_STREAM", "INVOCATION_ID", "sk-of-"] {
        assert!(!written.contains(name) && !log.contains(&format!("{name}=")), "{name} in\n{log}\n{written}");
    }
    assert!(log.contains("OPENRTC_TENANT") || written.contains("OPENRTC_TENANT"), "{log}");
}
