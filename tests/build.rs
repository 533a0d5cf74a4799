//! Tells the tests what the machine gives them, so that one that cannot run is counted as ignored, with the reason.
//!
//! Owns: the cfgs `root`, `python`, `open_python`, `livekit`, `node` and `prometheus`. Never: more than that.

#[path = "src/python/interpreter.rs"]
mod interpreter;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use interpreter::Interpreter;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(root)");
    println!("cargo::rustc-check-cfg=cfg(python)");
    println!("cargo::rustc-check-cfg=cfg(open_python)");
    println!("cargo::rustc-check-cfg=cfg(livekit)");
    println!("cargo::rustc-check-cfg=cfg(node)");
    println!("cargo::rustc-check-cfg=cfg(prometheus)");
    // One that is there, or what takes it out of Debian's package.
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success());
    if std::env::var_os("PROMETHEUS_BIN").is_some() || (there("apt-get") && there("dpkg")) {
        println!("cargo::rustc-cfg=prometheus");
    } else {
        println!("cargo::warning=the test of the dashboard is ignored: set PROMETHEUS_BIN to a Prometheus");
    }
    println!("cargo::rerun-if-env-changed={}", interpreter::VARIABLE);
    // As it would be without the line above.
    println!("cargo::rerun-if-changed=.");
    // A server that is there, or what installs one.
    let go = || Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
    if std::env::var_os("LIVEKIT_SERVER_BIN").is_some() || go() {
        println!("cargo::rustc-cfg=livekit");
    } else {
        println!(
            "cargo::warning=tests of calls are ignored: set LIVEKIT_SERVER_BIN to a livekit-server, or install Go"
        );
    }
    match node() {
        Ok(()) => println!("cargo::rustc-cfg=node"),
        Err(missing) => println!("cargo::warning=the test of an agent in JavaScript is ignored: {missing}"),
    }
    // Who runs the build runs the tests.
    if rustix::process::geteuid().is_root() {
        println!("cargo::rustc-cfg=root");
    }
    match python() {
        Ok(None) => {
            println!("cargo::rustc-cfg=python");
            println!("cargo::rustc-cfg=open_python");
        }
        Ok(Some(closed)) => {
            println!("cargo::rustc-cfg=python");
            let place = closed.display();
            println!(
                "cargo::warning=tests of Python hosts with uids of their own are ignored: {place} is closed to them"
            );
        }
        Err(missing) => println!("cargo::warning=tests of Python agents are ignored: {missing}"),
    }
}

/// Whether there is a virtual environment, or what it takes to make it: an interpreter, pip, and an index that answers.
/// Gives what keeps a tenant's uid from it, if anything.
fn python() -> Result<Option<PathBuf>, String> {
    let interpreter = Interpreter::find()?;
    // target/<profile>/build/<package>/out
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = out.ancestors().nth(4).expect("a target directory");
    if !interpreter::finished(&interpreter.venv_dir(target)).exists() {
        index_answers(&interpreter, &out)?;
    }
    Ok(interpreter.closed.or_else(|| interpreter::closed_at(target)))
}

/// Fetches the smallest of what is needed, as pip is configured on this machine.
fn index_answers(interpreter: &Interpreter, out: &Path) -> Result<(), String> {
    let mut pip = interpreter.pip_for(&interpreter.path);
    pip.args(["download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "10", "--dest"]).arg(out);
    pip.arg("--constraint").arg(interpreter::constraints()).arg("openrtc");
    let output = pip.output().map_err(|error| format!("pip does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| line.contains("ERROR")).unwrap_or("pip said nothing");
    if output.status.success() { Ok(()) } else { Err(format!("no package index: {last}")) }
}

/// Whether hosts find a Node, and npm what the example depends on.
fn node() -> Result<(), String> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    if !folders.iter().any(|folder| Path::new(folder).join("node").is_file()) {
        return Err(format!("no node in {}", folders.join(", ")));
    }
    let mut npm = Command::new("npm");
    npm.args(["view", "@livekit/rtc-node", "name", "--fetch-retries=0", "--fetch-timeout=10000"]);
    let output = npm.stdin(Stdio::null()).output().map_err(|error| format!("npm does not start: {error}"))?;
    if output.status.success() { Ok(()) } else { Err("npm's registry does not answer".to_owned()) }
}
