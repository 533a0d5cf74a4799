//! Walls around real processes: what a host can do to others with them, and without.
//!
//! Owns: a small runner, because the host under attack is this very program (a child must be single-threaded when it
//! raises its walls). Never: signals a process that it did not start.
//!
//! `walls [filter…]` runs the tests; `walls --host` is the host.

#[path = "walls/attacks.rs"]
mod attacks;
#[path = "walls/cases.rs"]
mod cases;
#[path = "walls/host.rs"]
mod host;
#[path = "walls/rig.rs"]
mod rig;

use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--host") {
        return host::run(&arguments[1..]);
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases::ALL.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    for (name, case) in cases::ALL {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        println!("test {name} ...");
        match catch_unwind(case) {
            Ok(()) => println!("test {name} ... ok"),
            Err(_) => failed.push(*name),
        }
    }
    for name in &failed {
        println!("test {name} ... FAILED");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
