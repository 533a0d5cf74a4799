//! LiveKit's agent-worker protocol: a worker that registers with a LiveKit server, is offered jobs, and reports their ends.
//!
//! Owns: the protocol as a state machine without I/O ([`Worker`]), the websocket and the task that drive it ([`Client`]),
//! tokens ([`ApiKey`]), and the few methods of the server API that go with it ([`Service`]). Never: knows a tenant, a
//! policy or a host; whoever embeds it decides.
//!
//! One [`Client`] is one agent name, job type and deployment, because one websocket is. Several of them share nothing here.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use openrtc_livekit::{Acceptance, Answer, ApiKey, Capacity, Client, ClientPlan, JobEnd, Notice, Registration, Trust};
//!
//! let (client, mut notices) = Client::start(ClientPlan {
//!     endpoint: "ws://127.0.0.1:7880".parse()?,
//!     key: Arc::new(ApiKey::new("devkey", "secret")),
//!     trust: Trust::System,
//!     registration: Registration::rooms("clerk"),
//!     capacity: Capacity::IDLE,
//! })?;
//! while let Some(notice) = notices.recv().await {
//!     match notice {
//!         // From memory, at once: the server waits less than 2.8 s, and every millisecond is the caller's.
//!         Notice::Offer(offer) => client.answer(offer.id, Answer::Accept(Box::new(Acceptance::default())))?,
//!         Notice::Assigned(job) => {
//!             // Join `job.job.room` with `job.token`; say how it ended before the agent leaves the room.
//!             client.ended(job.id, JobEnd::Success)?;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where the messages come from
//!
//! From LiveKit's own crates `livekit-protocol` and `livekit-token`. The first is 115 000 generated lines, most of them
//! JSON for messages that we never touch; it builds in 29 s (debug, one of two busy cores), once for each target
//! directory, and with `livekit-token` it is there anyway, since a participant's token carries a `RoomConfiguration` as
//! JSON. A hand-written subset would have saved that time and cost a second opinion on every field. What is not linked is
//! not in the executable: of the generated JSON that is all but `RoomConfiguration`.
//!
//! The one exception is the envelope of what the server says (`message.rs`): there a job is read as bytes first, because
//! prost forgets fields that it does not know and agents may know more of them than we do.
//!
//! # What the server does, and what is done about it
//!
//! | LiveKit server 1.13.5 | here |
//! |---|---|
//! | offers a job at once after the registration | load and status are the next message |
//! | waits less than 2.8 s for an answer, then drops the job for good | offers are notices at once; [`Lapse::NotAssigned`] after 7.5 s |
//! | never offers anything at a load of 0.7 | [`LoadReport::of`]: at most 0.69 while admitting, full otherwise |
//! | `terminate` in a refusal ends the dispatch for everybody | only for jobs dispatched to our agent name |
//! | notes an assigned job only after it has sent the assignment, and drops an end that comes before | no end within 100 ms of the assignment |
//! | forgets jobs when the socket closes | they live on; their ends wait, are named in a migration and reported after it |
//! | closes the socket at a message that it does not know | only messages of protocol 1 are sent |
//! | repeats a token that it refuses, in its answer | `***` in errors |
//! | pings every 10 s, never looks for our answer | 25 s of silence end the connection; a goodbye is always said |

mod client;
mod endpoint;
mod fault;
mod message;
mod registration;
mod service;
mod socket;
mod tls;
mod token;
mod worker;

pub mod bounds;

/// LiveKit's messages, as far as they are seen from outside this crate.
pub mod proto {
    pub use livekit_protocol::*;
}

pub use client::{Client, ClientPlan, Undecided};
pub use endpoint::{Endpoint, EndpointError};
pub use fault::{ConnectError, Disconnect};
pub use message::ServerMessage;
pub use registration::{Registration, RegistrationError};
pub use service::{Service, ServiceError};
pub use tls::{TlsError, Trust};
pub use token::{ApiKey, Grant, Participant, Token, TokenError};
pub use worker::Worker;
pub use worker::event::{
    Acceptance, Answer, Assignment, Decision, Declined, Event, JobEnd, JobId, Lapse, Notice, Offer, Output, Simulation,
    SocketId,
};
pub use worker::load::{Capacity, LoadReport};
pub use worker::view::{Counters, LinkView, NotDispatchable, Standing};
