//! What is shown of the real policy.

use openrtc_policy::Policy;
use openrtc_policy::{Dispatch, DispatchId, Event, Moment, OperatorEvent, RejectReason};
use openrtc_supervisor::control::PolicyView;

use crate::harness::{policy, tenant};

fn told(policy: &mut Policy, event: Event) {
    policy.handle(Moment(1_000), event, &mut Vec::new());
}

fn dispatched(policy: &mut Policy, id: &str) {
    told(
        policy,
        Event::DispatchOffered(Dispatch {
            id: DispatchId(1),
            room: "call-1".into(),
            job_id: None,
            tenant: Some(id.into()),
            agent: None,
            job_metadata: String::new(),
            room_metadata: String::new(),
            assigned_with_answer: true,
        }),
    );
}

#[test]
fn what_the_operator_configured_is_shown_before_anything_happens() {
    let view = PolicyView::of(&policy());
    assert_eq!((view.draining, view.max_concurrent_sessions), (false, Some(50)));
    let tenants: Vec<_> = view.tenants.iter().map(|one| (one.tenant.as_str(), one.status, one.max_sessions)).collect();
    assert_eq!(tenants, [("acme-corp", "active", Some(5)), ("initech", "active", Some(5))]);
    assert!(view.tenants[0].unusable.as_ref().is_some_and(|why| why.contains("openai")));
    let breakers: Vec<_> = view.breakers.iter().map(|one| (one.tenant.as_str(), one.state, one.cooldown_ms)).collect();
    assert_eq!(breakers, [("acme-corp", "off", 30_000), ("initech", "closed", 30_000)]);
    assert_eq!((view.agents[0].agent.as_str(), view.agents[0].max_sessions), ("support", Some(7)));
}

#[test]
fn an_admitted_session_is_shown_with_the_host_it_waits_for() {
    let mut policy = policy();
    dispatched(&mut policy, "initech");
    let view = PolicyView::of(&policy);
    assert_eq!((view.sessions.len(), view.hosts.len()), (1, 1));
    assert_eq!(view.sessions[0].tenant, tenant("initech"));
    assert_eq!(view.sessions[0].host, Some(view.hosts[0].plan.host));
    assert_eq!(
        (view.hosts[0].sessions.as_slice(), &view.hosts[0].condemned),
        ([view.sessions[0].session].as_slice(), &None)
    );
    assert_eq!(view.last_routed_agent.as_ref().map(|agent| agent.as_str()), Some("support"));
}

#[test]
fn orders_and_refusals_show() {
    let mut policy = policy();
    told(&mut policy, Event::Operator(OperatorEvent::SuspendTenant(tenant("acme-corp"))));
    told(&mut policy, Event::Operator(OperatorEvent::TripBreaker(tenant("initech"), Some(4_000))));
    dispatched(&mut policy, "acme-corp");
    dispatched(&mut policy, "initech");
    let view = PolicyView::of(&policy);
    assert_eq!(view.tenants[0].status, "suspended");
    assert_eq!((view.breakers[1].state, view.breakers[1].closes_in_ms), ("open", Some(4_000)));
    assert_eq!(view.rejections.get(&RejectReason::TenantSuspended), Some(&1));
    assert_eq!(view.rejections.get(&RejectReason::CircuitOpen), Some(&1));
    told(&mut policy, Event::Operator(OperatorEvent::Drain));
    assert!(PolicyView::of(&policy).draining);
}
