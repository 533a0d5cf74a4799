//! A real Prometheus, as an operator would start it, that scrapes a supervisor.
//!
//! Owns: finding or fetching its binary once, starting it, asking it. Never: stands in for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::http;
use crate::product::target_dir;
use crate::supervisor::spawn;
use crate::wait::until;

/// A running Prometheus. Dropping it kills it.
pub struct Prometheus {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Prometheus {
    /// Starts one with this configuration, which keeps its data in `dir`; or says why this machine cannot have one.
    pub fn start(config: &str, dir: &Path) -> Result<Self, String> {
        let binary = binary()?;
        let (file, log, port) = (dir.join("prometheus.yml"), dir.join("prometheus.log"), http::free_port());
        fs::write(&file, config).expect("its configuration");
        let output = File::create(&log).expect("its log");
        let mut command = Command::new(&binary);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("its log")).stderr(output);
        let mut own = Self { child: spawn(&mut command), port, log };
        until("Prometheus is ready", || {
            if let Some(status) = own.child.try_wait().expect("look at Prometheus") {
                panic!("Prometheus ended with {status}:\n{}", own.log());
            }
            http::get(port, "/-/ready", "").ok().filter(|(status, _)| *status == 200)
        });
        Ok(own)
    }

    /// What it answers to an instant query: the series found. A query that it cannot parse is a failure.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let (_, answer) = self.ask(&format!("/api/v1/query?query={}", escaped(query)));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Its targets, with their health and last error.
    #[track_caller]
    pub fn targets(&self) -> Value {
        self.ask("/api/v1/targets").1["data"]["activeTargets"].clone()
    }

    #[track_caller]
    fn ask(&self, path: &str) -> (u16, Value) {
        let (status, body) = http::get(self.port, path, "").expect("an answer of Prometheus");
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// What it wrote, for whoever looks into a failure.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn escaped(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `PROMETHEUS_BIN`, or the one below the target directory, taken out of Debian's package first if need be, which takes no
/// privileges; or why there is none.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("PROMETHEUS_BIN") {
        return Ok(PathBuf::from(path));
    }
    let directory = target_dir().join("prometheus");
    let binary = directory.join("usr/bin/prometheus");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let lock = File::create(directory.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !binary.exists() {
        fetch(&directory).map_err(|why| format!("needs a Prometheus; {why}; set PROMETHEUS_BIN to one"))?;
    }
    Ok(binary)
}

fn fetch(directory: &Path) -> Result<(), String> {
    let new = tempfile::tempdir_in(directory).map_err(|error| error.to_string())?;
    // The machine's own lists of packages, if there are any; else lists of our own.
    if run(apt(new.path(), false).args(["download", "prometheus"])).is_err() {
        run(apt(new.path(), true).arg("update"))?;
        run(apt(new.path(), true).args(["download", "prometheus"]))?;
    }
    let files = fs::read_dir(new.path()).map_err(|error| error.to_string())?;
    let package =
        files.filter_map(|file| Some(file.ok()?.path())).find(|path| path.extension().is_some_and(|it| it == "deb"));
    let package = package.ok_or("apt-get brought no package")?;
    run(Command::new("dpkg").arg("-x").arg(&package).arg(new.path().join("tree")))?;
    fs::rename(new.path().join("tree/usr"), directory.join("usr")).map_err(|error| error.to_string())
}

fn apt(directory: &Path, own_lists: bool) -> Command {
    let mut apt = Command::new("apt-get");
    apt.current_dir(directory).args(["-qq", "-o", "APT::Sandbox::User=root"]);
    if own_lists {
        for (option, name) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
            let place = directory.join(name);
            let _ = fs::create_dir_all(place.join("partial"));
            let _ = fs::create_dir_all(place.join("archives/partial"));
            apt.arg("-o").arg(format!("{option}={}", place.display()));
        }
    }
    apt
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", said.lines().rfind(|line| !line.is_empty()).unwrap_or("said nothing")))
}
