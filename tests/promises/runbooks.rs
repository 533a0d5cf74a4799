//! The runbooks hold: each command of each page is run as it stands there, one after the other, by somebody who has nothing
//! but the pages.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use openrtc_tests::supervisor::{lay_program, spawn};
use openrtc_tests::{binary, page, until};
use tempfile::TempDir;

/// An operator's terminal: a folder with the example agency, as `docs/runbooks/README.md` has it laid, and its supervisor.
struct Terminal {
    home: TempDir,
    supervisor: Child,
}

impl Terminal {
    fn open() -> Self {
        let home = tempfile::Builder::new().prefix("ort-").tempdir().expect("temporary directory");
        for name in ["bin", "run", "state"] {
            fs::create_dir(home.path().join(name)).expect("create a folder");
        }
        lay_program(binary(), &home.path().join("bin/openrtc-supervisor"));
        let blocks = page::blocks(&page::read("docs/runbooks/README.md"));
        let [lay, run] = &blocks[..] else { panic!("two blocks: {blocks:?}") };
        let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let laid = typed(&home, &lay.replace("examples/", &format!("{repository}/examples/"))).output();
        assert!(laid.expect("lay the agency").status.success(), "{lay}");
        let errors = File::create(home.path().join("errors.log")).expect("create a log");
        let supervisor = spawn(typed(&home, &format!("exec {run}")).stdout(Stdio::null()).stderr(errors));
        let terminal = Self { home, supervisor };
        until("the supervisor answers", || {
            typed(&terminal.home, "openrtc-supervisor snapshot").output().ok()?.status.success().then_some(())
        });
        terminal
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs the commands of a page in order, each of which must end as the page says; gives what they printed.
    #[track_caller]
    fn follows(&self, name: &str) -> String {
        let mut all = String::new();
        for block in page::blocks(&page::read(&format!("docs/runbooks/{name}.md"))) {
            let output = typed(&self.home, &checked(&block)).output().expect("run a block of the page");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let complained = String::from_utf8_lossy(&output.stderr);
            let log = || fs::read_to_string(self.at("agency/supervisor.log")).unwrap_or_default();
            assert!(output.status.success(), "{name}:\n{block}\n{printed}\n{complained}\n{}", log());
            all.extend([printed.as_str(), &*complained]);
        }
        all
    }

    fn runs(&self, block: &str) -> String {
        let output = typed(&self.home, block).output().expect("run a command");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

fn typed(home: &TempDir, block: &str) -> Command {
    let mut command = Command::new("/bin/bash");
    command.args(["-e", "-c", block]).current_dir(home.path()).stdin(Stdio::null()).env_clear();
    command.env("PATH", format!("{}/bin:/usr/local/bin:/usr/bin:/bin", home.path().display()));
    command.env("HOME", home.path());
    command.env("RUNTIME_DIRECTORY", home.path().join("run")).env("STATE_DIRECTORY", home.path().join("state"));
    command.env("OPENRTC_SUPERVISOR_CONTROL_SOCKET", home.path().join("run/control.sock"));
    command
}

/// A line that ends in `# exit N` must end so; the others must succeed.
fn checked(block: &str) -> String {
    let line = |line: &str| match line.split_once("# exit ") {
        Some((command, code)) => {
            let code = code.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            format!("code=0; {{ {}; }} || code=$?; [ $code = {code} ]", command.trim_end())
        }
        None => line.to_owned(),
    };
    block.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_tenant_is_onboarded_step_by_step() {
    let terminal = Terminal::open();
    let printed = terminal.follows("onboard-a-tenant");
    assert!(printed.contains("tenant_unknown") && printed.contains("vandelay"), "{printed}");
}

#[test]
fn a_tenant_that_misbehaves_is_found_confined_and_let_in_again() {
    let terminal = Terminal::open();
    // It fails without a recording; more often than the breaker's window suffers.
    let failing = "openrtc-supervisor dispatch --tenant initech --agent support --room initech_1 --wait || true";
    for _ in 0..6 {
        terminal.runs(failing);
    }
    let printed = terminal.follows("a-tenant-misbehaves");
    assert!(printed.contains("tenant_suspended"), "{printed}");
    let bundle = fs::read_to_string(terminal.at("initech-bundle.json")).expect("the bundle");
    assert!(bundle.contains("initech") && !bundle.contains("acme-corp"), "{bundle}");
}

#[test]
fn a_key_is_rotated() {
    Terminal::open().follows("rotate-a-key");
}

#[test]
fn a_new_version_is_deployed() {
    Terminal::open().follows("deploy-a-new-version");
}

#[test]
fn a_machine_is_drained() {
    let mut terminal = Terminal::open();
    terminal.follows("drain-a-machine");
    let status = until("the supervisor has finished", || terminal.supervisor.try_wait().expect("look at it"));
    assert!(status.success(), "{status}");
}
