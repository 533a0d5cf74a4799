//! What operators ask of the worker: a simulated job, why no agent came, a token for a caller.
//!
//! Owns: these three. Never: prints a token; the minted one goes to who asked for it.

use std::time::Duration;

use openrtc_control_api as api;
use openrtc_ipc::{AgentName, IdError, TenantId};
use openrtc_livekit::{Decision, Participant, Simulation, TokenError, Undecided, proto};
use openrtc_policy::bounds::ROOM_NAME_BYTES_MAX;
use openrtc_policy::rules::UnknownTenant;
use serde_json::json;

use super::history::Answered;
use super::{Livekit, Worker, view};
use crate::host::chain;
use crate::telemetry::unix_ms;

/// Longest wait for the offer of a simulated job; the server's own is as long.
const SIMULATED_WITHIN: Duration = Duration::from_secs(10);
/// Validity of a caller's token, unless it was said.
const TOKEN_TTL_S: u64 = 3600;
/// Longest validity.
const TOKEN_TTL_S_MAX: u64 = 86_400;

/// Why an operator's wish came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperatorFault {
    /// Something that was asked is no such thing.
    #[error("{field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// No tenant id, no agent name.
    #[error("{field}")]
    Name {
        /// Which.
        field: &'static str,
        /// Why.
        #[source]
        source: IdError,
    },
    /// The room is not the tenant's (semantics O3).
    #[error("Room must be prefixed with {tenant}{separator}")]
    Namespace {
        /// Whose it would have to be.
        tenant: TenantId,
        /// Between the tenant and the rest.
        separator: String,
    },
    /// The tenant is not configured, and unknown ones are refused.
    #[error("tenant {tenant} is not configured and unknown_tenant = \"reject\"")]
    UnknownTenant {
        /// Which.
        tenant: TenantId,
    },
    /// No connection is registered.
    #[error("the worker is not registered with {url}: {why}")]
    NotRegistered {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// The server made no offer of it.
    #[error("the server offered no job for room {room} within {} s", SIMULATED_WITHIN.as_secs())]
    NotOffered {
        /// Which.
        room: String,
    },
    /// A decision was not taken.
    #[error("ask the server")]
    Undecided(#[from] Undecided),
    /// No token.
    #[error("mint a token")]
    Token(#[from] TokenError),
}

impl Livekit {
    /// Has the server offer us a job of this room; tells what became of it once it is ours, refused or lapsed.
    pub async fn simulate(&self, request: api::SimulateRequest) -> Result<api::LivekitOffer, OperatorFault> {
        let api::SimulateRequest { room, tenant, agent_name } = request;
        is_room(&room)?;
        let tenant = tenant.as_deref().map(parse_tenant).transpose()?;
        let named = |worker: &&Worker| agent_name.as_ref().is_none_or(|name| worker.agent_name == *name);
        let worker = self.shared.workers.iter().find(named).ok_or_else(|| OperatorFault::Field {
            field: "agent_name",
            problem: format!("{:?} is not among [livekit] agent_names", agent_name.clone().unwrap_or_default()),
        })?;
        if let Err(why) = worker.client.standing().dispatchable() {
            return Err(OperatorFault::NotRegistered { url: self.shared.office.url.clone(), why: why.to_string() });
        }
        let calls = &self.shared.office.calls;
        let (mut changes, since) = (calls.changes(), unix_ms());
        calls.expect_simulation(room.clone(), tenant.map(|tenant| tenant.to_string()));
        let simulated = proto::Room { name: room.clone(), ..proto::Room::default() };
        worker.client.decide(Decision::Simulate(Box::new(Simulation { room: simulated, participant: None })))?;
        let settled = async {
            loop {
                let seen = calls.peek(|history| history.of_room(&room, since).cloned());
                if let Some(seen) = seen
                    && (seen.fate.is_some() || matches!(seen.answered, Answered::Refused { .. }))
                {
                    return view::offer(&seen);
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(SIMULATED_WITHIN, settled).await {
            Ok(offer) => Ok(offer),
            Err(_elapsed) => {
                calls.simulated(&room);
                Err(OperatorFault::NotOffered { room })
            }
        }
    }

    /// Why no agent came to a room.
    pub async fn check(&self, room: &str) -> Result<api::LivekitCheck, OperatorFault> {
        is_room(room)?;
        let service = &self.shared.office.service;
        let (dispatches, participants) = tokio::join!(service.list_dispatch(room), service.list_participants(room));
        let mut server_errors = Vec::new();
        let dispatches = dispatches.unwrap_or_else(|error| {
            server_errors.push(chain(&error));
            Vec::new()
        });
        let participants = participants.unwrap_or_else(|error| {
            server_errors.push(chain(&error));
            Vec::new()
        });
        let ours = |name: &str| self.shared.settings.agent_names.iter().any(|own| own == name);
        let (last_offer, last_refusal) = self.shared.office.calls.peek(|history| {
            (history.of_room(room, 0).map(view::offer), history.refusal_of_room(room).map(view::offer))
        });
        let mut check = api::LivekitCheck {
            room: room.to_owned(),
            livekit: self.view(),
            dispatches: dispatches
                .into_iter()
                .map(|dispatch| api::LivekitDispatch {
                    ours: ours(&dispatch.agent_name),
                    jobs: dispatch.state.map_or(0, |state| state.jobs.len()),
                    id: dispatch.id,
                    agent_name: dispatch.agent_name,
                })
                .collect(),
            participants: participants.into_iter().map(|participant| participant.identity).collect(),
            server_errors,
            last_offer,
            last_refusal,
            findings: Vec::new(),
            ok: false,
        };
        check.findings = findings(&check, &self.shared.settings.agent_names);
        check.ok = check.findings.is_empty();
        Ok(check)
    }

    /// Mints a token for a caller, with the room's namespace enforced (semantics O1–O4).
    pub fn mint(&self, request: api::TokenRequest) -> Result<api::TokenResponse, OperatorFault> {
        let api::TokenRequest { tenant, room, identity, agent, ttl_s } = request;
        is_room(&room)?;
        let (tenant, config) = (parse_tenant(&tenant)?, (self.shared.config)());
        let rules = &config.rules;
        if rules.unknown_tenant == UnknownTenant::Reject && !rules.tenants.contains_key(&tenant) {
            return Err(OperatorFault::UnknownTenant { tenant });
        }
        if !rules.room_is_of(&tenant, &room) {
            return Err(OperatorFault::Namespace { tenant, separator: rules.rooms.separator.clone() });
        }
        let ttl_s = ttl_s.unwrap_or(TOKEN_TTL_S);
        if !(1..=TOKEN_TTL_S_MAX).contains(&ttl_s) {
            let problem = format!("{ttl_s} is not from 1 to {TOKEN_TTL_S_MAX}");
            return Err(OperatorFault::Field { field: "ttl_s", problem });
        }
        let mut participant = Participant::new(&identity, &room);
        participant.ttl = Duration::from_secs(ttl_s);
        participant.metadata = json!({ "tenant": tenant.as_str() }).to_string();
        if let Some(agent) = agent {
            participant.dispatches.push(self.dispatch_of(&tenant, &agent)?);
        }
        let token = self.shared.office.key.participant_token(&participant)?.expose().to_owned();
        Ok(api::TokenResponse { url: self.shared.office.url.clone(), token, room, identity, ttl_s })
    }

    fn dispatch_of(&self, tenant: &TenantId, agent: &str) -> Result<proto::RoomAgentDispatch, OperatorFault> {
        let agent = AgentName::parse(agent).map_err(|source| OperatorFault::Name { field: "agent", source })?;
        if !(self.shared.config)().rules.agents.contains_key(&agent) {
            let problem = format!("{agent} is none of ours; `agent list` shows those that are");
            return Err(OperatorFault::Field { field: "agent", problem });
        }
        Ok(proto::RoomAgentDispatch {
            agent_name: self.shared.settings.agent_names.first().cloned().unwrap_or_default(),
            metadata: json!({ "tenant": tenant.as_str(), "agent": agent.as_str() }).to_string(),
            ..proto::RoomAgentDispatch::default()
        })
    }
}

fn parse_tenant(tenant: &str) -> Result<TenantId, OperatorFault> {
    TenantId::parse(tenant).map_err(|source| OperatorFault::Name { field: "tenant", source })
}

fn is_room(room: &str) -> Result<(), OperatorFault> {
    let problem = match room.len() {
        _ if room.trim().is_empty() => "empty; name a room".to_owned(),
        bytes if bytes > ROOM_NAME_BYTES_MAX => format!("{bytes} bytes, at most {ROOM_NAME_BYTES_MAX}; shorten it"),
        _ => return Ok(()),
    };
    Err(OperatorFault::Field { field: "room", problem })
}

/// What speaks against an agent, the first cause first.
fn findings(check: &api::LivekitCheck, agent_names: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for worker in check.livekit.workers.iter().filter(|worker| !worker.dispatchable) {
        let why = worker.last_error.as_ref().or(worker.why_not.as_ref()).cloned().unwrap_or_default();
        findings.push(format!(
            "agent name {:?}, jobs of type {}: not dispatchable: {why}",
            worker.agent_name, worker.job_type
        ));
    }
    findings.extend(check.server_errors.iter().map(|error| format!("the server says: {error}")));
    let ours = check.dispatches.iter().filter(|dispatch| dispatch.ours).count();
    // Others do no harm to ours: a room that is created by a dispatch has one for unnamed workers, too.
    for dispatch in check.dispatches.iter().filter(|dispatch| ours == 0 && !dispatch.ours) {
        findings.push(format!(
            "dispatch {} is for agent name {:?}; we register as {agent_names:?}",
            dispatch.id, dispatch.agent_name
        ));
    }
    if ours == 0 && check.server_errors.is_empty() {
        findings.push(format!(
            "the room has no dispatch for {agent_names:?}: dispatch one, or name it in the caller's token"
        ));
    }
    match &check.last_offer {
        None if ours > 0 => findings.push(
            "the dispatch was never offered to us: a dispatch is tried once, and is lost when no worker is there"
                .to_owned(),
        ),
        None => {}
        Some(offer) if offer.state == "refused" => findings.push(format!(
            "the last offer was refused: {}: {}",
            offer.reason.clone().unwrap_or_default(),
            offer.detail.clone().unwrap_or_default()
        )),
        Some(offer) => {
            if let Some(error) = &offer.error {
                findings.push(format!("the last job of this room {}: {error}", offer.state));
            }
        }
    }
    findings
}
