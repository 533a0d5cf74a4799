//! A real LiveKit server, as `livekit-server --dev` would be started by hand, on ports of its own.
//!
//! Owns: finding or installing the server once, starting, killing and restarting it. Never: stands in for it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The newest version that `go install` can build: later ones carry `replace` lines.
pub const VERSION: &str = "1.13.5";
/// The key of `--dev`.
pub const KEY: &str = "devkey";
/// Its secret.
pub const SECRET: &str = "secret";
/// Longest wait for the server to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct LivekitServer {
    child: Child,
    binary: PathBuf,
    log: PathBuf,
    ports: Ports,
    wanted: Wanted,
}

/// How it is to run.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    level: &'static str,
    secret: &'static str,
}

/// Ports of a server's own.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// What workers and callers connect to.
    pub http: u16,
    rtc_tcp: u16,
    rtc_udp: u16,
}

impl Ports {
    /// Ports that are free now.
    pub fn free() -> Self {
        Self { http: free_tcp(), rtc_tcp: free_tcp(), rtc_udp: free_udp() }
    }

    /// As the server's configuration has them.
    pub fn config(&self) -> String {
        format!("port: {}\nrtc: {{tcp_port: {}, udp_port: {}}}", self.http, self.rtc_tcp, self.rtc_udp)
    }

    /// Whether a server answers there.
    pub fn answer(&self) -> bool {
        let ask = || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.http));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer.ends_with("OK"))
    }
}

impl LivekitServer {
    /// Starts one, or says why this machine cannot have one; one that is there and does not start is a failure. It logs
    /// warnings only: at its debug default it starves and drops offers.
    pub fn start() -> Result<Self, String> {
        Self::start_logging("warn")
    }

    /// Starts one that logs at this level; `info` names the ends of jobs.
    pub fn start_logging(level: &'static str) -> Result<Self, String> {
        Self::start_with(level, SECRET)
    }

    /// Starts one with another secret than that of `--dev`, which is too common a word to be looked for.
    pub fn start_with(level: &'static str, secret: &'static str) -> Result<Self, String> {
        let wanted = Wanted { level, secret };
        let binary = binary()?;
        let ports = Ports::free();
        let log = target_directory().join(format!("livekit/server-{}.log", ports.http));
        fs::create_dir_all(log.parent().expect("a directory")).expect("a directory for its log");
        let child = run(&binary, &log, ports, wanted);
        let mut server = Self { child, binary, log, ports, wanted };
        server.wait();
        Ok(server)
    }

    /// What workers and callers connect to.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.http)
    }

    /// Kills it, without a goodbye to anybody.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on the same ports, as a server that knows nothing any more.
    pub fn restart(&mut self) {
        self.kill();
        self.child = run(&self.binary, &self.log, self.ports, self.wanted);
        self.wait();
    }

    /// The secret of [`KEY`].
    pub fn secret(&self) -> &'static str {
        self.wanted.secret
    }

    /// What it wrote, for whoever looks into a failure.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait(&mut self) {
        let start = Instant::now();
        while !self.ports.answer() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("livekit-server ended with {status}: {}", self.log());
            }
            assert!(start.elapsed() < PATIENCE, "livekit-server did not answer within {PATIENCE:?}: {}", self.log());
            #[expect(clippy::disallowed_methods, reason = "a pause between two looks at a condition")]
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for LivekitServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.log);
    }
}

fn run(binary: &Path, log: &Path, ports: Ports, wanted: Wanted) -> Child {
    let Wanted { level, secret } = wanted;
    let config =
        format!("{}\nkeys: {{{KEY}: {secret}}}\nlogging: {{level: {level}, pion_level: error}}", ports.config());
    let output = File::options().create(true).append(true).open(log).expect("its log");
    Command::new(binary)
        .args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config])
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("its log"))
        .stderr(output)
        .spawn()
        .unwrap_or_else(|error| panic!("start {}: {error}", binary.display()))
}

/// `LIVEKIT_SERVER_BIN`, or the one below the target directory, installed first if need be (2 minutes on two cores), or why
/// there is none.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("LIVEKIT_SERVER_BIN") {
        return Ok(PathBuf::from(path));
    }
    let directory = target_directory().join("livekit");
    let binary = directory.join("server");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let lock = File::create(directory.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if binary.exists() {
        return Ok(binary);
    }
    let package = format!("github.com/livekit/livekit-server/cmd/server@v{VERSION}");
    let command = format!("GOBIN={} go install {package}", directory.display());
    let hint = "set LIVEKIT_SERVER_BIN to a livekit-server";
    let output = Command::new("go").args(["install", &package]).env("GOBIN", &directory).output();
    match output {
        Err(error) => Err(format!("needs a LiveKit server; `{command}`: {error}; {hint}")),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
            Err(format!("needs a LiveKit server; `{command}`: {last}; {hint}"))
        }
        Ok(_) => Ok(binary),
    }
}

/// Cargo marks it.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("our own path");
    let marked = program.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    marked.map_or_else(std::env::temp_dir, Path::to_owned)
}

fn free_tcp() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn free_udp() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("its address").port()
}
