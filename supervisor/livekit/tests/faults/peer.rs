//! A scripted peer: speaks the server's half of the protocol, word by word, as a test tells it.
//!
//! Owns: listening, upgrading, saying and hearing. Never: does anything on its own.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use openrtc_livekit::proto::{self, server_message, worker_message};
use openrtc_livekit::{Acceptance, Answer, ApiKey, Capacity, Client, ClientPlan, JobId, Notice, Registration, Trust};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Listens.
pub(crate) struct Peer {
    listener: TcpListener,
    url: String,
    tls: Option<TlsAcceptor>,
    pub(crate) authority: Option<PathBuf>,
    _directory: Option<tempfile::TempDir>,
}

/// One worker's connection.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Io>>,
    pub(crate) path: String,
    pub(crate) authorization: String,
}

/// The next notice that `wanted` takes.
pub(crate) async fn wait<T>(notices: &mut mpsc::Receiver<Notice>, mut wanted: impl FnMut(Notice) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = wanted(notices.recv().await.expect("a live worker")) {
                break found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("a notice in time")
}

impl Peer {
    pub(crate) async fn start(prefix: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("ws://127.0.0.1:{}{prefix}", listener.local_addr().expect("its address").port());
        Self { listener, url, tls: None, authority: None, _directory: None }
    }

    /// With a certificate of its own authority.
    pub(crate) async fn start_secure() -> Self {
        let plain = Self::start("").await;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let authority = directory.path().join("authority.pem");
        std::fs::write(&authority, made.cert.pem()).expect("written");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a fine certificate");
        let url = plain.url.replace("ws://127.0.0.1", "wss://localhost");
        Self {
            url,
            tls: Some(TlsAcceptor::from(Arc::new(config))),
            authority: Some(authority),
            _directory: Some(directory),
            ..plain
        }
    }

    /// A worker that connects here.
    pub(crate) fn client(&self, trust: Trust) -> (Client, mpsc::Receiver<Notice>) {
        Client::start(ClientPlan {
            endpoint: self.url.parse().expect("a URL"),
            key: Arc::new(ApiKey::new("devkey", "secret")),
            trust,
            registration: Registration::rooms("clerk"),
            capacity: Capacity::IDLE,
        })
        .expect("a client")
    }

    async fn stream(&self) -> Result<Box<dyn Io>, std::io::Error> {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("a connection in time");
        let (tcp, _) = accepted.expect("a connection");
        tcp.set_nodelay(true).expect("a socket");
        Ok(match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.accept(tcp).await?),
        })
    }

    /// The next connection, upgraded.
    pub(crate) async fn accept(&mut self) -> Socket {
        let stream = self.stream().await.expect("TLS");
        let (mut path, mut authorization) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "tungstenite's own type")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().to_string();
            let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            authorization = header.unwrap_or_default().to_owned();
            Ok(response)
        };
        let stream = tokio_tungstenite::accept_hdr_async(stream, look).await.expect("an upgrade");
        Socket { stream, path, authorization }
    }

    /// A connection that does not come to be.
    pub(crate) async fn refused(&mut self) {
        assert!(self.stream().await.is_err(), "TLS was agreed on");
    }

    /// The next connection, registered, its first report heard.
    pub(crate) async fn registered(&mut self) -> Socket {
        let mut socket = self.accept().await;
        assert!(matches!(socket.hear().await, worker_message::Message::Register(_)));
        socket.confirm().await;
        while !matches!(socket.hear().await, worker_message::Message::UpdateWorker(_)) {}
        socket
    }
}

impl Socket {
    pub(crate) async fn say(&mut self, message: server_message::Message) {
        self.say_bytes(proto::ServerMessage { message: Some(message) }.encode_to_vec()).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::Binary(bytes.into())).await.expect("a listening worker");
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.stream.send(Message::Text(text.into())).await.expect("a listening worker");
    }

    /// Bytes below the websocket.
    pub(crate) async fn say_raw(&mut self, bytes: &[u8]) {
        let tcp = self.stream.get_mut();
        tcp.write_all(bytes).await.expect("a listening worker");
        tcp.flush().await.expect("a listening worker");
    }

    pub(crate) async fn confirm(&mut self) {
        let response = proto::RegisterWorkerResponse { worker_id: "AW_1".into(), ..Default::default() };
        self.say(server_message::Message::Register(response)).await;
    }

    pub(crate) async fn offer(&mut self, id: &str) {
        let job = proto::Job { id: id.into(), agent_name: "clerk".into(), ..Default::default() };
        let request = proto::AvailabilityRequest { job: Some(job), resuming: false };
        self.say(server_message::Message::Availability(request)).await;
    }

    pub(crate) async fn assign(&mut self, id: &str) {
        let job = proto::Job { id: id.into(), ..Default::default() };
        let assignment = proto::JobAssignment { job: Some(job), url: None, token: "jwt".into() };
        self.say(server_message::Message::Assignment(assignment)).await;
    }

    /// A job that is the worker's.
    pub(crate) async fn run_job(&mut self, id: &str, client: &Client, notices: &mut mpsc::Receiver<Notice>) -> JobId {
        self.offer(id).await;
        let offer = wait(notices, |notice| if let Notice::Offer(offer) = notice { Some(offer) } else { None }).await;
        client.answer(offer.id.clone(), Answer::Accept(Box::<Acceptance>::default())).expect("a live worker");
        while !matches!(self.hear().await, worker_message::Message::Availability(_)) {}
        self.assign(id).await;
        wait(notices, |notice| matches!(notice, Notice::Assigned(_)).then_some(())).await;
        offer.id
    }

    async fn next(&mut self) -> Option<worker_message::Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a word in time")?;
            match frame {
                Ok(Message::Binary(bytes)) => {
                    break proto::WorkerMessage::decode(bytes).expect("a message").message;
                }
                Ok(Message::Close(_)) => break None,
                Ok(_) => {}
                Err(error) => panic!("no goodbye: {error}"),
            }
        }
    }

    /// What the worker says next.
    pub(crate) async fn hear(&mut self) -> worker_message::Message {
        self.next().await.expect("a word, not a goodbye")
    }

    /// The next status of a job; reports of load are passed over.
    pub(crate) async fn hear_update(&mut self) -> proto::UpdateJobStatus {
        loop {
            if let worker_message::Message::UpdateJob(update) = self.hear().await {
                break update;
            }
        }
    }

    /// The worker says goodbye, whatever it says before.
    pub(crate) async fn gone(&mut self) {
        while self.next().await.is_some() {}
    }
}
