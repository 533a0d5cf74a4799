//! What a Python interpreter starts with: its environment and arguments, and for a zygote its walls, kept over the exec.
//!
//! A script stands in for the interpreter, so that these need no Python.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use openrtc_ipc::{Command, Report, SetupStep, Welcome, ZygoteReply};

use crate::spawner::Spawned;
use crate::supervisor::{Supervised, lives, pid_in, wait_for_death, wait_until, welcome};
use crate::zygote::field;

/// Writes down what it started with, then says that it is warm and waits for the end of its socket.
const WARM: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
printf '%s\n' "$@" > arguments
tr '\0' '\n' < /proc/$$/environ > environment
cp /proc/$$/status status
touch file
chmod 0777 file 2> chmod
echo $$ > pid
printf '\002\000\000\000\000\000\000\000' >&3
read line <&3
"#;

/// CAP_SETGID, CAP_SETUID and CAP_SETPCAP.
const IDENTITY: u64 = 1 << 6 | 1 << 7 | 1 << 8;

struct Interpreter {
    dir: tempfile::TempDir,
}

impl Interpreter {
    fn of(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let interpreter = Self { dir };
        std::fs::write(interpreter.path(), script).unwrap();
        std::fs::set_permissions(interpreter.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        interpreter
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("python")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mask(status: &str, name: &str) -> u64 {
    u64::from_str_radix(&field(status, name), 16).unwrap()
}

#[test]
fn a_zygotes_walls_and_what_gives_a_host_its_own_uid_are_kept_over_the_exec() {
    let interpreter = Interpreter::of(WARM);
    let zygote = Spawned::start(&["__python-zygote", text(&interpreter.path()), "{}"]);
    assert_eq!(zygote.answer().0, ZygoteReply::Ready);
    let status = interpreter.read("status");
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    assert_eq!(field(&status, "Seccomp"), "2");
    assert!(interpreter.read("chmod").contains("not permitted"), "the filter is in force after the exec");
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let kept = mask(&ours, "CapPrm") & IDENTITY;
    assert_eq!(mask(&status, "CapPrm"), kept);
    assert_eq!(mask(&status, "CapEff"), kept);
    if mask(&ours, "CapEff") >> 8 & 1 == 1 {
        assert_eq!(mask(&status, "CapBnd"), kept, "nothing else can come back");
    }
}

#[test]
fn an_interpreter_gets_the_fixed_environment_and_the_plan_as_its_last_argument() {
    let interpreter = Interpreter::of(WARM);
    let zygote = Spawned::start(&["__python-zygote", text(&interpreter.path()), r#"{"preload":"auto"}"#]);
    assert_eq!(zygote.answer().0, ZygoteReply::Ready);
    let arguments = interpreter.read("arguments");
    let arguments: Vec<&str> = arguments.lines().collect();
    assert_eq!(arguments, ["-I", "-B", "-X", "faulthandler", "-m", "openrtc_host", "zygote", r#"{"preload":"auto"}"#]);
    let environment = interpreter.read("environment");
    for variable in ["OPENBLAS_NUM_THREADS=1", "ORT_DISABLE_TELEMETRY=1", "PYTHON_DOTENV_DISABLED=1"] {
        assert!(environment.lines().any(|line| line == variable), "{variable} is not in {environment}");
    }
    assert!(!environment.contains("CANARY"), "{environment}");
}

#[test]
fn an_interpreters_zygote_dies_with_the_thread_that_made_it() {
    let interpreter = Interpreter::of(WARM);
    let path = interpreter.path();
    let (zygote, pid) = std::thread::spawn(move || {
        let zygote = Spawned::start(&["__python-zygote", text(&path), "{}"]);
        assert_eq!(zygote.answer().0, ZygoteReply::Ready);
        let pid = pid_in(&path.with_file_name("pid"));
        assert!(lives(pid));
        (zygote, pid)
    })
    .join()
    .unwrap();
    assert!(zygote.socket.is_some(), "it is not the end of the socket that ends it");
    wait_for_death(pid);
}

#[test]
fn an_interpreter_that_cannot_be_started_makes_a_zygote_unfit_with_the_reason() {
    let mut zygote = Spawned::start(&["__python-zygote", "/no/such/python", "{}"]);
    let (ZygoteReply::Unfit { why }, None) = zygote.answer() else { panic!("not unfit") };
    assert!(why.contains("/no/such/python") && why.contains("no such program"), "{why}");
    let status = wait_until("it exits", || zygote.child.try_wait().unwrap());
    assert!(!status.success());
}

#[test]
fn an_interpreter_that_cannot_be_started_fails_a_cold_hosts_set_up_at_the_exec() {
    let mut host = Supervised::started(&["__python-host", "/no/such/python", "{}"]);
    assert!(matches!(host.next(), Report::Hello(_)));
    host.send(&Command::Welcome(Welcome { lockdown: Some(host.lockdown()), ..welcome() }));
    let Report::SetupFailed { step, errno, detail } = host.next() else { panic!("no failure") };
    assert_eq!((step, errno), (SetupStep::Exec, nix::errno::Errno::ENOENT as i32));
    assert!(detail.contains("/no/such/python"), "{detail}");
    assert!(!host.wait().success());
}

#[test]
fn a_cold_interpreter_finds_its_channel_open_and_its_own_role() {
    let interpreter = Interpreter::of("#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$7\" > role\ncat <&3 > heard\n");
    let mut host = Supervised::started(&["__python-host", text(&interpreter.path()), "{}"]);
    host.send(&Command::Ping { nonce: 1 });
    host.socket = None;
    assert!(host.wait().success());
    assert_eq!(interpreter.read("role"), "host\n");
    let heard = std::fs::read(interpreter.dir.path().join("heard")).unwrap();
    assert_eq!(heard, openrtc_ipc::encode_command(&Command::Ping { nonce: 1 }).unwrap());
}

#[test]
fn without_an_interpreter_or_a_plan_the_program_says_what_it_expected() {
    let mut host = Supervised::started(&["__python-host", "/usr/bin/python3"]);
    assert_eq!(host.wait().code(), Some(2));
    assert!(host.stderr().contains("expected INTERPRETER PLAN"));
}
