//! Processes that end with the demo, whatever ends that.
//!
//! Owns: what all of them have in common. Never: starts one.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::sys::parent;

/// Makes it such a process: with nothing of our environment, and in a process group of its own, so that Ctrl-C reaches only
/// the demo. It must be spawned from the main thread, which stays to the end.
pub(super) fn attached<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command.env_clear().current_dir(dir).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    parent::terminate_with_us(command.as_std_mut());
    command
}
