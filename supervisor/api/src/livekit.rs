//! `/v1/livekit`: how we stand with the LiveKit server, a smoke test, why no agent came, and tokens for callers.
//!
//! Owns: these shapes. Never: the API secret; a minted token is the one secret that travels here, to who asked for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One connection: one agent name and job type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LivekitWorker {
    /// As what it registers; empty: for rooms that name no agent.
    pub agent_name: String,
    /// `room`, `publisher` or `participant`.
    pub job_type: String,
    /// `idle`, `connecting`, `registering`, `registered` or `stopped`.
    pub link: String,
    /// The server's name for us, once registered.
    pub worker_id: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// Tries in vain since the last registration.
    pub attempt: u32,
    /// Why the last connection ended.
    pub last_error: Option<String>,
    /// Whether the server can offer us anything now.
    pub dispatchable: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// What the server was told: 0 to 0.69 while admitting, else 1.
    pub load: f64,
    /// Jobs that are ours.
    pub live: usize,
    /// Offers and acceptances that wait.
    pub pending: usize,
    /// The last ping's time there and back.
    pub round_trip_ms: Option<f64>,
}

/// How we stand with the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Livekit {
    /// Where it is.
    pub url: String,
    /// Whether any connection can be offered a job now.
    pub dispatchable: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// Connections.
    pub workers: Vec<LivekitWorker>,
    /// Offers answered.
    pub offers: u64,
    /// Of them, accepted.
    pub accepted: u64,
    /// Of them, refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Acceptances that were never assigned.
    pub assignments_expired: u64,
    /// Tenants that were named only where it is not trusted.
    pub tenants_ignored: u64,
    /// Calls whose host died and for which another agent was asked.
    pub redispatched: u64,
}

/// `POST /v1/livekit/simulate`: have the server offer us a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateRequest {
    /// The room that it carries.
    pub room: String,
    /// Whose it is to be; without it, what the rules say of a dispatch that names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Over which connection; without it, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
}

/// One offer and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LivekitOffer {
    /// The server's name for the job.
    pub job: String,
    /// Its room.
    pub room: String,
    /// Over which connection.
    pub agent_name: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Whether we took it.
    pub accepted: bool,
    /// As which session.
    pub session: Option<String>,
    /// Whose.
    pub tenant: Option<String>,
    /// Which agent.
    pub agent: Option<String>,
    /// Why not: the stable reason.
    pub reason: Option<String>,
    /// The same as a sentence.
    pub detail: Option<String>,
    /// Whether the server was told to ask nobody else.
    pub terminate: bool,
    /// `accepted`, `refused`, `assigned`, `lapsed`, `ended` or `failed`.
    pub state: String,
    /// Why it lapsed or failed.
    pub error: Option<String>,
}

/// A dispatch as the server lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LivekitDispatch {
    /// Its id.
    pub id: String,
    /// For which agent name.
    pub agent_name: String,
    /// Whether one of our connections has that name.
    pub ours: bool,
    /// Jobs made of it.
    pub jobs: usize,
}

/// `GET /v1/livekit/check`: why no agent came to a room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LivekitCheck {
    /// Which room.
    pub room: String,
    /// How we stand.
    pub livekit: Livekit,
    /// The room's dispatches.
    pub dispatches: Vec<LivekitDispatch>,
    /// Who is in the room.
    pub participants: Vec<String>,
    /// What the server said instead, where it did.
    pub server_errors: Vec<String>,
    /// The last offer of this room.
    pub last_offer: Option<LivekitOffer>,
    /// The last refused one.
    pub last_refusal: Option<LivekitOffer>,
    /// What follows, one sentence each.
    pub findings: Vec<String>,
    /// Whether nothing speaks against an agent.
    pub ok: bool,
}

/// `POST /v1/livekit/token`: a token for a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose room it is.
    pub tenant: String,
    /// The one room; in the tenant's namespace, where there are namespaces.
    pub room: String,
    /// Who joins.
    pub identity: String,
    /// With this agent dispatched to the room when it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How long it may be used to join, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// The token. Has no `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenResponse {
    /// Where to join.
    pub url: String,
    /// With what.
    pub token: String,
    /// The room.
    pub room: String,
    /// As whom.
    pub identity: String,
    /// How long it may be used to join, in seconds.
    pub ttl_s: u64,
}
