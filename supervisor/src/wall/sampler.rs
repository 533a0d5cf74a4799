//! Measures what no cgroup measures: memory, CPU and processes of a host's whole tree (decision W6).
//!
//! Owns: the sums, and what counts as a host's own memory. Never: counts what a fork inherited and left alone.
//!
//! A host forked from a zygote is born with hundreds of megabytes that are not its own, and writing to an inherited page
//! moves no counter of `status`. So there are two measures:
//!
//! * the **estimate**, each time: anonymous, shared and swapped memory, less what was there at the green light. Blind to
//!   inherited pages rewritten, and too high when a host's children share its memory;
//! * the **measure**, past half the limit and every five seconds, from `smaps_rollup`: the larger of *pages that only one
//!   process maps*, and *every page by its share, less all that the host inherited*. Neither can exceed the truth.
//!
//! A forked child of a host that is not dumpable cannot be measured by an unprivileged supervisor (EACCES); then the
//! estimate stands where it is higher.

use std::fs::File;
use std::time::{Duration, Instant};

use super::tree::{Member, Tree};
use crate::sys::proc::{self, Rollup};

/// A measure is taken at least this often.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Bytes of `smaps_rollup` that are read; it is about 800 long.
const ROLLUP_BYTES_MAX: usize = 4096;

/// What the tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// The host's own memory, in bytes.
    pub(super) memory_bytes: u64,
    /// CPU since its birth, in microseconds.
    pub(super) cpu_micros: u64,
    /// Processes and threads.
    pub(super) processes: u32,
}

/// What the host's process had at the green light.
#[derive(Debug, Clone, Copy, Default)]
struct Baseline {
    status_bytes: u64,
    rollup: Rollup,
}

/// How well a baseline must be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exactness {
    /// By the counters of `status`: the kernel holds the walls, and nobody waits for a walk over all that a zygote left its
    /// fork (3 ms with 450 MB). Should the sampler be asked nevertheless, it counts what the fork had written by then too.
    Estimate,
    /// By `smaps_rollup` too: what is sampled is the wall.
    Measure,
}

/// Measures one host.
#[derive(Debug)]
pub(super) struct Sampler {
    tree: Tree,
    /// Opened at birth: once the host is not dumpable, an equal may not open it any more.
    rollup: Option<File>,
    baseline: Baseline,
    limit_bytes: Option<u64>,
    measured: Option<(Instant, u64)>,
    cpu_ticks_lost: u64,
    cpu_ticks_seen: u64,
    tick_micros: u64,
    page_bytes: u64,
}

impl Sampler {
    pub(super) fn new(pid: i32, limit_bytes: Option<u64>) -> Self {
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        Self {
            tree: Tree::new(pid),
            rollup: File::open(format!("/proc/{pid}/smaps_rollup")).ok(),
            baseline: Baseline::default(),
            limit_bytes,
            measured: None,
            cpu_ticks_lost: 0,
            cpu_ticks_seen: 0,
            tick_micros: 1_000_000 / ticks_per_second,
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    /// From here on, memory is the host's own.
    pub(super) fn green_light(&mut self, exactness: Exactness) {
        self.tree.refresh();
        let root = self.tree.members().find(|(key, _)| self.tree.is_root(key));
        let status_bytes = root.map_or(0, |(_, member)| member.status.memory_bytes());
        let rollup = self.rollup.as_ref().filter(|_| exactness == Exactness::Measure);
        let rollup = rollup.and_then(read_rollup).unwrap_or_default();
        self.baseline = Baseline { status_bytes, rollup };
        self.measured = None;
    }

    /// The pids of the tree as last seen, the host's own first.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.tree.pids()
    }

    /// Looks at the tree.
    pub(super) fn sample(&mut self, now: Instant) -> Usage {
        self.tree.refresh();
        Usage { memory_bytes: self.memory(now), cpu_micros: self.cpu(), processes: self.tree.threads() }
    }

    fn memory(&mut self, now: Instant) -> u64 {
        self.shrink_baseline();
        let estimate: u64 =
            self.tree.members().map(|(key, member)| self.estimate(self.tree.is_root(key), member)).sum();
        let last = self.measured.map_or(0, |(_, bytes)| bytes);
        let half = self.limit_bytes.map_or(u64::MAX, |limit| limit / 2);
        let due = self.measured.is_none_or(|(at, _)| now.duration_since(at) >= MEASURE_EVERY);
        if !due && estimate <= half && last <= half {
            return estimate.max(last);
        }
        let (bytes, complete) = self.measure();
        let bytes = if complete { bytes } else { bytes.max(estimate) };
        self.measured = Some((now, bytes));
        bytes
    }

    /// What was given back since, or replaced by an exec, is not inherited any more.
    fn shrink_baseline(&mut self) {
        let root = self.tree.members().find(|(key, _)| self.tree.is_root(key));
        if let Some((_, member)) = root {
            self.baseline.status_bytes = self.baseline.status_bytes.min(member.status.memory_bytes());
        }
    }

    fn estimate(&self, is_root: bool, member: &Member) -> u64 {
        let now = member.status.memory_bytes();
        if is_root {
            return now.saturating_sub(self.baseline.status_bytes);
        }
        // A forked child shows its parent's pages as its own. Its own are those it has faulted in, and those beyond
        // what it could inherit.
        let faulted = member.stat.minor_faults.saturating_mul(self.page_bytes);
        now.min(faulted.max(now.saturating_sub(member.inherited_bytes_max)))
    }

    /// The measure, and whether every process could be measured.
    fn measure(&mut self) -> (u64, bool) {
        let (mut private, mut proportional, mut complete) = (0_u64, 0_u64, true);
        let baseline = &mut self.baseline.rollup.private_dirty;
        for (key, member) in self.tree.members() {
            let is_root = self.tree.is_root(key);
            let rollup = if is_root { root_rollup(self.rollup.as_ref(), key.pid) } else { rollup_of(key.pid) };
            match rollup {
                Some(rollup) => {
                    if is_root {
                        *baseline = rollup.private_dirty.min(*baseline);
                    }
                    private += rollup.private_dirty;
                    proportional += rollup.proportional;
                }
                // A zombie has no memory to measure.
                None => complete &= member.status.memory_bytes() == 0,
            }
        }
        let private = private.saturating_sub(*baseline);
        (private.max(proportional.saturating_sub(self.baseline.status_bytes)), complete)
    }

    /// A process whose parent ignores its end takes its CPU time along; what was seen of it stays counted.
    fn cpu(&mut self) -> u64 {
        let seen = self.tree.cpu_ticks();
        self.cpu_ticks_lost += self.cpu_ticks_seen.saturating_sub(seen);
        self.cpu_ticks_seen = seen;
        (seen + self.cpu_ticks_lost).saturating_mul(self.tick_micros)
    }
}

/// The open file belongs to the memory before an exec; after one the process is open to us by its path again.
fn root_rollup(open: Option<&File>, pid: i32) -> Option<Rollup> {
    open.and_then(read_rollup).or_else(|| rollup_of(pid))
}

fn rollup_of(pid: i32) -> Option<Rollup> {
    read_rollup(&File::open(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn read_rollup(file: &File) -> Option<Rollup> {
    let mut buffer = [0; ROLLUP_BYTES_MAX];
    let text = proc::reread(file, &mut buffer).ok()?;
    (!text.is_empty()).then(|| proc::parse_rollup(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    const MIB: u64 = 1 << 20;

    /// A process that has 96 MiB, and does as it is told: a host forked from a zygote.
    const ZYGOTE: &str = "import os, sys, signal
memory = bytearray(96 << 20)
def rewrite(m):
    for at in range(0, len(m), 4096): m[at] = (m[at] + 1) % 256
def say(text): sys.stdout.write('%s\\n' % text); sys.stdout.flush()
rewrite(memory)
if os.fork():
    signal.pause()
signal.alarm(120)
say(os.getpid())
more, kids = None, []
for word in iter(sys.stdin.readline, ''):
    word = word.strip()
    if word == 'rewrite': rewrite(memory)
    if word == 'grow': more = bytearray(96 << 20); rewrite(more)
    if word == 'fork':
        child = os.fork()
        if not child: signal.pause()
        kids.append(child)
    if word == 'end': [os.kill(kid, 9) for kid in kids]
    say(word)
";

    struct Forked {
        zygote: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
        pid: i32,
    }

    impl Forked {
        fn new() -> Self {
            let mut command = Command::new("/usr/bin/python3");
            let mut zygote = command.args(["-c", ZYGOTE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut output = BufReader::new(zygote.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            Self { input: zygote.stdin.take().unwrap(), output, pid: line.trim().parse().unwrap(), zygote }
        }

        fn tell(&mut self, word: &str) {
            writeln!(self.input, "{word}").unwrap();
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), word);
        }
    }

    impl Drop for Forked {
        fn drop(&mut self) {
            let kill = |pid: i32| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            self.tell("end");
            let _ = kill(self.pid);
            self.zygote.kill().unwrap();
            self.zygote.wait().unwrap();
        }
    }

    fn measured(sampler: &mut Sampler, rounds: &mut u32) -> u64 {
        *rounds += 1;
        sampler.sample(Instant::now() + MEASURE_EVERY * *rounds).memory_bytes
    }

    #[test]
    fn a_fork_owns_nothing_until_it_writes_and_then_all_that_it_rewrote() {
        let mut host = Forked::new();
        let (mut sampler, mut rounds) = (Sampler::new(host.pid, Some(64 * MIB)), 0);
        sampler.green_light(Exactness::Measure);
        let before = measured(&mut sampler, &mut rounds);
        assert!(before < 4 * MIB, "{before}");
        host.tell("rewrite");
        let after = measured(&mut sampler, &mut rounds);
        assert!((90 * MIB..100 * MIB).contains(&after), "{after}");
    }

    #[test]
    fn children_that_share_the_hosts_memory_count_it_once_and_do_not_hide_it() {
        let mut host = Forked::new();
        let (mut sampler, mut rounds) = (Sampler::new(host.pid, Some(64 * MIB)), 0);
        sampler.green_light(Exactness::Measure);
        host.tell("grow");
        for _ in 0..3 {
            host.tell("fork");
        }
        let bytes = measured(&mut sampler, &mut rounds);
        // Between none of it and all that was inherited besides: 192 MiB are mapped four times.
        assert!((64 * MIB..200 * MIB).contains(&bytes), "{bytes}");
        assert_eq!(sampler.sample(Instant::now()).processes, 4);
    }

    #[test]
    fn looking_at_a_small_tree_is_cheap() {
        let mut host = Forked::new();
        host.tell("fork");
        let mut sampler = Sampler::new(host.pid, None);
        sampler.green_light(Exactness::Measure);
        sampler.sample(Instant::now());
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let start = Instant::now();
                sampler.sample(start);
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("median {:?}, worst {:?}", times[25], times[49]);
        assert!(times[25] < Duration::from_millis(20), "{times:?}");
    }
}
