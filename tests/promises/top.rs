//! `top` on a terminal, and `logs` on a log: what an operator sees of it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use openrtc_tests::supervisor::spawn;
use openrtc_tests::terminal::Terminal;
use openrtc_tests::{Running, Setup, until};
use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};

use crate::config;

/// A terminal of our own, with `top` on it.
struct Seen {
    child: Child,
    keys: File,
    /// Held open, so that the terminal's settings can be read when `top` has left.
    terminal: Terminal,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Seen {
    fn start(running: &Running, arguments: &[&str]) -> Self {
        let terminal = Terminal::open();
        let end = || Stdio::from(terminal.end());
        let mut command = running.command(&[&["top"], arguments].concat());
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let child = spawn(&mut command);
        let screen = Arc::new(Mutex::new(vt100::Parser::default()));
        let keys = terminal.screen();
        let (mut from, to) = (keys.try_clone().expect("the terminal again"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                to.lock().expect("the screen").process(&bytes[..read]);
            }
        });
        Self { child, keys, terminal, screen }
    }

    fn text(&self) -> String {
        self.screen.lock().expect("the screen").screen().contents()
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        until(&format!("the screen shows {what:?}"), || self.text().contains(what).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("press keys");
    }

    fn is_ours(&self) -> bool {
        let screen = self.screen.lock().expect("the screen");
        let modes = tcgetattr(self.terminal.end()).expect("its settings").local_modes;
        let cooked = modes.contains(LocalModes::ICANON | LocalModes::ECHO);
        cooked && !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
    }

    /// Waits until it has left, and the terminal is as it was.
    #[track_caller]
    fn leaves_in_order(&mut self) {
        let status = until("top has left", || self.child.try_wait().expect("look at top"));
        assert!(status.success(), "{status}\n{}", self.text());
        until("the terminal is as it was", || self.is_ours().then_some(()));
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the screen\n{}", self.text());
        }
    }
}

#[test]
fn top_shows_a_session_kills_its_host_when_confirmed_and_gives_the_terminal_back() {
    let running = Setup::new(&config("[tenants.acme]\n")).start();
    let mut seen = Seen::start(&running, &["--refresh-rate", "5"]);
    seen.shows("no session waits or runs");
    assert!(!seen.is_ours(), "it has taken the terminal");
    let (answer, _) = running.dispatch("acme", "wait", &[]);
    let session = answer["admitted"]["session"].as_str().expect("a session").to_owned();
    running.live(&session);
    seen.shows(&session);
    let host = running.hosts_of("acme")[0]["host"].as_str().expect("a host").to_owned();
    seen.press("\t");
    seen.shows("WALL");
    seen.press("\r");
    seen.shows(&format!("Host {host}"));
    seen.shows("memory ");
    seen.press("k");
    seen.shows(&format!("Kill host {host} of tenant acme?"));
    seen.press("n");
    seen.shows("nothing was done");
    assert_eq!(running.hosts_of("acme").len(), 1);
    seen.press("k");
    seen.shows("Its session is cut off.");
    seen.press("y");
    seen.shows(&format!("{host} is gone after"));
    let ended = running.ended(&session);
    assert_eq!(ended["reason"], "operator_kill", "{ended}");
    // What ended on it is told where it was looked into.
    seen.shows("operator_kill");
    seen.press("q");
    seen.leaves_in_order();
}

#[test]
fn top_says_that_the_supervisor_is_gone_and_a_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Setup::new(&config("")).start();
        let mut seen = Seen::start(&running, &[]);
        seen.shows("no session waits or runs");
        running.child.kill().expect("kill the supervisor");
        running.child.wait().expect("wait for it");
        seen.shows("the supervisor is gone; trying again");
        // The keyboard is served all the same.
        seen.press("?");
        seen.shows("any key closes this");
        rustix::process::kill_process(rustix::process::Pid::from_child(&seen.child), signal).expect("signal top");
        seen.leaves_in_order();
    }
}

#[test]
fn one_frame_of_top_has_the_tenants_rows_as_text_and_as_data() {
    let running = Setup::new(&config("[tenants.acme]\n[tenants.globex]\n")).start();
    for tenant in ["acme", "globex"] {
        let (answer, _) = running.dispatch(tenant, "wait", &[]);
        running.live(answer["admitted"]["session"].as_str().expect("a session"));
    }
    let (data, code) = running.json(&["top", "--once", "--tenant", "acme", "--sort", "cpu_pct"]);
    assert_eq!((data["sessions"].as_array().map(Vec::len), code), (Some(1), 0), "{data}");
    assert_eq!(data["sessions"][0]["tenant"], "acme");
    assert!(data["hosts"][0]["memory_max_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{data}");
    for key in ["name", "uptime_s", "active_sessions", "max_sessions", "started", "failed", "draining", "system"] {
        assert!(data["worker"].get(key).is_some(), "worker: {key} is missing");
    }
    let output = running.cli(&["top", "--once"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("acme") && text.contains("globex") && !text.contains('\x1b'), "{text}");
    let output = running.cli(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--once"));
}

#[test]
fn logs_finds_a_tenants_lines_in_the_log_and_follows_it() {
    let running = Setup::new(&config("[tenants.acme-corp]\n[tenants.globex]\n")).start();
    let mut follow = running.command(&["--json", "logs", "supervisor.log", "--follow", "--tenant", "acme-corp"]);
    let out = File::create(running.dir().join("followed")).expect("a file");
    let mut follower = spawn(follow.stdout(out).stderr(Stdio::null()));
    let session = |tenant: &str| {
        let (answer, _) = running.dispatch(tenant, "echo", &["--wait"]);
        answer["admitted"]["session"].as_str().expect("a session").to_owned()
    };
    let (mine, _) = (session("acme-corp"), session("globex"));
    let told = until("the lines came", || {
        let told = std::fs::read_to_string(running.dir().join("followed")).unwrap_or_default();
        told.contains("hello from acme-corp").then_some(told)
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&follower), Signal::TERM).expect("signal logs");
    assert!(follower.wait().expect("wait").success());
    // What the seeds' grep finds is what `logs` finds, byte for byte.
    let grep = r#""tenant": "acme-corp""#;
    assert!(told.lines().all(|line| line.contains(grep)), "{told}");
    let found: String =
        running.log().lines().filter(|line| line.contains(grep)).map(|line| format!("{line}\n")).collect();
    let output = running.cli(&["--json", "logs", "supervisor.log", "--tenant", "acme-corp"]);
    let whole = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(whole.starts_with(&found) && !found.is_empty(), "{whole}\n---- grep found\n{found}");
    let piped = running.command(&["logs", "--session", &mine, "--level", "info"]);
    let mut piped = piped;
    let log = File::open(running.dir().join("supervisor.log")).expect("the log");
    let text = String::from_utf8_lossy(&piped.stdin(log).output().expect("logs").stdout).into_owned();
    assert!(text.contains(&format!("tenant=acme-corp session_id={mine}")), "{text}");
    assert!(!text.contains("globex"), "{text}");
}
