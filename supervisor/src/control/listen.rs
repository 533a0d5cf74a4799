//! Accepting: who may come in, how many at once, and how long each may take.
//!
//! Owns: the accept loop and the deadlines of a connection. Never: reads what is asked.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openrtc_policy::bounds::CONTROL_CONNECTIONS_MAX;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

/// From the connection to the end of the headers.
const HEADERS_DEADLINE: Duration = Duration::from_secs(5);
/// From our answer to its last byte taken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of headers.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// After a failed accept: the likely cause, no free descriptor, does not pass at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Who connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// User id, as the kernel says.
    pub(super) uid: u32,
    /// Process, as the kernel says.
    pub(super) pid: Option<i32>,
}

impl Peer {
    /// Whether the uid is ours or root's.
    pub(super) fn trusted(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// Connections at once; each holds a permit.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// For [`CONTROL_CONNECTIONS_MAX`].
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX)))
    }

    /// Waits until all have left, at most so long.
    pub(super) async fn emptied(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.0.acquire_many(CONTROL_CONNECTIONS_MAX as u32)).await;
    }
}

/// The next connection, once there is room for it.
pub(super) async fn next(listener: &UnixListener, room: &Room) -> (UnixStream, Peer, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(&room.0).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(cred) => return (stream, Peer { uid: cred.uid(), pid: cred.pid() }, permit),
                Err(error) => tracing::warn!(%error, "control: a connection without credentials was dropped"),
            },
            Err(error) => {
                tracing::warn!(%error, "control: failed to accept");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// Serves one request, and no second one on the same connection.
pub(super) async fn converse(stream: UnixStream, peer: Peer, router: Router) {
    let answered = Notify::new();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let router = router.clone();
        let answered = &answered;
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let response = router.oneshot(request).await;
            answered.notify_one();
            response as Result<_, Infallible>
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_DEADLINE)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // How it failed is the client's to know: a deadline, or it left.
    tokio::select! {
        _ = &mut connection => {}
        () = answered.notified() => {
            let _ = tokio::time::timeout(ANSWER_DEADLINE, connection).await;
        }
    }
}
