//! What is read of a request: its body, its query and the names in its path.
//!
//! Owns: the bounds on all three. Never: waits longer than [`BODY_DEADLINE`] for a body, or holds more of it than
//! [`CONTROL_BODY_BYTES_MAX`].

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use openrtc_ipc::{HostId, IdError, SessionId, TenantId};
use openrtc_policy::bounds::CONTROL_BODY_BYTES_MAX;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// From the end of the headers to the end of the body.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// A body of JSON. An empty one counts as `{}`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Refusal> {
        let claimed = request.headers().get(header::CONTENT_LENGTH);
        let claimed = claimed.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if claimed.is_some_and(|bytes| bytes > CONTROL_BODY_BYTES_MAX as u64) {
            return Err(too_large());
        }
        let body = Limited::new(request.into_body(), CONTROL_BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_DEADLINE, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
            Ok(Err(error)) => return Err(Refusal::bad_request(format!("body: {error}"))),
            Err(_) => {
                let detail = format!("body: not complete within {} s", BODY_DEADLINE.as_secs());
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail));
            }
        };
        let body = if body.is_empty() { b"{}" } else { &body[..] };
        serde_json::from_slice(body).map(Self).map_err(|error| Refusal::bad_request(format!("body: {error}")))
    }
}

fn too_large() -> Refusal {
    let detail = format!("body: more than {CONTROL_BODY_BYTES_MAX} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

/// The query of a request.
pub(super) struct With<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for With<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Refusal::bad_request(format!("query: {}", error.body_text()))),
        }
    }
}

/// A name that may stand in a path.
pub(super) trait Name: Sized {
    /// Reads it.
    fn read(text: &str) -> Result<Self, IdError>;
    /// What a wrong one is refused with.
    const REASON: &'static str = "bad_request";
}

impl Name for SessionId {
    fn read(text: &str) -> Result<Self, IdError> {
        text.parse()
    }
}

impl Name for HostId {
    fn read(text: &str) -> Result<Self, IdError> {
        text.parse()
    }
}

impl Name for TenantId {
    const REASON: &'static str = "tenant_invalid";
    fn read(text: &str) -> Result<Self, IdError> {
        text.parse()
    }
}

/// Reads a name, or says what is wrong with it.
pub(super) fn name<T: Name>(text: &str) -> Result<T, Refusal> {
    T::read(text).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, T::REASON, error.to_string()))
}

/// The one name in a path.
pub(super) struct Named<T>(pub(super) T);

impl<T: Name, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => name(&text).map(Self),
            Err(error) => Err(Refusal::bad_request(format!("path: {}", error.body_text()))),
        }
    }
}
