//! The demo runs on the real product, judges what it measured, and leaves nothing behind.
//!
//! Whether its times were kept is for its own verdict, on a machine that does nothing else: `.ci/run` demands it. Beside
//! other tests only what does not hang on the clock is demanded here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use openrtc_tests::supervisor::{lay_program, spawn};
use openrtc_tests::{User, binary, livekit_server, python, turn, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A demo in an empty folder, with a directory for temporary files of its own.
struct Demo {
    dir: TempDir,
    child: Child,
    search: Option<TempDir>,
}

/// A folder with a `livekit-server` that every user can run.
fn livekit_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("ort-").tempdir().expect("temporary directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
    let server = livekit_server::binary().expect("a LiveKit server");
    lay_program(&server, &folder.path().join("livekit-server"));
    folder
}

impl Demo {
    fn start(user: User) -> Self {
        Self::of(user, "/usr/bin:/bin", &["demo", "--json"], |_| ())
    }

    /// The demo with real calls, of a server on the search path.
    fn with_calls(user: User) -> Self {
        let search = livekit_folder();
        let python = python::required().python();
        let arguments = ["demo", "--livekit", "--json", "--python", python.to_str().expect("a path in UTF-8")];
        Self::of(user, search.path().to_str().expect("a path in UTF-8"), &arguments, |command| {
            command.env("HOME", "/nonexistent");
        })
        .keeping(search)
    }

    fn keeping(mut self, search: TempDir) -> Self {
        self.search = Some(search);
        self
    }

    fn of(user: User, search: &str, arguments: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::Builder::new().prefix("ort-").tempdir().expect("temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        let program = dir.path().join("openrtc-supervisor");
        lay_program(binary(), &program);
        for name in ["tmp", "here"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("create directory");
            user.to_own(&path);
        }
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(dir.path().join("here"));
        command.env_clear().env("PATH", search).env("TMPDIR", dir.path().join("tmp"));
        more(&mut command);
        let out = fs::File::create(dir.path().join("out")).expect("create file");
        command.stdin(Stdio::null()).stdout(out).stderr(Stdio::inherit());
        user.to_run(&mut command);
        Self { child: spawn(&mut command), dir, search: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The pid of its supervisor, once that listens.
    fn supervisor(&self) -> i32 {
        until("the demo's supervisor listens", || {
            let stages = fs::read_dir(self.path("tmp")).ok()?.flatten();
            stages.map(|stage| stage.path().join("run/control.sock")).find(|socket| socket.exists())?;
            self.child_pid()
        })
    }

    /// The first of its children, once it has one.
    fn child_pid(&self) -> Option<i32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Pids of what it started, once it has started its server, its supervisor and its callers.
    fn all_three(&self) -> Vec<i32> {
        until("server, supervisor and callers run", || {
            let pid = self.child.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            (children.len() == 3).then_some(children)
        })
    }

    /// Waits for its end; gives its exit code, if it had one.
    fn end(&mut self) -> Option<i32> {
        until("the demo ends", || self.child.try_wait().expect("look at the demo")).code()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the demo");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether the process is gone, or only waits to be reaped by whoever inherited it.
fn is_over(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[track_caller]
fn judged(user: User) -> Value {
    let mut demo = Demo::start(user);
    let supervisor = demo.supervisor();
    let code = demo.end();
    let text = fs::read_to_string(demo.path("out")).expect("read what it printed");
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no object ({error}): {text}"));
    assert_eq!(code, Some(i32::from(said["passed"] != true)), "{text}");
    assert!(is_over(supervisor), "its supervisor runs on");
    assert!(is_empty(&demo.path("tmp")) && is_empty(&demo.path("here")), "it left files behind");

    let checks = said["checks"].as_array().expect("checks");
    let all = checks.iter().all(|check| check["passed"] == true);
    assert_eq!(said["passed"], all, "{text}");
    let passed = |name: &str| checks.iter().any(|check| check["name"] == name && check["passed"] == true);
    for name in ["breaker opened", "breaker recovered", "siblings' sessions"] {
        assert!(passed(name), "{name}: {text}");
    }
    let findings = &said["findings"];
    assert_eq!(findings["hog"]["session_reason"], "memory_limit", "{text}");
    assert!(findings["hog"]["stopped_within_ms"].is_u64(), "{text}");
    assert_eq!(findings["calls"].as_array().map(Vec::len), Some(8), "{text}");
    for phase in ["alone", "beside"] {
        assert!(findings[phase]["samples"].as_u64().is_some_and(|samples| samples > 100), "{phase}: {text}");
    }
    let next = said["next"].as_array().expect("the next commands");
    assert_eq!(next.len(), 3, "{text}");
    let mut first = Command::new("/bin/sh");
    first.args(["-c", next[0].as_str().expect("a command")]).env_clear().env("PATH", "/usr/bin:/bin");
    user.to_run(first.current_dir(demo.path("here")));
    let typed = first.output().expect("type the first of the next commands");
    assert!(typed.status.success(), "{}", String::from_utf8_lossy(&typed.stderr));
    said
}

#[test]
fn it_shows_what_it_says() {
    judged(User::Me);
}

#[test]
fn it_shows_it_to_an_ordinary_user_and_names_the_weaker_walls() {
    let said = judged(User::Ordinary);
    let weaker = said["weaker_walls"].as_array().expect("weaker walls");
    let names: Vec<_> = weaker.iter().filter_map(|wall| wall["wall"].as_str()).collect();
    assert!(names.contains(&"uid"), "{weaker:?}");
    assert!(weaker.iter().all(|wall| wall["by"].as_str().is_some_and(|by| !by.is_empty())), "{weaker:?}");
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    let mut demo = Demo::start(User::Me);
    let supervisor = demo.supervisor();
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(130));
    assert!(is_over(supervisor), "its supervisor runs on");
    assert!(is_empty(&demo.path("tmp")), "it left files behind");
}

#[test]
fn interrupted_while_its_supervisor_starts_it_leaves_nothing_behind() {
    let mut demo = Demo::start(User::Me);
    until("the supervisor is being started", || demo.child_pid());
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(130));
    assert!(is_empty(&demo.path("tmp")), "it left files behind");
}

#[test]
fn killed_it_takes_its_supervisor_along() {
    let mut demo = Demo::start(User::Me);
    let supervisor = demo.supervisor();
    demo.signal(Signal::KILL);
    assert_eq!(demo.end(), None);
    until("its supervisor has ended", || is_over(supervisor).then_some(()));
}

/// The verdict of the demo with real calls; what hangs on the clock is not demanded.
#[track_caller]
fn heard(user: User) -> Value {
    let mut demo = Demo::with_calls(user);
    let started = demo.all_three();
    let code = demo.end();
    let text = fs::read_to_string(demo.path("out")).expect("read what it printed");
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no object ({error}): {text}"));
    assert_eq!(code, Some(i32::from(said["passed"] != true)), "{text}");
    assert!(started.into_iter().all(is_over), "something of it runs on");
    assert!(is_empty(&demo.path("tmp")) && is_empty(&demo.path("here")), "it left files behind");
    let checks = said["checks"].as_array().expect("checks");
    let passed = |name: &str| checks.iter().any(|check| check["name"] == name && check["passed"] == true);
    for name in ["calls answered", "callers understood", "siblings' calls", "failed job reported", "served again"] {
        assert!(passed(name), "{name}: {text}");
    }
    let death = &said["findings"]["death"];
    assert_eq!(death["reason"], "host_signal", "{text}");
    assert!(death["server_said"].as_str().is_some_and(|said| said.contains("its host died by signal 11")), "{text}");
    let calls = said["findings"]["calls"].as_array().expect("calls");
    assert!(calls.len() == 4 && calls[..2].iter().all(|call| call["heard_after_s"].as_f64() > Some(2.0)), "{text}");
    said
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn with_real_calls_it_shows_what_the_callers_heard() {
    let _turn = turn::real_calls();
    heard(User::Me);
}

#[test]
#[cfg_attr(not(all(open_python, livekit)), ignore = "needs a Python that every user can reach, and livekit-server")]
fn with_real_calls_it_shows_it_to_an_ordinary_user() {
    let _turn = turn::real_calls();
    let said = heard(User::Ordinary);
    let weaker = said["weaker_walls"].as_array().expect("weaker walls");
    assert!(weaker.iter().any(|wall| wall["wall"] == "uid"), "{weaker:?}");
}

#[test]
#[cfg_attr(not(all(python, livekit)), ignore = "needs Python 3.11 to 3.13, pip, a package index and livekit-server")]
fn with_real_calls_and_interrupted_it_leaves_nothing_behind() {
    let _turn = turn::real_calls();
    let mut demo = Demo::with_calls(User::Me);
    let started = demo.all_three();
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(130));
    assert!(started.into_iter().all(is_over), "something of it runs on");
    assert!(is_empty(&demo.path("tmp")), "it left files behind");
    let mut demo = Demo::with_calls(User::Me);
    let started = demo.all_three();
    demo.signal(Signal::KILL);
    assert_eq!(demo.end(), None);
    until("server, supervisor and callers have ended", || started.iter().all(|pid| is_over(*pid)).then_some(()));
}

#[test]
fn without_a_server_or_an_interpreter_it_names_the_command_that_installs_it() {
    let here = tempfile::tempdir().expect("temporary directory");
    let told = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["demo", "--livekit"]).args(more).current_dir(here.path());
        command.env_clear().env("PATH", "/nonexistent").env("HOME", "/home/somebody");
        let output = command.output().expect("run the demo");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let install = "GOBIN=/home/somebody/.local/share/openrtc-supervisor go install \
                   github.com/livekit/livekit-server/cmd/server@v1.13.5";
    let said = told(&[]);
    assert!(said.starts_with("demo: failed to find a LiveKit server; ") && said.contains(install), "{said}");
    let said = told(&["--server", "/bin/true"]);
    assert!(said.contains("failed to find a Python; ") && said.contains("pip install ./tenant-host/python"), "{said}");
    let said = told(&["--server", "/bin/true", "--python", "/bin/false"]);
    assert!(said.contains("use /bin/false: it has no openrtc_host"), "{said}");
}
