//! Random rules and random dispatches.
//!
//! Owns: a small agency, tight enough that every cap and bound is met often. Never: a rule that configuration refuses.

use std::collections::BTreeMap;

use fastrand::Rng;
use openrtc_ipc::{AgentName, RuntimeName, TenantId};
use openrtc_policy::rules::{
    AgentRules, BreakerRules, Fallback, HostScope, MissingTenant, RoomRules, RoutingRules, RuntimeRules, TenantRules,
    TenantStatus, UnknownTenant,
};
use openrtc_policy::{Dispatch, DispatchId, Rules};

const AGENTS: [&str; 3] = ["support", "sales", "support-night"];
const TENANTS: [&str; 4] = ["acme", "globex", "initech", "hooli"];

fn maybe<T>(rng: &mut Rng, value: T) -> Option<T> {
    rng.bool().then_some(value)
}

fn scope(rng: &mut Rng) -> HostScope {
    if rng.u8(..3) == 0 { HostScope::Session } else { HostScope::Tenant }
}

fn breaker(rng: &mut Rng) -> BreakerRules {
    BreakerRules {
        enabled: rng.u8(..5) > 0,
        cooldown_ms: rng.u64(500..30_000),
        failure_ratio: 0.5,
        min_samples: rng.u32(2..6),
        window_ms: 60_000,
        half_open_max_sessions: if rng.u8(..3) == 0 { Some(rng.u32(1..3)) } else { None },
        half_open_success_after_ms: rng.u64(100..10_000),
        count_operator_kills: false,
    }
}

fn tenant(rng: &mut Rng) -> TenantRules {
    let cap = rng.u32(1..8);
    let allowed = vec![name(AGENTS[0]), name(AGENTS[1])];
    let host_scope = scope(rng);
    TenantRules {
        status: if rng.u8(..12) == 0 { TenantStatus::Suspended } else { TenantStatus::Active },
        max_sessions: maybe(rng, cap),
        allowed_agents: maybe(rng, allowed),
        host_scope: maybe(rng, host_scope),
        breaker: breaker(rng),
        unusable: None,
    }
}

/// An agent's name.
pub(crate) fn name(name: &str) -> AgentName {
    AgentName::parse(name).expect("an agent's name")
}

/// One of the agents, or one that does not exist.
pub(crate) fn any_agent(rng: &mut Rng) -> AgentName {
    if rng.u8(..6) == 0 { name("nobody") } else { name(AGENTS[rng.usize(..AGENTS.len())]) }
}

/// One of the tenants, configured or invented.
pub(crate) fn any_tenant(rng: &mut Rng) -> TenantId {
    let invented = format!("invented-{}", rng.u8(..40));
    let text = if rng.u8(..4) == 0 { invented.as_str() } else { TENANTS[rng.usize(..TENANTS.len())] };
    TenantId::parse(text).expect("a tenant id")
}

/// Random rules.
pub(crate) fn rules(rng: &mut Rng) -> Rules {
    let runtime = RuntimeName::parse("command").expect("a runtime name");
    let agents = AGENTS.map(|agent| {
        let cap = rng.u32(2..15);
        (name(agent), AgentRules { runtime: runtime.clone(), max_sessions: maybe(rng, cap) })
    });
    let (per_host, served, longest) = (rng.u32(1..5), rng.u32(1..12), rng.u64(1_000..60_000));
    let tenants: BTreeMap<_, _> =
        TENANTS.map(|id| (TenantId::parse(id).expect("a tenant id"), tenant(rng))).into_iter().collect();
    let default_cap = rng.u32(1..6);
    Rules {
        max_concurrent_sessions: rng.u32(3..25),
        default_max_sessions: maybe(rng, default_cap),
        unknown_tenant: if rng.u8(..5) == 0 { UnknownTenant::Reject } else { UnknownTenant::DefaultConfig },
        missing_tenant: if rng.u8(..5) == 0 { MissingTenant::Reject } else { MissingTenant::Default },
        default_tenant: TenantId::parse("default").expect("a tenant id"),
        accept_only_registered_rooms: rng.u8(..8) == 0,
        drain_timeout_ms: rng.u64(1_000..60_000),
        terminate_grace_ms: rng.u64(0..5_000),
        initialize_timeout_ms: rng.u64(1_000..10_000),
        max_concurrent_spawns: rng.u32(1..5),
        spawn_attempts: rng.u32(1..4),
        restart_backoff_ms: if rng.u8(..6) == 0 { Vec::new() } else { vec![100, 1_000, 5_000] },
        max_hosts: rng.u32(2..14),
        max_unregistered_hosts: rng.u32(1..5),
        host_idle_timeout_ms: rng.u64(100..60_000),
        host_scope: scope(rng),
        breaker: breaker(rng),
        unresponsive_warn_ms: 500,
        unresponsive_kill_ms: 15_000,
        routing: RoutingRules {
            rules: Vec::new(),
            metadata_agent_keys: vec!["agent".to_owned()],
            room_prefix: true,
            fallback: if rng.u8(..4) == 0 { Fallback::Reject } else { Fallback::Agent(name(AGENTS[0])) },
        },
        rooms: RoomRules { tenant_prefix: false, separator: ".".to_owned() },
        tenants,
        agents: agents.into(),
        runtimes: BTreeMap::from([(
            runtime,
            RuntimeRules {
                max_sessions_per_host: maybe(rng, per_host),
                recycle_after_sessions: maybe(rng, served),
                session_ms_max: if rng.u8(..3) == 0 { Some(longest) } else { None },
            },
        )]),
    }
}

/// A random dispatch, good or bad.
pub(crate) fn dispatch(rng: &mut Rng, id: u64) -> Dispatch {
    let tenant = any_tenant(rng);
    let job_metadata = match rng.u8(..12) {
        0 => String::new(),
        1 => r#"{"tenant":17}"#.to_owned(),
        2 => r#"{"tenant":null}"#.to_owned(),
        3 => r#"{"tenant":"a/b"}"#.to_owned(),
        4 => "not json".to_owned(),
        5 | 6 => format!(r#"{{"tenant":" {tenant} ","agent":"{}"}}"#, any_agent(rng)),
        _ => format!(r#"{{"tenant":"{tenant}"}}"#),
    };
    Dispatch {
        id: DispatchId(id),
        room: if rng.bool() { "room".to_owned() } else { format!("{}-1", any_agent(rng)) },
        job_id: None,
        tenant: if rng.u8(..4) == 0 { Some(tenant.to_string()) } else { None },
        agent: None,
        job_metadata,
        room_metadata: String::new(),
        assigned_with_answer: rng.bool(),
    }
}
