//! `GET /v1/tenants/{id}/bundle`: all that is known of one tenant's trouble, to be handed on.
//!
//! Owns: the bundle's shape. Never: another tenant's lines or counts, or a secret.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::Agent;
use crate::breaker::Breaker;
use crate::effective::EffectiveTenant;
use crate::host::Host;
use crate::session::{EndedSession, SessionRow};
use crate::tenant::Tenant;
use crate::tenant_health::TenantHealth;
use crate::wall::WallRow;

/// What of a list was left out for its bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Ended sessions, the oldest.
    pub ended: usize,
    /// Audit records, the oldest.
    pub audit: usize,
}

/// Everything about one tenant, and about nobody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantBundle {
    /// Version of this shape.
    pub bundle_version: u32,
    /// The supervisor's version.
    pub supervisor_version: String,
    /// The operator's version label.
    pub deployment_version: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub made_at_unix_ms: u64,
    /// How long the supervisor had run, in seconds.
    pub uptime_s: f64,
    /// The tenant.
    pub tenant: Tenant,
    /// Its marks.
    pub health: TenantHealth,
    /// What holds for it, and which rung gave it.
    pub effective: Option<EffectiveTenant>,
    /// Its breaker.
    pub breaker: Option<Breaker>,
    /// Its refused dispatches since the start, by reason.
    pub rejections: BTreeMap<String, u64>,
    /// The agents that it may use; the sessions counted are its own.
    pub agents: Vec<Agent>,
    /// Its sessions now.
    pub sessions: Vec<SessionRow>,
    /// Its hosts now, with their walls.
    pub hosts: Vec<Host>,
    /// Its last ended sessions with reason, exit and evidence, newest first.
    pub ended: Vec<EndedSession>,
    /// The walls that a host gets on this machine.
    pub walls: Vec<WallRow>,
    /// Its last log lines, oldest first; rows as the JSONL observer writes them, without metadata.
    pub lines: Vec<Value>,
    /// Its last audit records, oldest first; empty where there is no audit log.
    pub audit: Vec<Value>,
    /// Why the audit log could not be read, where that is so.
    pub audit_fault: Option<String>,
    /// What was left out.
    pub left_out: LeftOut,
}
