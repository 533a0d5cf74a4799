//! A client of the control API: one request, one connection.
//!
//! Owns: finding the socket, the token, and every way that asking can fail. Never: waits without a deadline, unless the
//! caller asked for a session's end.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use openrtc_control_api::{Problem, TOKEN_FILE, VERSION_HEADER};
use rustix::fs::{CWD, Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit::CliError;
use super::find::Candidate;

/// For an answer that nobody has to wait for.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Of an answer, in bytes: a thousand ended sessions with their evidence, several times over.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It listens nowhere.
    #[error("no supervisor to be reached; tried:{}\nstart one with `openrtc-supervisor run`, or name its socket with --control-socket", tried(.0))]
    Unreachable(Vec<(Candidate, io::Error)>),
    /// It is another user's.
    #[error("permission denied: {} belongs to {owner}; run as {}", path.display(), who(owner))]
    PermissionDenied {
        /// The socket or its directory.
        path: PathBuf,
        /// Whose it is.
        owner: String,
    },
    /// Its token cannot be read.
    #[error("read the control token {}", path.display())]
    Token {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It went away while we asked.
    #[error("supervisor went away while it was asked")]
    Lost(#[source] hyper::Error),
    /// It did not answer.
    #[error("supervisor did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// Its answer could not be understood.
    #[error("understand the supervisor's answer to {path}: {detail}")]
    Garbled {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Its answer is that of another version.
    #[error(
        "understand the supervisor's answer to {path}: it is version {theirs} and this command line is {}; run the \
         `openrtc-supervisor` that the supervisor was started from ({detail})",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// What was asked.
        path: String,
        /// Its version, or `unknown`.
        theirs: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The question could not be written.
    #[error("write the question")]
    Question(#[source] serde_json::Error),
}

fn tried(tried: &[(Candidate, io::Error)]) -> String {
    tried.iter().map(|(one, error)| format!("\n  {} ({}): {error}", one.path.display(), one.why)).collect()
}

impl ClientError {
    /// Whether there is no supervisor, as opposed to one that did not serve us.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_) | Self::Silent(_))
    }
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as any answer may take.
    Usual,
    /// As long, and so much longer.
    Longer(Duration),
}

/// A supervisor that was found.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The first place where somebody listens.
    pub fn find(candidates: Vec<Candidate>) -> Result<Self, ClientError> {
        let mut failed = Vec::new();
        for candidate in candidates {
            match connect(&candidate.path) {
                Ok(_) => return Ok(Self { socket: candidate.path }),
                Err(error) => failed.push((candidate, error)),
            }
        }
        let denied = failed.iter().find(|(_, error)| error.kind() == io::ErrorKind::PermissionDenied);
        Err(match denied {
            Some((candidate, _)) => denial(&candidate.path),
            None => ClientError::Unreachable(failed),
        })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn token(&self) -> Result<String, ClientError> {
        let path = self.socket.with_file_name(TOKEN_FILE);
        match std::fs::read_to_string(&path) {
            Ok(token) => Ok(token.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(denial(&path)),
            Err(source) => Err(ClientError::Token { path, source }),
        }
    }

    /// Asks for something.
    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CliError> {
        self.ask(Method::GET, path, Bytes::new(), Patience::Usual).await
    }

    /// Asks for something that may take its time.
    pub async fn get_patiently<A: DeserializeOwned>(&self, path: &str, patience: Patience) -> Result<A, CliError> {
        self.ask(Method::GET, path, Bytes::new(), patience).await
    }

    /// Gives an order.
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        patience: Patience,
    ) -> Result<A, CliError> {
        let body = serde_json::to_vec(body).map_err(ClientError::Question)?;
        self.ask(Method::POST, path, body.into(), patience).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Patience,
    ) -> Result<A, CliError> {
        let limit = match patience {
            Patience::Usual => ANSWER_DEADLINE,
            Patience::Longer(more) => ANSWER_DEADLINE + more,
        };
        let answer = tokio::time::timeout(limit, self.exchange(method, path, body));
        let (status, version, body) = answer.await.map_err(|_| ClientError::Silent(limit))??;
        let other = version.as_deref() != Some(env!("CARGO_PKG_VERSION"));
        let theirs = version.unwrap_or_else(|| "unknown".to_owned());
        let garbled = |error: serde_json::Error| match other {
            true => ClientError::OtherVersion { path: path.into(), theirs: theirs.clone(), detail: error.to_string() },
            false => ClientError::Garbled { path: path.into(), detail: error.to_string() },
        };
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).map_err(garbled)?);
        }
        let problem: Problem = serde_json::from_slice(&body).map_err(&garbled)?;
        // What an older or newer one does not know.
        let unknown = matches!(problem.reason.as_str(), "bad_request" | "method_not_allowed")
            || problem.detail.ends_with(": no such route");
        if other && unknown {
            return Err(ClientError::OtherVersion { path: path.into(), theirs, detail: problem.detail }.into());
        }
        Err(CliError::Refused(Box::new(problem)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Option<String>, Bytes), ClientError> {
        let token = self.token()?;
        let garbled = |detail: String| ClientError::Garbled { path: path.to_owned(), detail };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "openrtc-supervisor")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| garbled(error.to_string()))?;
        let again = |source| {
            let candidate = Candidate { path: self.socket.clone(), why: "it listened a moment ago" };
            ClientError::Unreachable(vec![(candidate, source)])
        };
        let stream = connect(&self.socket).map_err(again)?;
        stream.set_nonblocking(true).map_err(again)?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(again)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Lost)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(ClientError::Lost)?;
            let status = response.status();
            let version = response.headers().get(VERSION_HEADER);
            let version = version.and_then(|version| version.to_str().ok()).map(str::to_owned);
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| garbled(error.to_string()))?.to_bytes();
            Ok((status, version, body))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection must be driven; when it ends first, what was read is the answer.
            _ = connection => exchange.await,
        }
    }
}

/// Connects, through the socket's directory, so that its path may be longer than a socket's address. Blocks until there
/// is room in the supervisor's queue.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let parent = socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = socket.file_name().unwrap_or(OsStr::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

/// Names the owner of the nearest thing that we may look at.
/// Who may, in words.
fn who(owner: &str) -> String {
    if owner == "root" { owner.to_owned() } else { format!("{owner} or root") }
}

fn denial(path: &Path) -> ClientError {
    let seen = path.ancestors().find_map(|path| Some((path, path.symlink_metadata().ok()?.uid())));
    let (path, uid) = seen.unwrap_or((path, 0));
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    let owner = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
    ClientError::PermissionDenied { path: path.to_owned(), owner }
}
