//! What a hostile host tries on the supervisor and a sibling (decision W1).
//!
//! Owns: each attack once, and whether it succeeded. Never: aims at a process that the test did not make for it.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};

use nix::sys::signal::{SIGKILL, kill};
use openrtc_supervisor::sys::sched::{Class, set_class};
use rustix::process::{Pid, Resource, Rlimit, prlimit, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

/// `<victim pid> <sibling pid> <socket> <directory> <address of a secret in the sibling>`; one line `name=ok|error` each.
pub(crate) fn all(arguments: &[String]) -> String {
    let victim: i32 = arguments[0].parse().expect("a pid");
    let sibling: i32 = arguments[1].parse().expect("a pid");
    let (socket, directory) = (&arguments[2], &arguments[3]);
    let mut lines = Vec::new();
    let mut tried = |name: &str, result: io::Result<()>| {
        let shown = result.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".into());
        lines.push(format!("{name}={shown}"));
    };
    tried("connect", UnixStream::connect(socket).map(drop));
    tried("connect_abstract", abstract_socket(socket));
    tried("chmod", std::fs::set_permissions(directory, Permissions::from_mode(0o755)));
    tried("list", std::fs::read_dir(directory).map(drop));
    for (who, pid) in [("victim", victim), ("sibling", sibling)] {
        tried(&format!("prlimit_{who}"), limit(pid));
        tried(&format!("setpriority_{who}"), setpriority_process(target(pid), 5).map_err(io::Error::from));
        tried(&format!("affinity_{who}"), affinity(pid));
        tried(&format!("idle_{who}"), set_class(pid, Class::Idle));
        tried(&format!("environ_{who}"), read_some(&format!("/proc/{pid}/environ")));
        tried(&format!("mem_{who}"), memory(pid));
        tried(&format!("kill_{who}"), kill(nix::unistd::Pid::from_raw(pid), SIGKILL).map_err(io::Error::from));
    }
    lines.join("\n")
}

fn abstract_socket(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop)
}

fn target(pid: i32) -> Option<Pid> {
    Pid::from_raw(pid)
}

fn limit(pid: i32) -> io::Result<()> {
    prlimit(target(pid), Resource::Nofile, Rlimit { current: Some(3), maximum: Some(3) })?;
    Ok(())
}

fn affinity(pid: i32) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(0);
    Ok(sched_setaffinity(target(pid), &cpus)?)
}

fn read_some(path: &str) -> io::Result<()> {
    let mut byte = [0];
    File::open(path)?.read(&mut byte).map(drop)
}

/// Reads one byte where the process's own map says that there is something.
fn memory(pid: i32) -> io::Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps.lines().next().and_then(|line| line.split('-').next()).unwrap_or_default();
    let address = u64::from_str_radix(first, 16).map_err(io::Error::other)?;
    let mut byte = [0];
    File::open(format!("/proc/{pid}/mem"))?.read_at(&mut byte, address).map(drop)
}
