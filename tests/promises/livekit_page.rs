//! `docs/livekit.md` takes a newcomer from nothing to a call that is answered: its commands are run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use openrtc_tests::livekit_server::{self, Ports};
use openrtc_tests::supervisor::{lay_program, spawn};
use openrtc_tests::{binary, page, python, turn, until};
use serde_json::Value;
use tempfile::TempDir;

/// The port that the page's server has.
const PORT: &str = "7880";
/// Commands of the way to a call, at most.
const COMMANDS_MAX: usize = 10;

/// A terminal of the newcomer: the repository's root, a home, and what the first commands have installed.
struct Newcomer {
    home: TempDir,
    ports: Ports,
}

impl Newcomer {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("ort-").tempdir().expect("temporary directory");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("open the folder");
        let bin = home.path().join(".local/bin");
        fs::create_dir_all(&bin).expect("create a folder");
        lay_program(&livekit_server::binary().expect("a LiveKit server"), &bin.join("server"));
        lay_program(binary(), &bin.join("openrtc-supervisor"));
        for name in ["run", "state"] {
            fs::create_dir(home.path().join(name)).expect("create a folder");
        }
        Self { home, ports: Ports::free() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A block of the page, with the server's own ports in place of the usual one.
    fn typed(&self, block: &str) -> Command {
        let venv = python::required().dir();
        let mut command = Command::new("/bin/bash");
        let block = block.replace("logging: {", &format!("{}\nlogging: {{", self.ports.config()));
        command.args(["-e", "-c", &block.replace(PORT, &self.ports.http.to_string())]);
        let path = format!("{}:{}:/usr/bin:/bin", self.at(".local/bin").display(), venv.join("bin").display());
        command.env_clear().env("PATH", path).env("HOME", self.home.path()).env("VIRTUAL_ENV", venv);
        command.env("RUNTIME_DIRECTORY", self.at("run")).env("STATE_DIRECTORY", self.at("state"));
        command.env("OPENRTC_SUPERVISOR_CONTROL_SOCKET", self.at("run/control.sock"));
        command.env("LIVEKIT_URL", format!("ws://127.0.0.1:{}", self.ports.http));
        command.current_dir(python::repository("")).stdin(Stdio::null());
        command
    }

    /// The same, in the background: its last command takes the shell's place.
    fn begun(&self, block: &str, log: &str) -> Begun {
        let log = fs::File::create(self.at(log)).expect("create a log");
        let (before, last) = block.rsplit_once('\n').unwrap_or(("", block));
        let mut command = self.typed(&format!("{before}\nexec {last}"));
        Begun(spawn(command.stdout(log.try_clone().expect("share the log")).stderr(log)))
    }

    /// The same, to its end; what it printed.
    #[track_caller]
    fn run(&self, block: &str) -> String {
        let output = self.typed(block).output().expect("run a block of the page");
        let said = String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(self.at("supervisor.log")).unwrap_or_default();
        assert!(output.status.success(), "{block}: {}\n{said}\n{log}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A process that ends with the test.
struct Begun(std::process::Child);

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the page's first block installs is what these tests are made with: built, fetched and installed once for all of
/// them, which takes minutes.
#[track_caller]
fn installs_what_the_tests_have(block: &str) {
    let lines: Vec<&str> = block.lines().collect();
    let [cargo, go, venv, pip] = lines[..] else { panic!("four commands: {block}") };
    assert_eq!(cargo, "cargo install --path supervisor");
    let package = format!("github.com/livekit/livekit-server/cmd/server@v{}", livekit_server::VERSION);
    assert_eq!(go, format!("GOBIN=$HOME/.local/bin go install {package}"));
    assert_eq!(venv, "python3 -m venv .venv && . .venv/bin/activate");
    let words: Vec<&str> = pip.split(' ').collect();
    let ["pip", "install", "-c", constraints, requirement, host] = words[..] else { panic!("pip: {pip}") };
    let requirement = requirement.trim_matches('"');
    assert!(python::REQUIREMENTS.contains(&requirement), "{requirement} is not what the tests install");
    assert!(python::repository(constraints).is_file() && python::repository(host).join("pyproject.toml").is_file());
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn the_page_leads_from_nothing_to_a_call_that_is_answered() {
    let _turn = turn::real_calls();
    let page = page::read("docs/livekit.md");
    let blocks = page::blocks_below(&page, "From nothing to a call answered behind a wall");
    let [install, server, run, call, mint] = &blocks[..] else { panic!("five blocks: {blocks:?}") };
    let commands: usize = blocks[..4].iter().map(|block| block.lines().count()).sum();
    assert!(commands < COMMANDS_MAX, "{commands} commands");
    installs_what_the_tests_have(install);

    let newcomer = Newcomer::new();
    let _server = newcomer.begun(server, "server.log");
    until("the server answers", || newcomer.ports.answer().then_some(()));
    let _supervisor = newcomer.begun(run, "supervisor.log");
    let registered = "openrtc-supervisor --json livekit status";
    until("the worker can be offered calls", || {
        let output = newcomer.typed(registered).output().ok()?;
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["dispatchable"] == true).then_some(())
    });
    let said = newcomer.run(call);
    let (heard, hosts) = said.split_once('\n').expect("two answers");
    let heard: Value = serde_json::from_str(heard).unwrap_or_else(|error| panic!("no object ({error}): {said}"));
    assert!(heard["heard"] == true && heard["first_audio_ms"].is_u64(), "{said}");
    assert!(hosts.contains("acme-corp"), "{said}");
    assert!(newcomer.run(mint).starts_with("eyJ"));
    let asking = page::blocks_below(&page, "When no agent comes");
    let [status, check, simulate] = asking[0].lines().collect::<Vec<_>>()[..] else {
        panic!("three commands");
    };
    assert!(newcomer.run(status).contains("dispatchable"));
    // Nothing speaks against an agent, or it would fail: the room's other dispatch, for nobody's name, does not.
    let said = newcomer.run(check);
    assert!(said.contains("for acme-corp as support"), "{said}");
    newcomer.run(simulate);
}
