//! The example in JavaScript with its packages installed, below the target directory.
//!
//! Owns: installing them once. Never: writes into `examples`, or takes another version than its lock file says.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{product, python};

/// What is copied of the example.
const FILES: [&str; 4] = ["agent.mjs", "openrtc-supervisor.toml", "package.json", "package-lock.json"];

/// The folder of the example, with `node_modules` in it. The first who asks has `npm` install them; the others wait.
///
/// # Errors
/// What npm said.
pub fn example() -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    for file in FILES {
        fs::read(python::repository("examples/node").join(file)).map_err(|error| error.to_string())?.hash(&mut hasher);
    }
    let node = product::target_dir().join("node");
    let folder = node.join(format!("{:016x}", hasher.finish()));
    fs::create_dir_all(&folder).map_err(|error| format!("create {}: {error}", folder.display()))?;
    let lock = File::create(node.join("lock")).map_err(|error| format!("create the lock: {error}"))?;
    lock.lock().map_err(|error| format!("take the lock: {error}"))?;
    let finished = folder.join(".finished");
    if finished.exists() {
        return Ok(folder);
    }
    for file in FILES {
        let from = python::repository("examples/node").join(file);
        fs::copy(&from, folder.join(file)).map_err(|error| format!("copy {}: {error}", from.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder).stdin(Stdio::null());
    let output = npm.output().map_err(|error| format!("npm ci: {error}"))?;
    if !output.status.success() {
        return Err(format!("npm ci: {}", String::from_utf8_lossy(&output.stderr)));
    }
    fs::write(&finished, "").map_err(|error| format!("finish: {error}"))?;
    Ok(folder)
}
