//! `/proc`, read without trust and with little allocation.
//!
//! Owns: the shapes of `status`, `stat`, `limits`, `smaps_rollup` and `children`. Never: writes, or keeps a pid longer
//! than its caller does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of the longest of these files that we read; longer ones are cut, and read as far as they go.
const FILE_BYTES_MAX: usize = 8 * 1024;

/// A process for ever: a pid comes again, a pid with its start time does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Its pid.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What we use of `/proc/PID/status`. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Real, effective, saved and file-system user id.
    pub uids: [u32; 4],
    /// The same for the group.
    pub gids: [u32; 4],
    /// How many supplementary groups.
    pub groups: usize,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    pub capabilities: [u64; 5],
    /// `NoNewPrivs`.
    pub no_new_privs: bool,
    /// `Seccomp`: 2 is a filter.
    pub seccomp: u32,
    /// `Seccomp_filters`, where the kernel says (5.9).
    pub seccomp_filters: Option<u32>,
    /// Threads.
    pub threads: u32,
    /// Private writable memory.
    pub vm_data_bytes: u64,
    /// Anonymous memory in RAM.
    pub rss_anon_bytes: u64,
    /// Shared memory in RAM.
    pub rss_shmem_bytes: u64,
    /// Anonymous memory swapped out.
    pub swap_bytes: u64,
}

impl Status {
    /// Memory that only processes can hold: anonymous, shared, swapped.
    pub fn memory_bytes(&self) -> u64 {
        self.rss_anon_bytes + self.rss_shmem_bytes + self.swap_bytes
    }
}

/// What we use of `/proc/PID/stat`. Times in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// State letter; `Z` is a zombie.
    pub state: u8,
    /// Parent.
    pub parent: i32,
    /// Page faults served without I/O, its own.
    pub minor_faults: u64,
    /// User and system time, its own and of children it has waited for.
    pub cpu_ticks: u64,
    /// When it started, since boot.
    pub start_ticks: u64,
}

/// What we use of `/proc/PID/smaps_rollup`, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Written pages that nobody else maps.
    pub private_dirty: u64,
    /// Anonymous and shared memory and swap, each page divided by those who map it.
    pub proportional: u64,
}

/// A limit as `/proc/PID/limits` shows it; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Soft.
    pub soft: Option<u64>,
    /// Hard.
    pub hard: Option<u64>,
}

/// Reads an open file of `/proc` or of a cgroup again from its start, as text.
pub fn reread<'buffer>(file: &File, buffer: &'buffer mut [u8]) -> io::Result<&'buffer str> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(valid_start(&buffer[..filled]))
}

fn valid_start(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

fn read(pid: i32, file: &str) -> io::Result<String> {
    let file = File::open(format!("/proc/{pid}/{file}"))?;
    let mut buffer = vec![0; FILE_BYTES_MAX];
    reread(&file, &mut buffer).map(str::to_owned)
}

/// The number at the start of a text.
pub fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn kib(text: &str) -> u64 {
    leading_number(text).unwrap_or(0).saturating_mul(1024)
}

fn ids(text: &str) -> [u32; 4] {
    let mut found = [u32::MAX; 4];
    for (slot, word) in found.iter_mut().zip(text.split_ascii_whitespace()) {
        *slot = word.parse().unwrap_or(u32::MAX);
    }
    found
}

/// A set that cannot be read counts as full.
fn capability_set(text: &str) -> u64 {
    u64::from_str_radix(text.trim(), 16).unwrap_or(u64::MAX)
}

/// Parses `/proc/PID/status`.
pub fn parse_status(text: &str) -> Status {
    let mut status = Status { capabilities: [u64::MAX; 5], ..Status::default() };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key {
            "Uid" => status.uids = ids(value),
            "Gid" => status.gids = ids(value),
            "Groups" => status.groups = value.split_ascii_whitespace().count(),
            "CapInh" => status.capabilities[0] = capability_set(value),
            "CapPrm" => status.capabilities[1] = capability_set(value),
            "CapEff" => status.capabilities[2] = capability_set(value),
            "CapBnd" => status.capabilities[3] = capability_set(value),
            "CapAmb" => status.capabilities[4] = capability_set(value),
            "NoNewPrivs" => status.no_new_privs = leading_number(value) == Some(1),
            "Seccomp" => status.seccomp = leading_number(value).unwrap_or(0) as u32,
            "Seccomp_filters" => status.seccomp_filters = leading_number(value).map(|n| n as u32),
            "Threads" => status.threads = leading_number(value).unwrap_or(0) as u32,
            "VmData" => status.vm_data_bytes = kib(value),
            "VmSwap" => status.swap_bytes = kib(value),
            "RssAnon" => status.rss_anon_bytes = kib(value),
            "RssShmem" => status.rss_shmem_bytes = kib(value),
            _ => {}
        }
    }
    status
}

/// Parses `/proc/PID/stat`; the name in it may hold anything, so it counts from the last parenthesis.
pub fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields are numbered as in proc(5); the next one is the fifth.
    let mut number = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
    let minor_faults = number(5)?; // 10
    let own = [number(3)?, number(0)?]; // 14, 15
    let children = [number(0)?, number(0)?]; // 16, 17
    let start_ticks = number(4)?; // 22
    let cpu_ticks = own.iter().chain(&children).fold(0_u64, |sum, ticks| sum.saturating_add(*ticks));
    Some(Stat { state, parent, minor_faults, cpu_ticks, start_ticks })
}

/// Parses `/proc/PID/smaps_rollup`.
pub fn parse_rollup(text: &str) -> Rollup {
    let mut rollup = Rollup::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key {
            "Private_Dirty" => rollup.private_dirty = kib(value),
            "Pss_Anon" | "Pss_Shmem" | "SwapPss" => rollup.proportional += kib(value),
            _ => {}
        }
    }
    rollup
}

/// The line of `/proc/PID/limits` that starts with this name, for example `Max open files`.
pub fn parse_limit(text: &str, name: &str) -> Option<Limit> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = line.split_ascii_whitespace();
    let mut next = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Limit { soft: next()?, hard: next()? })
}

/// `/proc/PID/status`.
pub fn status(pid: i32) -> io::Result<Status> {
    Ok(parse_status(&read(pid, "status")?))
}

/// `/proc/PID/stat`.
pub fn stat(pid: i32) -> io::Result<Stat> {
    parse_stat(&read(pid, "stat")?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// `/proc/PID/limits`.
pub fn limits(pid: i32) -> io::Result<String> {
    read(pid, "limits")
}

/// `/proc/PID/cgroup`.
pub fn cgroup(pid: i32) -> io::Result<String> {
    read(pid, "cgroup")
}

/// The process that has this pid now.
pub fn key(pid: i32) -> io::Result<ProcessKey> {
    Ok(ProcessKey { pid, start_ticks: stat(pid)?.start_ticks })
}

/// Thread ids of a process; empty when it is gone.
pub fn threads(pid: i32) -> Vec<i32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// Pids of all processes that we can see.
pub fn all() -> Vec<i32> {
    numbers_in("/proc")
}

fn numbers_in(directory: &str) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Adds the children of every thread of a process.
pub fn children_into(pid: i32, found: &mut Vec<i32>) {
    for tid in threads(pid) {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")) else { continue };
        found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
}
