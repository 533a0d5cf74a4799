//! The control server: its sockets, its token and its routes.
//!
//! Owns: everything in the runtime directory while the supervisor runs. Never: serves who is not the operator.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use openrtc_control_api::{TOKEN_FILE, VERSION_HEADER};
use openrtc_ipc::SecretText;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::health::HealthServer;
use super::listen::{Room, converse, next, next_remote};
use super::lock::{LockError, RuntimeDir};
use super::peer::{Peer, Standing};
use super::private_dir::{Bound, DirError, PrivateDir};
use super::refusal::Refusal;
use super::token::{Token, TokenError};
use super::world::World;
use super::{health, metrics, routes, top};

/// For answers still on their way when we stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where the sockets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The runtime directory, absolute.
    pub runtime_dir: PathBuf,
    /// The control socket; a relative path is in the runtime directory.
    pub control_socket: PathBuf,
    /// OpenRTC's socket, if it is to be served; a relative path is in the runtime directory. Only where hosts cannot
    /// reach it (decision W1).
    pub top_socket: Option<PathBuf>,
    /// Id of a group whose members may use the control socket too.
    pub group: Option<u32>,
    /// Where the control API is served over TCP, if anywhere.
    pub listen: Option<SocketAddr>,
    /// Where probes are answered over TCP, if anywhere.
    pub health: Option<SocketAddr>,
    /// Whether `/metrics` is served there too.
    pub health_metrics: bool,
}

/// Why the control server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The runtime directory cannot be had.
    #[error(transparent)]
    RuntimeDir(#[from] LockError),
    /// A socket's directory is not fit, or the socket cannot be bound.
    #[error(transparent)]
    Socket(#[from] DirError),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An address cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// An open control server, not serving yet. Dropping it removes its sockets and its token.
#[derive(Debug)]
pub struct Control {
    control: Bound,
    top: Option<Bound>,
    token: Arc<Token>,
    group: Option<u32>,
    remote: Option<TcpListener>,
    remote_token: Option<Arc<Token>>,
    health: Option<HealthServer>,
    // Last: the directory is ours until the names in it are gone.
    _runtime_dir: RuntimeDir,
}

impl Control {
    /// Takes the runtime directory and binds the sockets. Needs a tokio runtime.
    pub fn open(settings: &Settings) -> Result<Self, ControlError> {
        let beside = settings.runtime_dir.join(&settings.control_socket);
        // Where the socket lies elsewhere, the group has no business in our own directory.
        let inside = beside.parent().is_some_and(|parent| parent.components().eq(settings.runtime_dir.components()));
        let runtime_dir = RuntimeDir::claim_for(&settings.runtime_dir, settings.group.filter(|_| inside))?;
        let (directory, name) = place(&runtime_dir, &settings.control_socket, settings.group)?;
        let token = Arc::new(Token::draw(&directory)?);
        let control = Bound::new(&directory, &name, true)?;
        let bind_top = |path: &PathBuf| {
            let (directory, name) = place(&runtime_dir, path, None)?;
            Bound::new(&directory, &name, false)
        };
        let top = settings.top_socket.as_ref().map(bind_top).transpose()?;
        let remote = settings.listen.map(bind).transpose()?;
        let health = settings.health.map(|address| HealthServer::open(address, settings.health_metrics)).transpose()?;
        let group = settings.group;
        Ok(Self { control, top, token, group, remote, remote_token: None, health, _runtime_dir: runtime_dir })
    }

    /// Where the control socket is.
    pub fn socket(&self) -> PathBuf {
        self.control.path()
    }

    /// Where the token is.
    pub fn token_file(&self) -> PathBuf {
        self.socket().with_file_name(TOKEN_FILE)
    }

    /// Where OpenRTC's socket is, if it is served.
    pub fn top_socket(&self) -> Option<PathBuf> {
        self.top.as_ref().map(Bound::path)
    }

    /// Where it is served over TCP, if it is.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The port of probes, once.
    pub fn take_health(&mut self) -> Option<HealthServer> {
        self.health.take()
    }

    /// What who asks over TCP must give; nobody is served there before.
    pub fn admit_remote(&mut self, token: &SecretText) {
        self.remote_token = Some(Arc::new(Token::given(token.expose_secret().to_owned())));
    }

    /// Serves until told to stop, then gives answers on their way a moment.
    pub async fn serve(self, world: World, stop: impl Future<Output = ()>) {
        let keys = Keys { local: Arc::clone(&self.token), remote: self.remote_token.clone() };
        let router = routes(world.clone(), keys);
        let (room, top_room, remote_room) = (Room::new(), Room::new(), Room::new());
        let control = async {
            loop {
                let (stream, peer) = next(&self.control.listener, self.group).await;
                let place = room.enter().await;
                tokio::spawn(converse(stream, peer, router.clone(), place));
            }
        };
        let remote = async {
            let Some(remote) = &self.remote else { return std::future::pending().await };
            loop {
                let (stream, peer) = next_remote(remote).await;
                let place = remote_room.enter().await;
                tokio::spawn(converse(stream, peer, router.clone(), place));
            }
        };
        let top = async {
            let Some(top) = &self.top else { return std::future::pending().await };
            loop {
                let (stream, peer) = next(&top.listener, None).await;
                if peer.is_owner() {
                    let (place, world) = (top_room.enter().await, world.clone());
                    tokio::spawn(async move {
                        top::tell(stream, world).await;
                        drop(place);
                    });
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = control => {}
            () = remote => {}
            () = top => {}
            () = world.machine.sample() => {}
        }
        tokio::join!(room.emptied(LAST_WORDS), remote_room.emptied(LAST_WORDS));
    }
}

/// The directory and the name of a socket.
fn place(runtime_dir: &RuntimeDir, socket: &Path, group: Option<u32>) -> Result<(Arc<PrivateDir>, String), DirError> {
    let path = runtime_dir.directory().path().join(socket);
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(name), Some(parent)) = (name, path.parent()) else { return Err(DirError::NoName { path }) };
    if parent == runtime_dir.directory().path() {
        return Ok((Arc::clone(runtime_dir.directory()), name));
    }
    Ok((Arc::new(PrivateDir::open_for(parent, group)?), name))
}

/// Listens on an address. Needs a tokio runtime.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, ControlError> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listener.map_err(|source| ControlError::Listen { address, source })
}

/// What opens the door: one token beside the socket, another one for TCP.
#[derive(Clone)]
struct Keys {
    local: Arc<Token>,
    remote: Option<Arc<Token>>,
}

fn routes(world: World, keys: Keys) -> Router {
    let (_, health) = watch::channel(Some(world.clone()));
    Router::new()
        .nest(openrtc_control_api::PREFIX, routes::router().with_state(world.clone()))
        .route("/metrics", get(metrics::show).with_state(world))
        .merge(health::routes().with_state(health))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(keys, authorise))
        .layer(map_response(named))
}

/// Says who answers.
async fn named(mut response: Response) -> Response {
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

async fn no_such_route(request: Request) -> Refusal {
    Refusal::not_found(format!("{}: no such route", request.uri().path()))
}

async fn wrong_method(request: Request) -> Refusal {
    let detail = format!("{} {}: another method is meant", request.method(), request.uri().path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Lets through who may ask and has the token; tells the log who ordered what.
async fn authorise(State(keys): State<Keys>, peer: Peer, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !may_ask(&peer) {
        tracing::warn!(%peer, path, "control: refused");
        let detail = format!("{peer}: neither the supervisor's user nor root, nor in its control_group");
        return Refusal::new(StatusCode::FORBIDDEN, "permission_denied", detail).into_response();
    }
    let (token, detail) = match peer {
        Peer::Remote { .. } => (keys.remote.as_ref(), "unauthorized".to_owned()),
        _ => {
            let detail = format!("authorization: give `Bearer` and the token in {TOKEN_FILE} beside the socket");
            (Some(&keys.local), detail)
        }
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let right = given.zip(token).is_some_and(|(given, token)| token.is_in(given.as_bytes()));
    if !right && !health::is_probe(path) {
        return Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    }
    // Dispatches are told as sessions.
    if request.method() != Method::GET && !path.ends_with("/dispatch") {
        tracing::info!(%peer, path, "control: asked");
    }
    peer.actor().scope(next.run(request)).await
}

fn may_ask(peer: &Peer) -> bool {
    match peer {
        Peer::Local { standing, .. } => *standing != Standing::Stranger,
        Peer::Remote { .. } => true,
        Peer::Unknown => false,
    }
}
