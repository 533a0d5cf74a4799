//! An agent program that attacks in one chosen way and says on descriptor 3 what it achieved.
//!
//! Owns: the abuse, so that a control run without the wall can show that it works. Never: used by the product.

use std::fs;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().expect("a mode");
    let rest: Vec<String> = arguments.collect();
    run(&mode, &rest);
}

/// Waits for a signal.
fn pause() {
    // SAFETY: it takes nothing.
    unsafe { libc::pause() };
}

fn send(pid: i32, signal: i32) -> std::io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::kill(pid, signal) }.into())
}

fn ignore(signal: i32) {
    // SAFETY: no handler of ours is installed, and none was.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn own_pid() -> i32 {
    std::process::id() as i32
}

fn parents_pid() -> i32 {
    std::os::unix::process::parent_id() as i32
}

/// A session of its own that no polite signal ends.
fn hide() -> ! {
    // SAFETY: it takes nothing.
    unsafe { libc::setsid() };
    ignore(libc::SIGTERM);
    loop {
        pause();
    }
}

/// Says something as a custom event.
fn say(name: &str, data: serde_json::Value) {
    // SAFETY: descriptor 3 is the event stream that an agent program is given; the file is forgotten, not closed.
    let mut events = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(3) });
    let _ = writeln!(events, "{}", serde_json::json!({"type": "custom", "name": name, "data": data}));
}

fn tried(name: &str, result: std::io::Result<()>) {
    let error = result.err().map(|error| error.to_string());
    say(name, serde_json::json!({"worked": error.is_none(), "error": error}));
}

fn check(code: i64) -> std::io::Result<()> {
    if code < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn run(mode: &str, rest: &[String]) {
    let signal_and_wait = |pid: i32, signal: i32| {
        send(pid, signal).expect("send a signal");
        pause();
    };
    match mode {
        "hog" => hog(rest[0].parse().expect("megabytes")),
        "shared_hog" => shared_hog(rest[0].parse().expect("megabytes")),
        "spin" => spin(),
        "fork_bomb" => fork_bomb(),
        "stop" => signal_and_wait(own_pid(), libc::SIGSTOP),
        "stop_host" => signal_and_wait(parents_pid(), libc::SIGSTOP),
        "ignore_term" => {
            ignore(libc::SIGTERM);
            say("ignoring", serde_json::json!(true));
            loop {
                pause();
            }
        }
        "fds" => {
            // SAFETY: it reads a flag of a descriptor, open or not.
            let is_open = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0;
            let open: Vec<i32> = (0..1024).filter(is_open).collect();
            say("fds", serde_json::json!(open));
        }
        "daemon" => daemon(),
        "equals" => equals(rest),
        "raise" => raise(),
        "kill_self" => signal_and_wait(own_pid(), libc::SIGKILL),
        "abort_host" => signal_and_wait(parents_pid(), libc::SIGABRT),
        "environment" => {
            let all: std::collections::BTreeMap<String, String> = std::env::vars().collect();
            say("environment", serde_json::json!(all));
        }
        other => panic!("unknown mode {other}"),
    }
}

fn hog(megabytes: usize) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for touched in 1..=megabytes {
        held.push(vec![1; 1 << 20]);
        if touched % 16 == 0 {
            say("touched_mb", serde_json::json!(touched));
        }
    }
    say("held_mb", serde_json::json!(held.len()));
    loop {
        std::thread::park();
    }
}

fn shared_hog(megabytes: usize) {
    let bytes = megabytes << 20;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping of our own, written within its bounds.
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(map, libc::MAP_FAILED, "map shared memory");
        for offset in (0..bytes).step_by(4096) {
            map.cast::<u8>().add(offset).write_volatile(1);
        }
    }
    say("held_mb", serde_json::json!(megabytes));
    loop {
        std::thread::park();
    }
}

fn spin() {
    for _ in 0..4 {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    loop {
        std::thread::park();
    }
}

fn fork_bomb() {
    let mut made = 0u32;
    let mut refused = 0u32;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        // SAFETY: the child of this single-threaded program calls only async-signal-safe functions.
        match unsafe { libc::fork() } {
            0 => hide(),
            -1 => {
                refused += 1;
                if refused == 1 {
                    say("refused_after", serde_json::json!(made));
                }
            }
            _ => made += 1,
        }
    }
}

/// Double-forks a child into a session of its own, then ends as if all were well.
fn daemon() {
    // SAFETY: as in fork_bomb.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() != 0 {
                libc::_exit(0);
            }
            hide();
        }
        let mut status = 0;
        libc::wait(&raw mut status);
    }
    say("daemonised", serde_json::json!(true));
}

/// What one process can do to another: `equals SUPERVISOR_PID SIBLING_PID RUNTIME_DIR`.
fn equals(rest: &[String]) {
    let supervisor: i32 = rest[0].parse().expect("supervisor's pid");
    let sibling: i32 = rest[1].parse().expect("sibling's pid");
    let runtime_dir = &rest[2];
    let lower = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    let idle = libc::sched_param { sched_priority: 0 };
    for (who, pid) in [("supervisor", supervisor), ("sibling", sibling)] {
        // SAFETY: the structures outlive the calls.
        unsafe {
            let limited = libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const lower, std::ptr::null_mut());
            tried(&format!("prlimit_{who}"), check(limited.into()));
            let idled = libc::sched_setscheduler(pid, libc::SCHED_IDLE, &raw const idle);
            tried(&format!("sched_idle_{who}"), check(idled.into()));
            let niced = libc::setpriority(libc::PRIO_PROCESS, pid as u32, 19);
            tried(&format!("setpriority_{who}"), check(niced.into()));
        }
        tried(&format!("environ_{who}"), fs::read(format!("/proc/{pid}/environ")).map(drop));
        tried(&format!("mem_{who}"), fs::File::open(format!("/proc/{pid}/mem")).map(drop));
    }
    tried("control_socket", UnixStream::connect(format!("{runtime_dir}/control.sock")).map(drop));
    tried("control_token", fs::read(format!("{runtime_dir}/control.token")).map(drop));
    tried("chmod_runtime_dir", fs::set_permissions(runtime_dir, fs::Permissions::from_mode(0o777)));
    for (who, pid) in [("supervisor", supervisor), ("sibling", sibling)] {
        tried(&format!("kill_{who}"), send(pid, libc::SIGKILL));
    }
    say("done", serde_json::json!(true));
}

/// Tries to loosen its own walls (scenario 29).
fn raise() {
    let more = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: plain numbers and a structure that outlives its call.
    unsafe {
        tried("setrlimit", check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const more).into()));
        tried("dumpable", check(libc::prctl(libc::PR_SET_DUMPABLE, 1).into()));
        tried("user_namespace", check(libc::unshare(libc::CLONE_NEWUSER).into()));
        tried("unix_socket", check(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).into()));
        tried("become_root", check(libc::setuid(0).into()).and_then(|()| check(i64::from(libc::getuid() == 0) - 1)));
    }
    tried("oom_score", fs::write("/proc/self/oom_score_adj", "-1000"));
    tried("write_usr", fs::write("/usr/local/openrtc-attack", "x"));
    tried("read_shadow", fs::read("/etc/shadow").map(drop));
    tried("write_tmp", fs::write("/tmp/openrtc-attack", "x"));
    tried("write_own_directory", fs::write("note", "x"));
    say("done", serde_json::json!(true));
}
