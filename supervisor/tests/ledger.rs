//! The book of sessions is bounded, keeps hosts to their own sessions, and wakes who waits.

use std::pin::Pin;

use futures_util::FutureExt;
use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionEvent, SessionId, SessionInfo, TenantId, Usage};
use openrtc_policy::bounds::ENDED_SESSIONS_MAX;
use openrtc_policy::outcome::{Blame, Outcome, Reason, Status};
use openrtc_policy::{Conclusion, SessionPlan};
use openrtc_supervisor::ledger::Ledger;

const HOST: HostId = HostId { index: 0, generation: 1 };
const STRANGER: HostId = HostId { index: 1, generation: 1 };

fn id(seq: u64) -> SessionId {
    SessionId { run: 7, seq }
}

fn begin(ledger: &Ledger, seq: u64) {
    let info = SessionInfo {
        session: id(seq),
        tenant: TenantId::parse("acme").unwrap(),
        agent: AgentName::parse("echo").unwrap(),
        room_name: "room".to_owned(),
        job_id: String::new(),
        metadata: [].into(),
        started_at_unix_ms: 1,
        deployment_version: None,
    };
    ledger.begin(info, HOST);
}

fn end(ledger: &Ledger, seq: u64) {
    let plan = SessionPlan {
        session: id(seq),
        tenant: TenantId::parse("acme").unwrap(),
        agent: AgentName::parse("echo").unwrap(),
        runtime: RuntimeName::parse("command").unwrap(),
        room: "room".to_owned(),
        job_id: None,
        metadata: [].into(),
        job_metadata: String::new(),
        room_metadata: String::new(),
    };
    let outcome = Outcome { status: Status::Success, reason: Reason::Completed, error: None, blame: Blame::Caller };
    ledger.end(Conclusion { plan, host: Some(HOST), outcome, exit: None, duration_ms: 1, started: true }, 2, None);
}

#[test]
fn the_last_thousand_that_ended_are_remembered_and_the_oldest_is_forgotten() {
    let ledger = Ledger::default();
    for seq in 0..=ENDED_SESSIONS_MAX as u64 {
        begin(&ledger, seq);
        end(&ledger, seq);
    }
    assert_eq!(ledger.all_ended().len(), ENDED_SESSIONS_MAX);
    assert!(ledger.ended(id(0)).is_none(), "the oldest is still there");
    assert!(ledger.ended(id(1)).is_some(), "more than the oldest was forgotten");
    assert!(ledger.all_live().is_empty());
}

#[test]
fn what_another_host_says_of_a_session_is_not_booked() {
    let ledger = Ledger::default();
    begin(&ledger, 1);
    let usage = |stt_ms| SessionEvent::Usage(Usage { stt_ms, ..Usage::default() });
    assert!(ledger.note(id(1), HOST, &usage(20)));
    assert!(!ledger.note(id(1), STRANGER, &usage(1_000_000)));
    assert!(!ledger.note(id(2), HOST, &usage(1_000_000)), "an unknown session was booked");
    let live = ledger.live(id(1)).unwrap();
    assert_eq!((live.usage.stt_ms, live.events), (20, 1));
}

fn waits<F: Future>(end: &mut Pin<Box<F>>) -> bool {
    end.as_mut().now_or_never().is_none()
}

#[tokio::test]
async fn who_waits_for_an_end_is_woken_by_that_end_and_told_at_once_afterwards() {
    let ledger = Ledger::default();
    begin(&ledger, 1);
    begin(&ledger, 2);
    let mut waiting = Box::pin(ledger.wait_end(id(1)));
    assert!(waits(&mut waiting), "it has not ended");
    end(&ledger, 2);
    assert!(waits(&mut waiting), "another has ended");
    end(&ledger, 1);
    assert_eq!(waiting.await.conclusion.plan.session, id(1));
    assert_eq!(ledger.wait_end(id(1)).await.conclusion.plan.session, id(1));
}
