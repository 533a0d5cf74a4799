//! No, because.
//!
//! Owns: the stable reject reasons. Never: a second spelling of one.

use openrtc_ipc::TenantId;
use serde::{Deserialize, Serialize};

/// Why a dispatch was refused. The names are stable: they are in the API, the counters and the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The supervisor, or the tenant, is draining.
    Draining,
    /// The tenant id is no tenant id.
    TenantInvalid,
    /// No tenant was named and `missing_tenant = "reject"`.
    TenantMissing,
    /// The tenant is not configured and `unknown_tenant = "reject"`.
    TenantUnknown,
    /// The tenant is suspended or archived.
    TenantSuspended,
    /// The room lies outside the tenant's namespace.
    RoomNamespace,
    /// The tenant's breaker is open.
    CircuitOpen,
    /// The tenant starts sessions too fast.
    RateLimited,
    /// A budget is spent.
    BudgetExceeded,
    /// The tenant has as many sessions as it may.
    TenantCap,
    /// The agent has as many sessions as it may.
    AgentCap,
    /// The supervisor has as many sessions as it may.
    GlobalCap,
    /// No such agent.
    UnknownAgent,
    /// The room is not ours to serve (`accept_only_registered_rooms`).
    NotOwned,
    /// The tenant may not use this agent.
    AgentNotAllowed,
    /// The worker is no member.
    MembershipRejected,
    /// The dispatch or the tenant's configuration is at fault.
    ConfigError,
    /// No host could be had: too many hosts, or its restarts are backed off.
    HostUnavailable,
}

impl RejectReason {
    /// Every reason, for counters and documents.
    pub const ALL: [Self; 18] = [
        Self::Draining,
        Self::TenantInvalid,
        Self::TenantMissing,
        Self::TenantUnknown,
        Self::TenantSuspended,
        Self::RoomNamespace,
        Self::CircuitOpen,
        Self::RateLimited,
        Self::BudgetExceeded,
        Self::TenantCap,
        Self::AgentCap,
        Self::GlobalCap,
        Self::UnknownAgent,
        Self::NotOwned,
        Self::AgentNotAllowed,
        Self::MembershipRejected,
        Self::ConfigError,
        Self::HostUnavailable,
    ];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::TenantInvalid => "tenant_invalid",
            Self::TenantMissing => "tenant_missing",
            Self::TenantUnknown => "tenant_unknown",
            Self::TenantSuspended => "tenant_suspended",
            Self::RoomNamespace => "room_namespace",
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited => "rate_limited",
            Self::BudgetExceeded => "budget_exceeded",
            Self::TenantCap => "tenant_cap",
            Self::AgentCap => "agent_cap",
            Self::GlobalCap => "global_cap",
            Self::UnknownAgent => "unknown_agent",
            Self::NotOwned => "not_owned",
            Self::AgentNotAllowed => "agent_not_allowed",
            Self::MembershipRejected => "membership_rejected",
            Self::ConfigError => "config_error",
            Self::HostUnavailable => "host_unavailable",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The first reason that failed.
    pub reason: RejectReason,
    /// Field, value and remedy, for a person.
    pub detail: String,
    /// When asking again may help, where that is known.
    pub retry_after_ms: Option<u64>,
    /// Whose dispatch it was, once that is known.
    pub tenant: Option<TenantId>,
}

impl Rejection {
    /// A refusal of nobody's dispatch yet, with no word on when to ask again.
    pub(crate) fn new(reason: RejectReason, detail: String) -> Self {
        Self { reason, detail, retry_after_ms: None, tenant: None }
    }

    /// Asking again in so many milliseconds may help.
    pub(crate) fn retry_after_ms(self, ms: u64) -> Self {
        Self { retry_after_ms: Some(ms), ..self }
    }

    /// It was this tenant's dispatch.
    pub(crate) fn of(self, tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), ..self }
    }
}
