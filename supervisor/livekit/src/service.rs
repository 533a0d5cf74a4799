//! The few methods of the server API that a worker's operator needs (Twirp: protobuf over HTTP).
//!
//! Owns: dispatches and rooms, a fresh token for each call. Never: retries.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message;

use crate::bounds::{RESPONSE_BYTES_MAX, SERVICE_WITHIN};
use crate::endpoint::Endpoint;
use crate::proto;
use crate::tls::{self, TlsError, Trust};
use crate::token::{ApiKey, Grant, Token, TokenError};

/// The server API of one server, with one key.
pub struct Service {
    endpoint: Endpoint,
    key: Arc<ApiKey>,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The server said no: Twirp's code and words.
    #[error("call {method}: {code}: {message}")]
    Refused {
        /// Which method.
        method: &'static str,
        /// `not_found`, `unauthenticated`, … or the HTTP status of an answer that is not Twirp's.
        code: String,
        /// What it said.
        message: String,
    },
    /// Nobody answered in time.
    #[error("call {method} within {} s", SERVICE_WITHIN.as_secs())]
    TooSlow {
        /// Which method.
        method: &'static str,
    },
    /// The server was not reached.
    #[error("call {method}")]
    Unreachable {
        /// Which method.
        method: &'static str,
        /// Why.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer broke off, or was longer than [`RESPONSE_BYTES_MAX`].
    #[error("read the answer of {method}")]
    Body {
        /// Which method.
        method: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer was no message.
    #[error("understand the answer of {method}")]
    Decode {
        /// Which method.
        method: &'static str,
        /// Why.
        #[source]
        source: prost::DecodeError,
    },
    /// The request could not be made from these parts.
    #[error("make a request of {method}")]
    Request {
        /// Which method.
        method: &'static str,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// No token.
    #[error("mint a token for the server API")]
    Token(#[from] TokenError),
}

impl Service {
    /// Connects when it is first used.
    pub fn new(endpoint: Endpoint, key: Arc<ApiKey>, trust: &Trust) -> Result<Self, TlsError> {
        let tls = if endpoint.is_secure() { tls::configuration(trust)? } else { tls::none()? };
        let connector = HttpsConnectorBuilder::new().with_tls_config((*tls).clone()).https_or_http().enable_http1();
        let http = Client::builder(TokioExecutor::new()).build(connector.build());
        Ok(Self { endpoint, key, http })
    }

    /// Asks for an agent in a room, which is created if need be.
    pub async fn create_dispatch(
        &self,
        request: proto::CreateAgentDispatchRequest,
    ) -> Result<proto::AgentDispatch, ServiceError> {
        let grant = Grant::RoomAdmin { room: request.room.clone() };
        self.call("AgentDispatchService", "CreateDispatch", &grant, &request).await
    }

    /// The dispatches of a room, with their jobs.
    pub async fn list_dispatch(&self, room: &str) -> Result<Vec<proto::AgentDispatch>, ServiceError> {
        let request = proto::ListAgentDispatchRequest { room: room.to_owned(), ..Default::default() };
        let grant = Grant::RoomAdmin { room: room.to_owned() };
        let answer: proto::ListAgentDispatchResponse =
            self.call("AgentDispatchService", "ListDispatch", &grant, &request).await?;
        Ok(answer.agent_dispatches)
    }

    /// Takes a dispatch back; its agent has 3 s to leave.
    pub async fn delete_dispatch(&self, room: &str, dispatch_id: &str) -> Result<proto::AgentDispatch, ServiceError> {
        let request = proto::DeleteAgentDispatchRequest { dispatch_id: dispatch_id.to_owned(), room: room.to_owned() };
        let grant = Grant::RoomAdmin { room: room.to_owned() };
        self.call("AgentDispatchService", "DeleteDispatch", &grant, &request).await
    }

    /// Who is in a room.
    pub async fn list_participants(&self, room: &str) -> Result<Vec<proto::ParticipantInfo>, ServiceError> {
        let request = proto::ListParticipantsRequest { room: room.to_owned() };
        let grant = Grant::RoomAdmin { room: room.to_owned() };
        let answer: proto::ListParticipantsResponse =
            self.call("RoomService", "ListParticipants", &grant, &request).await?;
        Ok(answer.participants)
    }

    /// Those of these rooms that there are.
    pub async fn list_rooms(&self, names: Vec<String>) -> Result<Vec<proto::Room>, ServiceError> {
        let request = proto::ListRoomsRequest { names };
        let answer: proto::ListRoomsResponse =
            self.call("RoomService", "ListRooms", &Grant::RoomList, &request).await?;
        Ok(answer.rooms)
    }

    /// Creates a room, with the agents that it shall have.
    pub async fn create_room(&self, request: proto::CreateRoomRequest) -> Result<proto::Room, ServiceError> {
        self.call("RoomService", "CreateRoom", &Grant::RoomCreate, &request).await
    }

    /// Closes a room and sends everybody away.
    pub async fn delete_room(&self, room: &str) -> Result<(), ServiceError> {
        let request = proto::DeleteRoomRequest { room: room.to_owned() };
        let _: proto::DeleteRoomResponse = self.call("RoomService", "DeleteRoom", &Grant::RoomCreate, &request).await?;
        Ok(())
    }

    async fn call<Answer: Message + Default>(
        &self,
        service: &str,
        method: &'static str,
        grant: &Grant,
        message: &impl Message,
    ) -> Result<Answer, ServiceError> {
        let token = self.key.call_token(grant)?;
        let unmade = |source| ServiceError::Request { method, source };
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|error| unmade(http::Error::from(error)))?;
        bearer.set_sensitive(true);
        let request = http::Request::post(self.endpoint.method_url(service, method))
            .header(CONTENT_TYPE, "application/protobuf")
            .header(AUTHORIZATION, bearer)
            .body(Full::new(Bytes::from(message.encode_to_vec())))
            .map_err(unmade)?;
        let exchange = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|source| ServiceError::Unreachable { method, source })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), RESPONSE_BYTES_MAX).collect().await;
            let body = body.map_err(|source| ServiceError::Body { method, source })?;
            Ok::<_, ServiceError>((status, body.to_bytes()))
        };
        let (status, body) =
            tokio::time::timeout(SERVICE_WITHIN, exchange).await.map_err(|_| ServiceError::TooSlow { method })??;
        if !status.is_success() {
            return Err(refusal(method, status, &body, &token));
        }
        Answer::decode(body).map_err(|source| ServiceError::Decode { method, source })
    }
}

/// Twirp's errors are JSON, whatever the request was.
#[derive(serde::Deserialize)]
struct TwirpError {
    code: String,
    #[serde(default)]
    msg: String,
}

fn refusal(method: &'static str, status: http::StatusCode, body: &[u8], token: &Token) -> ServiceError {
    match serde_json::from_slice::<TwirpError>(body) {
        Ok(TwirpError { code, msg }) => ServiceError::Refused { method, code, message: token.quote(msg.as_bytes()) },
        Err(_no_twirp) => {
            ServiceError::Refused { method, code: status.as_u16().to_string(), message: token.quote(body) }
        }
    }
}
