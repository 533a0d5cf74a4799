//! One websocket to the server, in a task of its own.
//!
//! Owns: TCP, TLS, the upgrade, frames in and out, the goodbye. Never: knows what the frames mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{AUTHORIZATION, HeaderValue};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use crate::bounds::{CLOSE_WITHIN, CONNECT_WITHIN, INBOUND_BYTES_MAX, UNACKNOWLEDGED, WRITE_WITHIN};
use crate::endpoint::Endpoint;
use crate::fault::{ConnectError, Disconnect};
use crate::token::ApiKey;
use crate::worker::event::SocketId;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What every socket of a client needs.
pub(crate) struct Dial {
    pub(crate) endpoint: Endpoint,
    pub(crate) key: Arc<ApiKey>,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

/// What a socket tells.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    Opened,
    /// The server lives.
    Heard,
    /// It said something in binary.
    Frame(Bytes),
    /// It said something that is no message of a worker's.
    Odd,
    Closed(Disconnect),
}

/// Connects after `delay`, and serves until either side ends it: we do so by dropping the sender of `outgoing`.
pub(crate) async fn run(
    id: SocketId,
    delay: Duration,
    dial: Arc<Dial>,
    mut outgoing: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<(SocketId, SocketEvent)>,
) {
    let connecting = async {
        tokio::time::sleep(delay).await;
        timeout(CONNECT_WITHIN, connect(&dial)).await.unwrap_or(Err(ConnectError::TooSlow))
    };
    let connected = tokio::select! {
        connected = connecting => connected,
        // Nothing is sent before the socket is open: its sender was dropped.
        _ = outgoing.recv() => return,
    };
    // A client that is gone does not care.
    let ended = match connected {
        Err(error) => Some(Disconnect::Connect(Arc::new(error))),
        Ok(mut stream) if events.send((id, SocketEvent::Opened)).await.is_ok() => {
            let ended = serve(id, &mut stream, &mut outgoing, &events).await;
            // Half-open connections stay selectable for the server: always say goodbye. Dropping the stream shuts it down.
            let goodbye = async {
                stream.close(None).await?;
                while stream.next().await.transpose()?.is_some() {}
                Ok::<(), tungstenite::Error>(())
            };
            let _ = timeout(CLOSE_WITHIN, goodbye).await;
            ended
        }
        Ok(_) => None,
    };
    if let Some(why) = ended {
        let _ = events.send((id, SocketEvent::Closed(why))).await;
    }
}

async fn serve(
    id: SocketId,
    stream: &mut Stream,
    outgoing: &mut mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<(SocketId, SocketEvent)>,
) -> Option<Disconnect> {
    loop {
        tokio::select! {
            biased;
            message = outgoing.recv() => {
                let message = message?;
                match timeout(WRITE_WITHIN, stream.send(Message::Binary(message))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(broken(error)),
                    Err(_) => return Some(Disconnect::NotReading),
                }
            }
            frame = stream.next() => {
                let event = match frame {
                    None => return Some(Disconnect::Closed { reason: String::new() }),
                    Some(Err(error)) => return Some(broken(error)),
                    Some(Ok(Message::Close(close))) => {
                        let reason = close.map(|close| format!("{} {}", u16::from(close.code), close.reason));
                        return Some(Disconnect::Closed { reason: reason.unwrap_or_default().trim_end().to_owned() });
                    }
                    Some(Ok(Message::Binary(bytes))) => SocketEvent::Frame(bytes),
                    // tungstenite answers pings itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => SocketEvent::Heard,
                    Some(Ok(Message::Text(_) | Message::Frame(_))) => SocketEvent::Odd,
                };
                events.send((id, event)).await.ok()?;
            }
        }
    }
}

fn broken(error: tungstenite::Error) -> Disconnect {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            Disconnect::Closed { reason: String::new() }
        }
        error => Disconnect::Broken(Arc::new(error)),
    }
}

async fn connect(dial: &Dial) -> Result<Stream, ConnectError> {
    let token = dial.key.worker_token().map_err(ConnectError::Token)?;
    let mut request =
        dial.endpoint.agent_url().into_client_request().map_err(|error| ConnectError::Handshake(Box::new(error)))?;
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut bearer = bearer.map_err(|error| ConnectError::Handshake(Box::new(http::Error::from(error).into())))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);

    let tcp = reach(&dial.endpoint).await?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(INBOUND_BYTES_MAX))
        .max_frame_size(Some(INBOUND_BYTES_MAX))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0);
    let connector = dial.tls.clone().map_or(Connector::Plain, Connector::Rustls);
    match tokio_tungstenite::client_async_tls_with_config(request, tcp, Some(limits), Some(connector)).await {
        Ok((stream, _response)) => Ok(stream),
        Err(tungstenite::Error::Http(response)) => {
            let body = token.quote(response.body().as_deref().unwrap_or_default());
            Err(ConnectError::Refused { status: response.status().as_u16(), body })
        }
        Err(error) => Err(ConnectError::Handshake(Box::new(error))),
    }
}

/// A connection that notices on its own that the other side is gone.
async fn reach(endpoint: &Endpoint) -> Result<TcpStream, ConnectError> {
    let (host, port) = (endpoint.host(), endpoint.port());
    let failed = |source| ConnectError::Unreachable { host: host.to_owned(), port, source };
    let tcp = TcpStream::connect((host, port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let socket = socket2::SockRef::from(&tcp);
    let keepalive = socket2::TcpKeepalive::new().with_time(UNACKNOWLEDGED).with_interval(UNACKNOWLEDGED / 3);
    socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)).map_err(failed)?;
    Ok(tcp)
}
