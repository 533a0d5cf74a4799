//! Where the server is.
//!
//! Owns: the URL as configured, and what it becomes for the worker's socket and for the server API. Never: holds a key.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// A LiveKit server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
    /// Without the slash at its end; empty or beginning with one.
    prefix: String,
}

/// What is no LiveKit URL.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is not even a URL.
    #[error("read {url:?} as the server's URL")]
    NotAUrl {
        /// As it was given.
        url: String,
        /// Why.
        #[source]
        source: http::uri::InvalidUri,
    },
    /// Something else than the web.
    #[error("use the server's URL {url:?}: it begins with none of ws://, wss://, http://, https://")]
    Scheme {
        /// As it was given.
        url: String,
    },
    /// No host in it.
    #[error("use the server's URL {url:?}: it names no host")]
    NoHost {
        /// As it was given.
        url: String,
    },
    /// A user, a password, a query: nothing that LiveKit knows, and perhaps a secret, so it is not repeated.
    #[error("use the server's URL: it carries {what}; give the key and secret apart from it")]
    Surplus {
        /// What.
        what: &'static str,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        if url.contains('@') {
            return Err(EndpointError::Surplus { what: "a user or password" });
        }
        let given = || url.to_owned();
        let uri: Uri = url.parse().map_err(|source| EndpointError::NotAUrl { url: given(), source })?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(_) | None => return Err(EndpointError::Scheme { url: given() }),
        };
        if uri.query().is_some() {
            return Err(EndpointError::Surplus { what: "a query" });
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| EndpointError::NoHost { url: given() })?;
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { secure, host: host.to_owned(), port, prefix })
    }
}

impl fmt::Display for Endpoint {
    /// The URL as agents get it: `ws://` or `wss://`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}{}", self.host, self.port_text(), self.prefix)
    }
}

impl Endpoint {
    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port: 80 or 443 where the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The worker's socket.
    pub(crate) fn agent_url(&self) -> String {
        format!("{self}/agent?protocol=1")
    }

    /// A method of the server API.
    pub(crate) fn method_url(&self, service: &str, method: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}{}/twirp/livekit.{service}/{method}", self.host, self.port_text(), self.prefix)
    }

    fn port_text(&self) -> String {
        if self.port == if self.secure { 443 } else { 80 } { String::new() } else { format!(":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent_url(url: &str) -> String {
        url.parse::<Endpoint>().expect(url).agent_url()
    }

    #[test]
    fn http_becomes_a_websocket_and_a_path_is_kept() {
        assert_eq!(agent_url("http://127.0.0.1:7880"), "ws://127.0.0.1:7880/agent?protocol=1");
        assert_eq!(agent_url("https://x.livekit.cloud/"), "wss://x.livekit.cloud/agent?protocol=1");
        assert_eq!(agent_url("wss://lb.example/rtc-eu/"), "wss://lb.example/rtc-eu/agent?protocol=1");
        let v6: Endpoint = "ws://[::1]:7880".parse().expect("a URL");
        assert_eq!((v6.host(), v6.port()), ("::1", 7880));
        assert_eq!(v6.to_string(), "ws://[::1]:7880");
    }

    #[test]
    fn the_server_api_is_beside_it() {
        let endpoint: Endpoint = "wss://lb.example/eu".parse().expect("a URL");
        assert_eq!(
            endpoint.method_url("RoomService", "CreateRoom"),
            "https://lb.example/eu/twirp/livekit.RoomService/CreateRoom"
        );
    }

    #[test]
    fn what_is_no_server_is_refused_and_a_password_is_not_repeated() {
        for bad in ["", "x", "ftp://x", "localhost:7880", "ws://", "ws://x?key=1"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
        let error = "ws://user:hush@x".parse::<Endpoint>().expect_err("a password").to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
