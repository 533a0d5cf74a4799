//! Processes as the kernel lists them.
//!
//! Owns: the walk from a process to its children. Never: starts or ends one.

use std::fs;

/// A process and all below it, itself first.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut look_at = vec![pid];
    while let Some(pid) = look_at.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            look_at.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        found.push(pid);
    }
    found
}
