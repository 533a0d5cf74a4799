//! What a tenant does to its neighbours beside taking memory and CPU: for `selftest isolation`.
//!
//! Owns: these attacks, each with an end of its own. Never: harms where a wall fails: what is tried is tried once, with
//! signal 0, on files of the test's own, within a bound.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{Pid, Uid, geteuid, setuid};
use openrtc_ipc::blocking::Channel;
use openrtc_ipc::{AgentName, Command as Order, Hello, PROTOCOL, Report};
use serde_json::json;

use super::{AGENT_ARGUMENT, AgentError, Emitter, Session, pass};

/// Children that are made at most, whatever the wall allows.
const CHILDREN_MAX: usize = 200;
/// How long each of them lives.
const CHILD_LIFE: Duration = Duration::from_secs(4);
/// Longest flood, in seconds.
const FLOOD_S_MAX: f64 = 5.0;
/// Bytes that a flood of output has at most.
const FLOOD_BYTES_MAX: usize = 64 << 20;
/// Events that a flood of them has at most.
const FLOOD_EVENTS_MAX: u64 = 500_000;
/// No frame: what follows the length is no report.
const GARBAGE: [u8; 20] = [16, 0, 0, 0, 0xfe, 0xfd, 0xfc, 0xfb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// One child of the fork bomb.
pub(super) fn idle() {
    pass(CHILD_LIFE);
}

/// Makes children until it is refused or has enough; says `forks_stopped` with how many there were.
pub(super) fn forks<W: Write>(emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let mut children: Vec<Child> = Vec::new();
    let mut refused = None;
    while children.len() < CHILDREN_MAX && refused.is_none() {
        let mut command = Command::new("/proc/self/exe");
        command.args([AGENT_ARGUMENT, "idle"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => children.push(child),
            Err(error) => refused = Some(error),
        }
    }
    let by_a_wall = refused.as_ref().is_some_and(|error| error.raw_os_error() == Some(nix::libc::EAGAIN));
    let error = refused.map(|error| error.to_string());
    let data = json!({"children": children.len(), "refused": by_a_wall, "error": error});
    for child in &mut children {
        // One that has ended already is as good.
        let _ = child.kill().and_then(|()| child.wait());
    }
    emitter.custom("forks_stopped", data)
}

/// Writes lines to standard error as fast as they are taken.
pub(super) fn lines<W: Write>(session: &Session, emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let until = Instant::now() + flood_length(session);
    let block = "selftest: this line is part of a flood\n".repeat(200);
    let (mut bytes, mut out) = (0, io::stderr().lock());
    while Instant::now() < until && bytes < FLOOD_BYTES_MAX && out.write_all(block.as_bytes()).is_ok() {
        bytes += block.len();
    }
    emitter.custom("lines_stopped", json!({"kib": bytes / 1024}))
}

/// Writes events as fast as they are taken.
pub(super) fn events<W: Write>(session: &Session, emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let until = Instant::now() + flood_length(session);
    let batch = vec![json!({"type": "custom", "name": "flood", "data": {}}); 100];
    let mut sent = 0;
    while Instant::now() < until && sent < FLOOD_EVENTS_MAX {
        emitter.emit(&batch)?;
        sent += 100;
    }
    Ok(())
}

fn flood_length(session: &Session) -> Duration {
    Duration::from_secs_f64(session.number("seconds", 2.0).clamp(0.1, FLOOD_S_MAX))
}

/// A host program that is well behaved until its session starts, and then writes what is no frame.
pub(super) fn frames(channel: OwnedFd) -> io::Result<()> {
    let socket = UnixStream::from(channel);
    let mut raw = socket.try_clone()?;
    let mut channel = Channel::new(socket);
    let hello = Hello { protocol: PROTOCOL, program: "selftest".to_owned(), version: "1".to_owned() };
    channel.report(&Report::Hello(hello)).map_err(io::Error::other)?;
    loop {
        match channel.command().map_err(io::Error::other)? {
            Order::Configure(configure) => {
                let agents: Vec<AgentName> = configure.agents.into_iter().map(|agent| agent.name).collect();
                channel.report(&Report::Ready { agents }).map_err(io::Error::other)?;
            }
            Order::StartSession { info, .. } => {
                channel.report(&Report::SessionStarted { session: info.session }).map_err(io::Error::other)?;
                raw.write_all(&GARBAGE)?;
            }
            Order::Ping { nonce } => channel.report(&Report::Pong { nonce }).map_err(io::Error::other)?,
            _ => {}
        }
    }
}

/// Tries the ways out, one after another, and says of each in `escape_tried` whether it worked.
pub(super) fn escape<W: Write>(session: &Session, emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let pid = |key: &str| session.number(key, 0.0) as i32;
    let (supervisor, sibling) = (pid("supervisor_pid"), pid("victim_pid"));
    let dir = std::path::PathBuf::from(session.text("dir").unwrap_or_default());
    let opened = |path: String| File::open(path).map(drop);
    let ways: [(&str, io::Result<()>); 8] = [
        ("signal the supervisor", kill(Pid::from_raw(supervisor), None).map_err(io::Error::from)),
        ("signal a sibling's host", kill(Pid::from_raw(sibling), None).map_err(io::Error::from)),
        ("read the supervisor's environment", opened(format!("/proc/{supervisor}/environ"))),
        ("read a sibling's memory", opened(format!("/proc/{sibling}/mem"))),
        ("connect to the control socket", UnixStream::connect(dir.join("run/control.sock")).map(drop)),
        ("read the supervisor's configuration", opened(dir.join("openrtc-supervisor.toml").display().to_string())),
        ("write beside the supervisor's files", File::create(dir.join("escaped")).map(drop)),
        ("take a raw socket, or another uid", raw_socket().or_else(|_| another_uid())),
    ];
    for (way, result) in ways {
        let error = result.err().map(|error| error.to_string());
        emitter.custom("escape_tried", json!({"way": way, "worked": error.is_none(), "error": error}))?;
    }
    Ok(())
}

fn raw_socket() -> io::Result<()> {
    Ok(socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None).map(drop)?)
}

fn another_uid() -> io::Result<()> {
    Ok(setuid(Uid::from_raw(geteuid().as_raw() + 1))?)
}
