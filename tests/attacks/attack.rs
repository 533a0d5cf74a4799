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
    // SAFETY: every call takes plain numbers or nothing; none hands memory to the system beyond its own.
    unsafe { run(&mode, &rest) }
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

unsafe fn run(mode: &str, rest: &[String]) {
    match mode {
        "hog" => hog(rest[0].parse().expect("megabytes")),
        "shared_hog" => unsafe { shared_hog(rest[0].parse().expect("megabytes")) },
        "spin" => spin(),
        "fork_bomb" => unsafe { fork_bomb() },
        "stop" => unsafe {
            libc::kill(libc::getpid(), libc::SIGSTOP);
            libc::pause();
        },
        "stop_host" => unsafe {
            libc::kill(libc::getppid(), libc::SIGSTOP);
            libc::pause();
        },
        "ignore_term" => unsafe {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            say("ignoring", serde_json::json!(true));
            loop {
                libc::pause();
            }
        },
        "fds" => {
            let mut open: Vec<i32> = (0..1024).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).collect();
            open.sort_unstable();
            say("fds", serde_json::json!(open));
        }
        "daemon" => unsafe { daemon() },
        "equals" => unsafe { equals(rest) },
        "raise" => unsafe { raise() },
        "kill_self" => unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        },
        "abort_host" => unsafe {
            libc::kill(libc::getppid(), libc::SIGABRT);
            libc::pause();
        },
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

unsafe fn shared_hog(megabytes: usize) {
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

unsafe fn fork_bomb() {
    let mut made = 0u32;
    let mut refused = 0u32;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        // SAFETY: the child of this single-threaded program calls only async-signal-safe functions.
        match unsafe { libc::fork() } {
            0 => unsafe {
                libc::setsid();
                libc::signal(libc::SIGTERM, libc::SIG_IGN);
                loop {
                    libc::pause();
                }
            },
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
unsafe fn daemon() {
    // SAFETY: as in fork_bomb.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() != 0 {
                libc::_exit(0);
            }
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            loop {
                libc::pause();
            }
        }
        let mut status = 0;
        libc::wait(&raw mut status);
    }
    say("daemonised", serde_json::json!(true));
}

/// What one process can do to another: `equals SUPERVISOR_PID SIBLING_PID RUNTIME_DIR`.
unsafe fn equals(rest: &[String]) {
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
        // SAFETY: plain numbers.
        tried(&format!("kill_{who}"), check(unsafe { libc::kill(pid, libc::SIGKILL) }.into()));
    }
    say("done", serde_json::json!(true));
}

/// Tries to loosen its own walls (scenario 29).
unsafe fn raise() {
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
