//! The threads of this process, as the kernel lists them.
//!
//! Owns: counting and naming them. Never: waits for one to end.

use std::fs;
use std::io;
use std::path::Path;

/// Where the kernel lists this process's threads.
pub(crate) const TASKS: &str = "/proc/self/task";
/// Most threads that are looked at.
const THREADS_MAX: usize = 1024;

/// The names (`comm`, at most 15 bytes each) of this process's threads, the main one first.
pub fn names() -> io::Result<Vec<String>> {
    names_in(Path::new(TASKS), std::process::id())
}

/// The same of a directory like [`TASKS`], of the process `main`.
pub(crate) fn names_in(tasks: &Path, main: u32) -> io::Result<Vec<String>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(tasks)?.take(THREADS_MAX) {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()).unwrap_or(u32::MAX);
        // One that has just ended is no thread any more.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        threads.push((id != main, id, name.trim_end().to_owned()));
    }
    threads.sort();
    Ok(threads.into_iter().map(|(_, _, name)| name).collect())
}
