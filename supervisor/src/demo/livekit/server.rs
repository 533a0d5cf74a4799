//! A LiveKit server on loopback, on ports of its own.
//!
//! Owns: its process and its log, and that it does not outlive the demo. Never: stands in for one.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::super::attached::attached;

/// The key of `--dev`.
pub const KEY: &str = "devkey";
/// Its secret.
pub const SECRET: &str = "secret";
/// Longest wait for it to answer.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Longest wait for one answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// How often its answer is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its ports or its log cannot be had.
    #[error("{step}")]
    Prepare {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It cannot be executed.
    #[error("start {}", .program.display())]
    Start {
        /// Its path.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended at once.
    #[error("start the LiveKit server: it ended with {status}: {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last line.
        said: String,
    },
    /// It runs and does not answer.
    #[error("start the LiveKit server: it did not answer within {} s: {said}", READY_DEADLINE.as_secs())]
    Silent {
        /// Its last line.
        said: String,
    },
}

fn prepare(step: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::Prepare { step, source }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    port: u16,
}

fn free_tcp() -> Result<u16, ServerError> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(prepare("find a free port"))
}

fn free_udp() -> Result<u16, ServerError> {
    let found = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    found.map(|address| address.port()).map_err(prepare("find a free port"))
}

impl Server {
    /// Starts it; its log is in this directory. It names the ends of jobs there, and no more: at its debug default it
    /// starves and drops offers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, dir: &Path) -> Result<Self, ServerError> {
        let (port, rtc_tcp, rtc_udp) = (free_tcp()?, free_tcp()?, free_udp()?);
        let config = format!(
            "port: {port}\nrtc: {{tcp_port: {rtc_tcp}, udp_port: {rtc_udp}}}\nlogging: {{level: info, pion_level: error}}"
        );
        let path = dir.join("livekit-server.log");
        let log = fs::File::create(&path).map_err(prepare("create the LiveKit server's log"))?;
        let log_too = log.try_clone().map_err(prepare("share the LiveKit server's log"))?;
        let mut command = Command::new(program);
        attached(&mut command, dir)
            .args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config])
            .stdout(log_too)
            .stderr(log);
        let spawned = command.spawn();
        let child = spawned.map_err(|source| ServerError::Start { program: program.to_owned(), source })?;
        Ok(Self { child, log: path, port })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time, with the last line that it wrote.
    pub async fn ready(mut self) -> Result<Self, ServerError> {
        let deadline = Instant::now() + READY_DEADLINE;
        let said = |server: &Self| server.log().lines().last().unwrap_or_default().to_owned();
        while !matches!(tokio::time::timeout(ANSWER_DEADLINE, self.answer()).await, Ok(Ok(answer)) if answer.ends_with("OK"))
        {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ServerError::Ended { status, said: said(&self) });
            }
            if Instant::now() > deadline {
                return Err(ServerError::Silent { said: said(&self) });
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(self)
    }

    async fn answer(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// What workers and callers connect to.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Ends it. It keeps nothing, so that there is nothing to wait for.
    pub async fn stop(mut self) {
        // A failure means that it has just ended; `kill` waits for it.
        let _ = self.child.kill().await;
    }
}
