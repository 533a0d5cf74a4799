//! Accepting: who may come in, how many at once, and how long each may take.
//!
//! Owns: the places, and the deadlines of a connection. Never: reads what is asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openrtc_policy::bounds::CONTROL_CONNECTIONS_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::peer::Peer;
use crate::observer::stream::Pace;

/// From the connection to the end of the headers.
const HEADERS_DEADLINE: Duration = Duration::from_secs(5);
/// From our answer to its last byte taken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of headers.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// After a failed accept: the likely cause, no free descriptor, does not pass at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A connection that has not asked anything yet, as others see it.
#[derive(Default)]
struct Silent {
    asked: AtomicBool,
    leave: Notify,
}

/// A connection's place.
pub(super) struct Place {
    silent: Arc<Silent>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Connections at once. When all places are taken, whoever has been silent for longest makes room.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    silent: Arc<Mutex<VecDeque<Weak<Silent>>>>,
    made_room: Arc<AtomicU64>,
}

impl Room {
    /// For [`CONTROL_CONNECTIONS_MAX`].
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
        Self { places, silent: Arc::default(), made_room: Arc::default() }
    }

    /// Waits until all have left, at most so long.
    pub(super) async fn emptied(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.places.acquire_many(CONTROL_CONNECTIONS_MAX as u32)).await;
    }

    /// A place for one that has come, once there is one.
    pub(super) async fn enter(&self) -> Place {
        if self.places.available_permits() == 0 {
            self.make_room();
        }
        // The semaphore is never closed.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        let silent = Arc::new(Silent::default());
        let mut waiting = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= 2 * CONTROL_CONNECTIONS_MAX {
            waiting.retain(|one| one.upgrade().is_some_and(|one| !one.asked.load(Relaxed)));
        }
        waiting.push_back(Arc::downgrade(&silent));
        Place { silent, _permit: permit }
    }

    fn make_room(&self) {
        let mut waiting = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(oldest) = waiting.pop_front() {
            let Some(oldest) = oldest.upgrade().filter(|one| !one.asked.load(Relaxed)) else { continue };
            oldest.leave.notify_one();
            let times = self.made_room.fetch_add(1, Relaxed) + 1;
            if times.is_power_of_two() {
                tracing::warn!(
                    times,
                    "control: all {CONTROL_CONNECTIONS_MAX} connections were taken; closed the oldest that asked nothing"
                );
            }
            return;
        }
    }
}

/// The next connection to a socket, which this group may use too.
pub(super) async fn next(listener: &UnixListener, group: Option<u32>) -> (UnixStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Peer::of(&stream, group) {
                Ok(peer) => return (stream, peer),
                Err(error) => tracing::warn!(%error, "control: a connection without credentials was dropped"),
            },
            Err(error) => failed(&error).await,
        }
    }
}

/// The next connection to a port.
pub(super) async fn next_remote(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, Peer::Remote { address }),
            Err(error) => failed(&error).await,
        }
    }
}

async fn failed(error: &std::io::Error) {
    tracing::warn!(%error, "control: failed to accept");
    tokio::time::sleep(AFTER_FAILURE).await;
}

/// Serves one request, and no second one on the same connection.
pub(super) async fn converse<S>(stream: S, peer: Peer, router: Router, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answered = Notify::new();
    let endless = OnceLock::<Pace>::new();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        place.silent.asked.store(true, Relaxed);
        let (router, answered, endless) = (router.clone(), &answered, &endless);
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let response = router.oneshot(request).await;
            if let Ok(answer) = &response
                && let Some(pace) = answer.extensions().get::<Pace>()
            {
                // The first answer is the only one.
                let _ = endless.set(pace.clone());
            }
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
        _ = &mut connection => return,
        () = place.silent.leave.notified(), if !place.silent.asked.load(Relaxed) => return,
        () = answered.notified() => {}
    }
    if let Some(pace) = endless.get() {
        tokio::select! {
            _ = &mut connection => return,
            () = pace.overrun() => {}
        }
        tracing::warn!(%peer, "control: a reader of events is dropped: it reads more slowly than events come");
    }
    let _ = tokio::time::timeout(ANSWER_DEADLINE, connection).await;
}
