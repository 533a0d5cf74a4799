//! Rules, names and dispatches for policy's own tests.
//!
//! Owns: one small agency: agents `support` and `sales` on `command`, nobody configured. Never: built into the product.

use std::collections::BTreeMap;

use openrtc_ipc::{AgentName, RuntimeName, TenantId};

use crate::dispatch::{Dispatch, DispatchId};
use crate::rules::{
    AgentRules, BreakerRules, Fallback, HostScope, MissingTenant, RoomRules, RoutingRules, Rules, RuntimeRules,
    TenantRules, TenantStatus, UnknownTenant,
};

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

pub(crate) fn runtime(name: &str) -> RuntimeName {
    RuntimeName::parse(name).unwrap()
}

/// The seeds' numbers, switched on.
pub(crate) fn seed_breaker() -> BreakerRules {
    BreakerRules {
        enabled: true,
        cooldown_ms: 30_000,
        failure_ratio: 0.5,
        min_samples: 5,
        window_ms: 60_000,
        half_open_max_sessions: None,
        half_open_success_after_ms: 10_000,
        count_operator_kills: false,
    }
}

pub(crate) fn tenant_rules() -> TenantRules {
    TenantRules {
        status: TenantStatus::Active,
        max_sessions: None,
        allowed_agents: None,
        host_scope: None,
        breaker: seed_breaker(),
        unusable: None,
    }
}

pub(crate) fn rules() -> Rules {
    let command = AgentRules { runtime: runtime("command"), max_sessions: None };
    Rules {
        max_concurrent_sessions: 50,
        default_max_sessions: None,
        unknown_tenant: UnknownTenant::DefaultConfig,
        missing_tenant: MissingTenant::Default,
        default_tenant: tenant("default"),
        accept_only_registered_rooms: false,
        drain_timeout_ms: 30_000,
        terminate_grace_ms: 10_000,
        initialize_timeout_ms: 10_000,
        max_concurrent_spawns: 4,
        spawn_attempts: 3,
        restart_backoff_ms: vec![1_000, 2_000, 5_000, 15_000, 60_000],
        max_hosts: 256,
        max_unregistered_hosts: 16,
        host_idle_timeout_ms: 300_000,
        host_scope: HostScope::Tenant,
        breaker: seed_breaker(),
        unresponsive_warn_ms: 500,
        unresponsive_kill_ms: 15_000,
        routing: RoutingRules {
            rules: Vec::new(),
            metadata_agent_keys: vec!["agent".to_owned(), "demo".to_owned()],
            room_prefix: true,
            fallback: Fallback::Agent(agent("support")),
        },
        rooms: RoomRules { tenant_prefix: false, separator: "_".to_owned() },
        tenants: BTreeMap::new(),
        agents: BTreeMap::from([(agent("support"), command.clone()), (agent("sales"), command)]),
        runtimes: BTreeMap::from([(
            runtime("command"),
            RuntimeRules { max_sessions_per_host: None, session_ms_max: None },
        )]),
    }
}

/// A local dispatch of this tenant.
pub(crate) fn dispatch(id: u64, tenant: &str) -> Dispatch {
    Dispatch {
        id: DispatchId(id),
        room: "room".to_owned(),
        job_id: None,
        tenant: Some(tenant.to_owned()),
        agent: None,
        job_metadata: String::new(),
        room_metadata: String::new(),
        assigned_with_answer: true,
    }
}
