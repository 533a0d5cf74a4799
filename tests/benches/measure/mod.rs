//! Rows of measurements, and the bare programs that the product is measured against.
//!
//! Owns: median, p99, CPU and pauses of the benchmarks. Never: asserts a time.
#![expect(dead_code, reason = "each benchmark compiles this file for itself and uses a part of it")]

pub(crate) mod baseline;

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Whether `cargo test` runs this benchmark: then there is nothing to do.
pub(crate) fn only_tests() -> bool {
    std::env::args().any(|argument| argument == "--test") || !std::env::args().any(|argument| argument == "--bench")
}

/// Lets time go by, because the cost of time itself is measured.
pub(crate) fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "what a second costs can only be measured over seconds")]
    std::thread::sleep(span);
}

/// Does something on one core: threads that it starts stay there too.
pub(crate) fn on_one_core<R>(work: impl FnOnce() -> R) -> R {
    let all = sched_getaffinity(None).expect("read the affinity");
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a core"));
    sched_setaffinity(None, &one).expect("stay on one core");
    let result = work();
    sched_setaffinity(None, &all).expect("leave the core");
    result
}

/// CPU of all threads of a process so far, in seconds.
pub(crate) fn cpu_s(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process's threads");
    let nanoseconds = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.flatten().map(nanoseconds).sum::<u64>() as f64 / 1e9
}

/// Measurements of one thing.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, values: impl IntoIterator<Item = f64>) {
        self.0.extend(values);
    }

    /// The value below which so many hundredths lie; not a number where nothing was measured.
    fn hundredth(&self, hundredths: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.hundredth(50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.hundredth(99)
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:>9.3} median, {:>9.3} p99 (n = {})", self.median(), self.p99(), self.0.len())
    }
}
