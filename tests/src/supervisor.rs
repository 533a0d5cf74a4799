//! A supervisor under test, in a directory of its own.
//!
//! Owns: starting and stopping it, as root or as an ordinary user, and asking it through its own command line. Never:
//! leaves a process behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::tree;
use crate::product::binary;
use crate::wait::until;

/// An unprivileged uid that no account of the machine has.
const ORDINARY_UID: u32 = 61_234;

/// Lines of its log that are shown of a test that failed.
const LAST_LINES: usize = 40;

/// Who runs the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the tests.
    Me,
    /// An ordinary user: another uid when the tests run as root, else whoever runs them.
    Ordinary,
}

impl User {
    /// Has this user run a command.
    pub fn to_run(self, command: &mut Command) {
        if self == Self::Ordinary && is_root() {
            command.uid(ORDINARY_UID).gid(ORDINARY_UID);
        }
    }

    /// Gives a file or directory to this user.
    pub fn to_own(self, path: &Path) {
        if self == Self::Ordinary && is_root() {
            std::os::unix::fs::chown(path, Some(ORDINARY_UID), Some(ORDINARY_UID)).expect("give away");
        }
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a test wants.
pub struct Setup {
    config: String,
    config_file: Option<PathBuf>,
    user: User,
    env: Vec<(String, OsString)>,
    flags: Vec<String>,
    dir: TempDir,
}

impl Setup {
    /// A supervisor with this configuration. `DIR` in it is replaced by the test's own directory.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        Self { config: config.to_owned(), config_file: None, user: User::Me, env: Vec::new(), flags: Vec::new(), dir }
    }

    /// A supervisor with a configuration that stands somewhere, as it stands there.
    pub fn of_file(config_file: PathBuf) -> Self {
        Self { config_file: Some(config_file), ..Self::new("") }
    }

    /// Run by this user.
    pub fn run_by(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// With this variable in its environment, which is else empty but for the search path and its directories.
    pub fn env(mut self, variable: &str, value: impl Into<OsString>) -> Self {
        self.env.push((variable.to_owned(), value.into()));
        self
    }

    /// With these after its other options.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// The test's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Lays an executable script for agents.
    pub fn script(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("write script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
        self
    }

    /// Lays a copy of a program.
    pub fn program(self, name: &str, from: &str) -> Self {
        lay_program(Path::new(from), &self.dir.path().join(name));
        self
    }

    /// Lays a file.
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.dir.path().join(name), bytes).expect("write file");
        self
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Running {
        let mut running = self.launch();
        until("the supervisor answers", || {
            if let Some(status) = running.child.try_wait().expect("look at the supervisor") {
                panic!("the supervisor ended with {status}:\n{}", running.log());
            }
            running.cli(&["snapshot"]).status.success().then_some(())
        });
        running
    }

    /// Starts it and does not wait.
    pub fn launch(self) -> Running {
        let dir = self.dir.path();
        let program = dir.join("openrtc-supervisor");
        // Here, because an ordinary user may not reach the build directory.
        lay_program(binary(), &program);
        let config = self.config_file.unwrap_or_else(|| {
            let path = dir.join("openrtc-supervisor.toml");
            fs::write(&path, self.config.replace("DIR", &dir.display().to_string())).expect("write configuration");
            path
        });
        let log = fs::File::create(dir.join("supervisor.log")).expect("create log");
        let mut command = Command::new(&program);
        command.arg("--isolation").arg("process").arg("--config").arg(&config).args(&self.flags);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(self.env);
        for (variable, name) in [("RUNTIME_DIRECTORY", "run"), ("STATE_DIRECTORY", "state")] {
            let path = dir.join(name);
            fs::create_dir(&path).expect("create directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("close directory");
            self.user.to_own(&path);
            command.env(variable, path);
        }
        self.user.to_run(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("share log")).stderr(log);
        let child = spawn(&mut command);
        Running { program, dir: self.dir, child, user: self.user }
    }
}

/// Links a program, or copies it where it cannot be linked.
pub fn lay_program(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("copy program");
    }
}

/// Starts a program; one that was just copied may still be open for writing in a child that another test is forking.
pub fn spawn(command: &mut Command) -> Child {
    until("the program can be executed", || match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => None,
        Err(error) => panic!("start {command:?}: {error}"),
    })
}

/// A supervisor that was started.
pub struct Running {
    program: PathBuf,
    dir: TempDir,
    /// Its process.
    pub child: Child,
    user: User,
}

impl Running {
    /// The test's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("supervisor.log")).unwrap_or_default()
    }

    /// A command line of the product, not yet run, that talks to this supervisor.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--control-socket").arg(self.dir.path().join("run/control.sock")).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.dir.path());
        self.user.to_run(&mut command);
        command.stdin(Stdio::null());
        command
    }

    /// Runs one command line.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run the command line")
    }

    /// Runs one command line with `--json`; gives its object and its exit code.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.command(&["--json"]).args(arguments).output().expect("run the command line");
        let text = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{arguments:?} printed no JSON ({error}): {text}\n{}", String::from_utf8_lossy(&output.stderr))
        });
        (value, output.status.code().unwrap_or(-1))
    }

    /// Asks something that must work; gives the answer.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Value {
        let (answer, code) = self.json(arguments);
        assert_eq!(code, 0, "{arguments:?}: {answer}");
        answer
    }

    /// Places a session that must be admitted, and waits until it runs; gives its id.
    #[track_caller]
    pub fn admitted(&self, tenant: &str, agent: &str) -> String {
        let (answer, code) = self.dispatch(tenant, agent, &[]);
        assert_eq!(code, 0, "{answer}");
        let session = answer["admitted"]["session"].as_str().expect("a session").to_owned();
        self.live(&session);
        session
    }

    /// Places a session; gives the answer's object and the exit code.
    #[track_caller]
    pub fn dispatch(&self, tenant: &str, agent: &str, more: &[&str]) -> (Value, i32) {
        let room = format!("{tenant}_{agent}-1");
        let mut arguments = vec!["dispatch", "--tenant", tenant, "--agent", agent, "--room", &room];
        arguments.extend_from_slice(more);
        self.json(&arguments)
    }

    /// The snapshot.
    #[track_caller]
    pub fn snapshot(&self) -> Value {
        self.json(&["snapshot"]).0
    }

    /// Waits until a host that was forked ahead is ready, and nobody has taken it.
    pub fn idle_host(&self) {
        until("a host is idle", || {
            let zygotes = self.snapshot()["zygotes"].as_array().cloned().unwrap_or_default();
            zygotes.iter().any(|row| row["idle_hosts"].as_u64() > Some(0)).then_some(())
        });
    }

    /// One tenant's hosts, from the snapshot.
    #[track_caller]
    pub fn hosts_of(&self, tenant: &str) -> Vec<Value> {
        let snapshot = self.snapshot();
        let hosts = snapshot["hosts"].as_array().cloned().unwrap_or_default();
        hosts.into_iter().filter(|host| host["tenant"] == tenant).collect()
    }

    /// One session's entry once it has ended.
    #[track_caller]
    pub fn ended(&self, session: &str) -> Value {
        until("the session has ended", || {
            let (entry, code) = self.json(&["session", "show", session]);
            (code == 0 && entry["state"] == "ended").then(|| entry["ended"].clone())
        })
    }

    /// What an agent told in its custom events of this name, in order, once `enough` is satisfied with it.
    #[track_caller]
    pub fn told(&self, session: &str, name: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(&format!("the agent has told enough of {name}"), || {
            let told: Vec<Value> = self
                .events()
                .into_iter()
                .filter(|line| line["kind"] == "session_event" && line["session_id"] == session)
                .filter(|line| line["payload"]["type"] == "custom" && line["payload"]["name"] == name)
                .map(|line| line["payload"]["data"].clone())
                .collect();
            enough(&told).then_some(told)
        })
    }

    /// Waits until a session runs on its host.
    #[track_caller]
    pub fn live(&self, session: &str) {
        until("the session runs", || {
            let events = self.events();
            let of_session =
                |kind: &str| events.iter().find(|event| event["session_id"] == session && event["kind"] == kind);
            assert_eq!(of_session("session_end"), None, "it ended");
            of_session("session_start").map(|_| ())
        });
    }

    /// What the observers' file holds so far; the test's configuration must name `DIR/state/events.jsonl`.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("state/events.jsonl")).unwrap_or_default();
        // The last line may still be on its way.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Pids of every process below the supervisor.
    pub fn descendants(&self) -> Vec<u32> {
        tree(self.pid()).into_iter().filter(|pid| *pid != self.pid()).collect()
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signal the supervisor");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The end of it: what failed stands above, and is to be found.
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!("---- supervisor's log, the last {} lines\n{}", last.len(), last.join("\n"));
        }
    }
}
