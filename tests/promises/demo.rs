//! The demo runs on the real product, judges what it measured, and leaves nothing behind.
//!
//! Whether its times were kept is for its own verdict, on a machine that does nothing else: `.ci/run` demands it. Beside
//! other tests only what does not hang on the clock is demanded here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use openrtc_tests::supervisor::{lay_program, spawn};
use openrtc_tests::{User, binary, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A demo in an empty folder, with a directory for temporary files of its own.
struct Demo {
    dir: TempDir,
    child: Child,
}

impl Demo {
    fn start(user: User) -> Self {
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
        command.args(["demo", "--json"]).current_dir(dir.path().join("here"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", dir.path().join("tmp"));
        let out = fs::File::create(dir.path().join("out")).expect("create file");
        command.stdin(Stdio::null()).stdout(out).stderr(Stdio::inherit());
        user.to_run(&mut command);
        Self { child: spawn(&mut command), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The pid of its supervisor, once that listens.
    fn supervisor(&self) -> i32 {
        until("the demo's supervisor listens", || {
            let stages = fs::read_dir(self.path("tmp")).ok()?.flatten();
            stages.map(|stage| stage.path().join("run/control.sock")).find(|socket| socket.exists())?;
            let pid = self.child.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
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
fn killed_it_takes_its_supervisor_along() {
    let mut demo = Demo::start(User::Me);
    let supervisor = demo.supervisor();
    demo.signal(Signal::KILL);
    assert_eq!(demo.end(), None);
    until("its supervisor has ended", || is_over(supervisor).then_some(()));
}
