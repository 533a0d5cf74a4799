//! The control server: its sockets, its token and its routes.
//!
//! Owns: everything in the runtime directory while the supervisor runs. Never: serves who is not the operator.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use openrtc_control_api::TOKEN_FILE;

use crate::audit::Actor;

use super::listen::{Peer, Room, converse, next};
use super::lock::{LockError, RuntimeDir};
use super::private_dir::{Bound, DirError, PrivateDir};
use super::refusal::Refusal;
use super::token::{Token, TokenError};
use super::world::World;
use super::{agent, breaker, dispatch, doctor, drain, host, livekit, session, snapshot, tenant, top};

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
}

/// An open control server, not serving yet. Dropping it removes its sockets and its token.
#[derive(Debug)]
pub struct Control {
    control: Bound,
    top: Option<Bound>,
    token: Arc<Token>,
    // Last: the directory is ours until the names in it are gone.
    _runtime_dir: RuntimeDir,
}

impl Control {
    /// Takes the runtime directory and binds the sockets. Needs a tokio runtime.
    pub fn open(settings: &Settings) -> Result<Self, ControlError> {
        let runtime_dir = RuntimeDir::claim(&settings.runtime_dir)?;
        let (directory, name) = place(&runtime_dir, &settings.control_socket)?;
        let token = Arc::new(Token::draw(&directory)?);
        let control = Bound::new(&directory, &name)?;
        let bind_top = |path: &PathBuf| {
            let (directory, name) = place(&runtime_dir, path)?;
            Bound::new(&directory, &name)
        };
        let top = settings.top_socket.as_ref().map(bind_top).transpose()?;
        Ok(Self { control, top, token, _runtime_dir: runtime_dir })
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

    /// Serves until told to stop, then gives answers on their way a moment.
    pub async fn serve(self, world: World, stop: impl Future<Output = ()>) {
        let router = routes(world.clone(), Arc::clone(&self.token));
        let (room, top_room) = (Room::new(), Room::new());
        let control = async {
            loop {
                let (stream, peer, permit) = next(&self.control.listener, &room).await;
                let router = router.clone();
                tokio::spawn(async move {
                    converse(stream, peer, router).await;
                    drop(permit);
                });
            }
        };
        let top = async {
            let Some(top) = &self.top else { return std::future::pending().await };
            loop {
                let (stream, peer, permit) = next(&top.listener, &top_room).await;
                let world = world.clone();
                if peer.trusted() {
                    tokio::spawn(async move {
                        top::tell(stream, world).await;
                        drop(permit);
                    });
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = control => {}
            () = top => {}
            () = world.machine.sample() => {}
        }
        room.emptied(LAST_WORDS).await;
    }
}

/// The directory and the name of a socket.
fn place(runtime_dir: &RuntimeDir, socket: &Path) -> Result<(Arc<PrivateDir>, String), DirError> {
    let path = runtime_dir.directory().path().join(socket);
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(name), Some(parent)) = (name, path.parent()) else { return Err(DirError::NoName { path }) };
    if parent == runtime_dir.directory().path() {
        return Ok((Arc::clone(runtime_dir.directory()), name));
    }
    Ok((Arc::new(PrivateDir::open(parent)?), name))
}

fn routes(world: World, token: Arc<Token>) -> Router {
    let v1 = Router::new()
        .route("/dispatch", post(dispatch::dispatch))
        .route("/snapshot", get(snapshot::show))
        .route("/sessions", get(session::list))
        .route("/sessions/{id}", get(session::show))
        .route("/sessions/{id}/end", post(session::end))
        .route("/hosts", get(host::list))
        .route("/hosts/{id}", get(host::show))
        .route("/hosts/{id}/kill", post(host::kill))
        .route("/tenants", get(tenant::list))
        .route("/tenants/{id}", get(tenant::show))
        .route("/tenants/{id}/suspend", post(tenant::suspend))
        .route("/tenants/{id}/resume", post(tenant::resume))
        .route("/tenants/{id}/drain", post(tenant::drain))
        .route("/agents", get(agent::list))
        .route("/breakers", get(breaker::list))
        .route("/breakers/{id}/reset", post(breaker::reset))
        .route("/breakers/{id}/trip", post(breaker::trip))
        .route("/drain", post(drain::drain))
        .route("/shutdown", post(drain::shutdown))
        .route("/livekit", get(livekit::show))
        .route("/livekit/check", get(livekit::check))
        .route("/livekit/simulate", post(livekit::simulate))
        .route("/livekit/token", post(livekit::mint))
        .route("/doctor", get(doctor::show));
    Router::new()
        .nest(openrtc_control_api::PREFIX, v1)
        .route(HEALTHZ, get(drain::healthz))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(token, authorise))
        .with_state(world)
}

const HEALTHZ: &str = "/healthz";

async fn no_such_route(request: Request) -> Refusal {
    Refusal::not_found(format!("{}: no such route", request.uri().path()))
}

async fn wrong_method(request: Request) -> Refusal {
    let detail = format!("{} {}: another method is meant", request.method(), request.uri().path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Lets through who is us or root, and has the token.
async fn authorise(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if !peer.is_some_and(Peer::trusted) {
        let uid = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.uid.to_string());
        tracing::warn!(%uid, path = request.uri().path(), "control: refused a peer of another uid");
        let detail = format!("uid {uid} is neither the supervisor's nor root");
        return Refusal::new(StatusCode::FORBIDDEN, "permission_denied", detail).into_response();
    }
    let given = request.headers().get(header::AUTHORIZATION);
    if request.uri().path() != HEALTHZ && !given.is_some_and(|given| token.is_in(given.as_bytes())) {
        let detail = format!("authorization: give `Bearer` and the token in {TOKEN_FILE} beside the socket");
        return Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    }
    let actor = peer.map_or(Actor::System, |peer| Actor::Peer { uid: peer.uid, pid: peer.pid });
    actor.scope(next.run(request)).await
}
