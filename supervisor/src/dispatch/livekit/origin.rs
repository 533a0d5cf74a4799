//! Where a call came from: its room and its dispatch, for as long as it lives.
//!
//! Owns: what is kept of a job beyond its session. Never: a token.

use std::collections::HashMap;

use openrtc_ipc::{AgentName, TenantId};
use openrtc_livekit::proto;

/// A room's job, and the dispatch that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) room: String,
    pub(super) dispatch_id: String,
    pub(super) agent_name: String,
    pub(super) deployment: String,
    pub(super) metadata: String,
    pub(super) attributes: HashMap<String, String>,
    /// Whether the dispatch makes one job, and no other.
    pub(super) sole: bool,
}

/// A call whose host died.
#[derive(Debug)]
pub(super) struct Bereaved {
    pub(super) origin: std::sync::Arc<Origin>,
    pub(super) tenant: TenantId,
    pub(super) agent: AgentName,
}

impl Origin {
    /// Of a job; a simulated one comes from nowhere, and its room need not exist.
    pub(super) fn of(job: &proto::Job) -> Option<Self> {
        let room = job.room.as_ref().filter(|room| !room.sid.is_empty())?;
        Some(Self {
            room: room.name.clone(),
            dispatch_id: job.dispatch_id.clone(),
            agent_name: job.agent_name.clone(),
            deployment: job.deployment.clone(),
            metadata: job.metadata.clone(),
            attributes: job.attributes.clone(),
            sole: job.r#type() == proto::JobType::JtRoom,
        })
    }
}
