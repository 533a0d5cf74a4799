//! Why a connection is not there, or no more.
//!
//! Owns: the reasons, for the machine, the socket and whoever is told. Never: holds a token.

use std::sync::Arc;

use tokio_tungstenite::tungstenite;

/// Why connecting failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name is unknown, nobody listens, or the network is not there.
    #[error("reach {host}:{port}")]
    Unreachable {
        /// The host as configured.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An HTTP answer instead of an upgrade: 401 for a wrong key or secret, 404 for a path that is no LiveKit server.
    #[error("become a worker: the server answered {status}{}{body}", if body.is_empty() { "" } else { ": " })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// TLS or the websocket handshake failed.
    #[error("agree on a websocket")]
    Handshake(#[source] Box<tungstenite::Error>),
    /// It took longer than [`crate::bounds::CONNECT_WITHIN`].
    #[error("connect within {} s", crate::bounds::CONNECT_WITHIN.as_secs())]
    TooSlow,
    /// The worker's token could not be made.
    #[error("mint the worker's token")]
    Token(#[source] crate::token::TokenError),
    /// `wss://` without certificates to trust.
    #[error("prepare TLS")]
    Tls(#[source] crate::tls::TlsError),
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Disconnect {
    /// It never came to be.
    #[error("failed to connect")]
    Connect(#[source] Arc<ConnectError>),
    /// The server closed it.
    #[error("the server closed the connection{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed {
        /// What it said.
        reason: String,
    },
    /// It broke, or the server sent what is no websocket message or one that is too large.
    #[error("the connection broke")]
    Broken(#[source] Arc<tungstenite::Error>),
    /// The server did not confirm the registration in time.
    #[error("the server did not confirm the registration within {} s", crate::bounds::REGISTER_WITHIN.as_secs())]
    NotRegistered,
    /// Nothing came from the server for too long.
    #[error("nothing was heard from the server for {} s", crate::bounds::SILENCE.as_secs())]
    Silent,
    /// The server did not read what we sent.
    #[error("the server did not read what was sent")]
    NotReading,
}
