//! `/v1/events`: what happens, as it happens, to readers that come and go.
//!
//! Owns: the form of server-sent events, and how many readers there may be. Never: holds an event; the ring does.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openrtc_ipc::TenantId;
use openrtc_policy::bounds::EVENT_READERS_MAX;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::refusal::Refusal;
use super::request::{With, name};
use super::world::World;
use crate::observer::stream::{Begin, EventId, Gap, Next, Reader, gap};

/// Silence after which a comment is sent, so that both ends notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Of this tenant only, and what concerns all.
    tenant: Option<String>,
    /// Resume after this event; the header `Last-Event-ID` says the same, and wins.
    after: Option<String>,
}

/// A reader's answer while it is being written.
struct Telling {
    reader: Reader,
    first: Option<Bytes>,
    done: bool,
    _place: OwnedSemaphorePermit,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.done {
            return None;
        }
        match tokio::time::timeout(HEARTBEAT, self.reader.next()).await {
            // The id moves on, so that who reads one tenant's events can resume however many the others had.
            Err(_elapsed) => Some(format!(":\nid: {}\n\n", self.reader.before()).into()),
            Ok(Next::Event(event)) => Some(written(Some(event.id), event.kind, &event.data)),
            Ok(Next::Overrun(missed)) => {
                self.done = true;
                let data = json!({ "reason": "too_slow", "missed": missed });
                Some(written(None, "dropped", &data.to_string()))
            }
            Ok(Next::Over) => {
                self.done = true;
                Some(written(None, "end", &json!({ "reason": "finished" }).to_string()))
            }
        }
    }
}

fn written(id: Option<EventId>, kind: &str, data: &str) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}

fn begin(headers: &HeaderMap, query: &Query) -> Result<Begin, Refusal> {
    let given = match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(("Last-Event-ID", value.to_str().unwrap_or("?"))),
        None => query.after.as_deref().map(|after| ("after", after)),
    };
    match given {
        // As a browser sends it before it has seen an event.
        None | Some((_, "")) => Ok(Begin::Now),
        Some((field, text)) => match text.parse() {
            Ok(id) => Ok(Begin::After(id)),
            Err(error) => Err(Refusal::bad_request(format!("{field}: {text:?} {error}"))),
        },
    }
}

/// What a reader is told first: where it stands, and what it misses.
fn opening(id: EventId, missing: Option<Gap>) -> Bytes {
    let about: Value = json!({ "version": env!("CARGO_PKG_VERSION") });
    let mut text = written(Some(id), "open", &about.to_string()).to_vec();
    if let Some(missing) = missing {
        text.extend_from_slice(&written(None, "gap", &gap(&missing).to_string()));
    }
    text.into()
}

pub(super) async fn show(
    State(world): State<World>,
    headers: HeaderMap,
    With(query): With<Query>,
) -> Result<Response, Refusal> {
    let tenant: Option<TenantId> = query.tenant.as_deref().map(name).transpose()?;
    let begin = begin(&headers, &query)?;
    let Some(place) = world.event_reader() else {
        let detail = format!("{EVENT_READERS_MAX} readers of events are there already; end one of them");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", detail));
    };
    let (reader, missing) = world.events.read(begin, tenant);
    let pace = reader.pace();
    let first = Some(opening(reader.before(), missing));
    let telling = Telling { reader, first, done: false, _place: place };
    let body = futures_util::stream::unfold(telling, |mut telling| async move {
        let next = telling.next().await?;
        Some((Ok::<_, Infallible>(next), telling))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (headers, Body::from_stream(body)).into_response();
    response.extensions_mut().insert(pace);
    Ok(response)
}
