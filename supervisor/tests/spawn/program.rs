//! What the children of these tests are, and how the tests speak with them: a line down the channel, a line back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use openrtc_ipc::{HostId, RuntimeName};
use openrtc_supervisor::spawn::{
    ChildTable, HostProgram, How, LaunchArguments, Newborn, Process, Spawner, ZygoteState,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use serde_json::{Value, json};

/// First argument under which this executable is a supervisor to be killed.
pub(crate) const SUPERVISOR_ARGUMENT: &str = "__supervisor";
/// First argument under which it is a supervisor that a shell with a child of its own became.
pub(crate) const HEIR_ARGUMENT: &str = "__heir";
/// Second argument under which a zygote's hosts say hello first thing, as those do that the product knows.
pub(crate) const GREETS_ARGUMENT: &str = "__greets";
/// Second argument under which they add their pid to the file of the third, close their channel and stay.
pub(crate) const CLOSES_ARGUMENT: &str = "__closes";
/// How long anything may take on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The host as it is after an exec.
pub(crate) fn cold() -> ExitCode {
    let fds = open_fds();
    let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).expect("a pidfd of myself");
    let channel =
        rustix::process::pidfd_getfd(me, openrtc_ipc::CHANNEL_FD, PidfdGetfdFlags::empty()).expect("a channel");
    serve(channel.into(), &fds)
}

/// The host as a zygote's child.
pub(crate) fn host(channel: UnixStream) -> ExitCode {
    let fds = open_fds();
    serve(channel, &fds)
}

/// The same, which says hello.
pub(crate) fn greeting_host(mut channel: UnixStream) -> ExitCode {
    writeln!(channel, "hello").expect("a listener");
    host(channel)
}

/// One that is of no use.
pub(crate) fn closing_host(channel: UnixStream) -> ExitCode {
    let path = std::env::args().nth(3).expect("a file");
    let mut file = std::fs::File::options().append(true).open(path).expect("the file");
    writeln!(file, "{}", std::process::id()).expect("room");
    drop(channel);
    loop {
        std::thread::park();
    }
}

fn open_fds() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a list of descriptors");
    let mut fds: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The list was read through a descriptor of its own, which is gone by now.
    fds.retain(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    fds.sort_unstable();
    fds
}

/// Answers lines until the channel ends.
fn serve(channel: UnixStream, fds: &[i32]) -> ExitCode {
    let mut answers = channel.try_clone().expect("a second handle");
    for line in BufReader::new(channel).lines() {
        let Ok(line) = line else { break };
        let mut words = line.split(' ');
        let answer = match (words.next(), words.next()) {
            (Some("describe"), _) => describe(fds),
            (Some("die_with_parent"), _) => {
                let kill = Some(rustix::process::Signal::KILL);
                json!(rustix::process::set_parent_process_death_signal(kill).is_ok())
            }
            (Some("print"), Some(word)) => {
                println!("{word}");
                eprintln!("{word}!");
                json!(true)
            }
            (Some("shell"), _) => {
                let script = line.split_once(' ').unwrap_or_default().1;
                let status = Command::new("/bin/sh").arg("-c").arg(script).status();
                json!(status.is_ok_and(|status| status.success()))
            }
            (Some("spin"), _) => {
                let until = Instant::now() + Duration::from_millis(200);
                while Instant::now() < until {}
                json!(true)
            }
            (Some("exit"), Some(code)) => std::process::exit(code.parse().unwrap_or(255)),
            _ => json!("what?"),
        };
        if writeln!(answers, "{answer}").is_err() {
            break;
        }
    }
    ExitCode::from(7)
}

fn describe(fds: &[i32]) -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap_or_default().to_owned()
    };
    json!({
        "pid": std::process::id(),
        "tid": rustix::thread::gettid().as_raw_nonzero().get(),
        "ppid": rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()),
        "session": rustix::process::getsid(None).map_or(0, |pid| pid.as_raw_nonzero().get()),
        "fds": fds,
        "stdin": std::fs::read_link("/proc/self/fd/0").unwrap_or_default(),
        "channel": std::fs::read_link("/proc/self/fd/3").unwrap_or_default(),
        "variables": std::env::vars().map(|(name, _)| name).collect::<Vec<_>>(),
        "directory": std::env::current_dir().unwrap_or_default(),
        "SigBlk": field("SigBlk"),
        "SigIgn": field("SigIgn"),
        "Threads": field("Threads"),
    })
}

/// A supervisor with one host of each kind, that tells their pids and its zygote's, and waits to be killed.
pub(crate) fn supervisor() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let spawner = with_zygote().await;
        let mut hosts = Vec::new();
        for how in [How::Cold, How::Zygote] {
            let mut host = Host::new(&spawner, how).await;
            assert_eq!(host.ask("die_with_parent"), json!(true));
            hosts.push(host);
        }
        let mut pids: Vec<i32> = hosts.iter().map(|host| host.process.pid()).collect();
        pids.push(zygote_pid());
        let sleep = ["sleep".to_owned(), std::env::args().nth(2).expect("seconds")];
        let helper = spawner.clone();
        tokio::spawn(async move { helper.run(&sleep, None, Duration::from_secs(600)).await });
        println!("{}", json!(pids));
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// A supervisor that had a child before it began.
pub(crate) fn heir() -> ExitCode {
    openrtc_supervisor::host::tree::become_subreaper().expect("become a subreaper");
    let sleep = std::env::args().nth(2).expect("the child's command line");
    let begun = Instant::now();
    let before = loop {
        match running(&sleep).len() {
            // The shell's child has not become what it will be.
            0 if begun.elapsed() < DEADLINE => std::thread::yield_now(),
            before => break before,
        }
    };
    openrtc_supervisor::host::tree::sweep(Instant::now() + DEADLINE);
    println!("{before} before, {} after", running(&sleep).len());
    for pid in running(&sleep).into_iter().filter_map(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    ExitCode::SUCCESS
}

/// This executable as a host program.
pub(crate) fn this_program() -> HostProgram {
    HostProgram {
        path: std::env::current_exe().unwrap(),
        built_in: LaunchArguments {
            host: vec![openrtc_tenant_host::HOST_ARGUMENT.into()],
            zygote: vec![openrtc_tenant_host::ZYGOTE_ARGUMENT.into()],
            idle_hosts: 0,
        },
        runtimes: BTreeMap::new(),
    }
}

/// The runtime of hosts that the built-in zygote forks.
pub(crate) fn runtime() -> RuntimeName {
    RuntimeName::parse("command").unwrap()
}

/// The spawner of these tests, its zygote warm.
pub(crate) async fn with_zygote() -> Spawner {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| Spawner::start(this_program()).expect("a spawner")).clone();
    warm(&spawner).await;
    spawner
}

/// Waits until its zygote is warm.
pub(crate) async fn warm(spawner: &Spawner) {
    let mut changes = spawner.zygote_changes(&runtime());
    let warm = changes.wait_for(|state| *state == ZygoteState::Warm);
    tokio::time::timeout(DEADLINE, warm).await.expect("a warm zygote in time").expect("a spawner thread");
}

/// A host to speak with.
pub(crate) struct Host {
    pub(crate) process: Process,
    pub(crate) channel: BufReader<UnixStream>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Host {
    pub(crate) async fn new(spawner: &Spawner, how: How) -> Self {
        let newborn = spawner.spawn(HostId { index: 1, generation: 1 }, &runtime(), how).await.expect("a newborn");
        assert_eq!(newborn.how, how, "made as asked");
        Self::from(newborn)
    }

    /// Says a line and gives the answer.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.say(line);
        let mut answer = String::new();
        self.channel.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?} to {line:?}"))
    }

    /// Says a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.channel.get_mut().write_all(format!("{line}\n").as_bytes()).expect("a listener");
    }

    /// Ends it and takes it out of the table.
    pub(crate) fn end(self) {
        let _ = self.process.kill();
        assert!(ends_in_time(&self.process));
        openrtc_supervisor::host::reap::reap(&self.process).expect("ended");
        assert!(!ChildTable::of_this_process().holds(self.process.pid()));
    }
}

impl From<Newborn> for Host {
    fn from(newborn: Newborn) -> Self {
        let Newborn { process, channel, stdout, stderr, .. } = newborn;
        channel.set_nonblocking(false).unwrap();
        channel.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { process, channel: BufReader::new(channel), stdout, stderr }
    }
}

/// Waits for the end of a process.
pub(crate) fn ends_in_time(process: &Process) -> bool {
    is_readable(process.pidfd())
}

/// Waits for a descriptor.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    let limit = Timespec { tv_sec: DEADLINE.as_secs() as i64, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

/// A `sleep` that no other run of these tests has.
pub(crate) fn long_sleep(which: u32) -> String {
    format!("sleep {which}{:07}", std::process::id())
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Pids of all processes whose command line is exactly this, zombies not among them.
pub(crate) fn running(command_line: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        words.join(" ").trim_end() == command_line
    })
    .collect()
}

/// The pid of this process's warm built-in zygote: the child with the zygote's argument that is leader of its session and
/// is not a host (hosts keep the zygote's command line).
pub(crate) fn zygote_pid() -> i32 {
    let silent =
        |pid: &&i32| std::fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|to| to.as_os_str() == "/dev/null");
    *children().iter().filter(|pid| is_zygote(**pid)).find(silent).expect("a zygote")
}

/// The pid of a zygote of a runtime of its own, whose output is read.
pub(crate) fn zygote_with_output() -> i32 {
    *children().iter().find(|pid| is_zygote(**pid) && has_one_pipe(**pid)).expect("a zygote with a pipe")
}

/// The pids of hosts that say hello.
pub(crate) fn greeting_hosts() -> Vec<i32> {
    let is_one = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(GREETS_ARGUMENT) && !has_one_pipe(*pid)
    };
    children().into_iter().filter(is_one).collect()
}

/// Whether standard output and error are one pipe; a host's are two.
fn has_one_pipe(pid: i32) -> bool {
    let [stdout, stderr] = [1, 2].map(|fd| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default());
    stdout == stderr && stdout.to_string_lossy().starts_with("pipe:")
}

/// Kills the zygotes of a spawner that is not needed any more; the next sweep reaps them.
pub(crate) fn end_zygotes() {
    for pid in children().into_iter().filter(|pid| has_one_pipe(*pid)).filter_map(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn children() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.join("children")).ok());
    children.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn is_zygote(pid: i32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.contains(openrtc_tenant_host::ZYGOTE_ARGUMENT)
}
