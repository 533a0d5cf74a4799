//! Performs effects by enqueueing them where they are done (decision P9).
//!
//! Owns: who waits for which answer, and the order queue of each live host. Never: forks, writes a cgroup, reads
//! `/proc` or waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openrtc_ipc::{HostId, SessionId, SessionInfo};
use openrtc_livekit::Capacity;
use openrtc_policy::{Answer, Conclusion, Dispatch, DispatchId, Effect, HostPlan, Intent, Notice, Policy, SessionPlan};
use tokio::sync::{mpsc, oneshot, watch};

use crate::dispatch::livekit::{Assigned, Calls};
use crate::host::order::{Ending, Order, Recordings, SessionStart};
use crate::host::{HostContext, life};
use crate::observer::{Admission, Told};
use crate::telemetry::unix_ms;

/// A host's two ways in: orders, which are bounded, and its end, which always gets through.
struct Reins {
    orders: mpsc::Sender<Order>,
    ending: watch::Sender<Option<Ending>>,
}

/// The doer.
pub struct Effects {
    context: Arc<HostContext>,
    deployment_version: Option<String>,
    last_dispatch: u64,
    waiting: BTreeMap<DispatchId, (oneshot::Sender<Answer>, Recordings, SystemTime)>,
    recordings: BTreeMap<SessionId, Recordings>,
    calls: Calls,
    hosts: BTreeMap<HostId, Reins>,
    finished: bool,
}

impl Effects {
    /// A doer without hosts.
    pub fn new(context: Arc<HostContext>, deployment_version: Option<String>, calls: Calls) -> Self {
        Self {
            context,
            deployment_version,
            last_dispatch: 0,
            waiting: BTreeMap::new(),
            recordings: BTreeMap::new(),
            calls,
            hosts: BTreeMap::new(),
            finished: false,
        }
    }

    /// Whether policy said that all is done.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Numbers a dispatch and remembers who waits for its answer.
    pub fn expect_answer(
        &mut self,
        mut dispatch: Dispatch,
        recordings: Recordings,
        reply: oneshot::Sender<Answer>,
        asked: SystemTime,
    ) -> Dispatch {
        self.last_dispatch += 1;
        dispatch.id = DispatchId(self.last_dispatch);
        self.waiting.insert(dispatch.id, (reply, recordings, asked));
        dispatch
    }

    /// Has one effect done.
    pub fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(dispatch, answer) => self.answer(dispatch, answer),
            Effect::Spawn(plan) => self.spawn(plan),
            Effect::StartSession(host, plan) => self.start_session(host, plan),
            Effect::EndSession(host, session, reason) => self.order(host, Order::EndSession(session, reason)),
            Effect::DrainHost(host) => self.order(host, Order::Drain),
            Effect::Terminate(host, intent) => self.terminate(host, intent),
            Effect::Kill(host, intent) => self.end(host, Ending::Kill(intent)),
            Effect::Conclude(conclusion) => self.conclude(*conclusion),
            Effect::Notice(notice) => self.notice(notice),
            Effect::Finish => self.finished = true,
        }
    }

    fn answer(&mut self, dispatch: DispatchId, answer: Answer) {
        if let Answer::Rejected(rejection) = &answer {
            self.context.audit.refused(rejection, |tenant| self.context.config().tenants.contains_key(tenant));
            self.context.fanout.tell(Told::Rejected(Arc::new(rejection.clone())));
        }
        let Some((reply, recordings, asked)) = self.waiting.remove(&dispatch) else { return };
        if let Answer::Admitted(admitted) = &answer
            && !recordings.is_empty()
        {
            self.recordings.insert(admitted.session, recordings);
        }
        if let Answer::Admitted(admitted) = &answer {
            let admission = Admission { admitted: admitted.clone(), asked, answered: SystemTime::now() };
            self.context.fanout.tell(Told::Admitted(Arc::new(admission)));
        }
        // Who asked may have hung up; the session goes on, as a call does.
        let _ = reply.send(answer);
    }

    fn spawn(&mut self, plan: HostPlan) {
        let (orders, queue) = mpsc::channel(openrtc_policy::bounds::COMMANDS_QUEUED_MAX);
        let (ending, end) = watch::channel(None);
        self.hosts.insert(plan.host, Reins { orders, ending });
        tokio::spawn(life::live(Arc::clone(&self.context), plan, queue, end));
    }

    fn start_session(&mut self, host: HostId, plan: SessionPlan) {
        let info = SessionInfo {
            session: plan.session,
            tenant: plan.tenant,
            agent: plan.agent,
            room_name: plan.room,
            job_id: plan.job_id.unwrap_or_else(|| plan.session.to_string()),
            metadata: plan.metadata,
            started_at_unix_ms: unix_ms(),
            deployment_version: self.deployment_version.clone(),
        };
        self.context.ledger.begin(info.clone(), host);
        let recordings = self.recordings.remove(&info.session).unwrap_or_default();
        let SessionPlan { job_metadata, room_metadata, .. } = plan;
        let start = match self.calls.start(info.session) {
            Some(Assigned { call, job_metadata, room_metadata }) => {
                SessionStart { info, job_metadata, room_metadata, call: Some(call), recordings }
            }
            None => SessionStart { info, job_metadata, room_metadata, call: None, recordings },
        };
        self.order(host, Order::StartSession(Box::new(start)));
    }

    /// A host whose queue is full does not read, and is killed, not waited for (law 1).
    fn order(&mut self, host: HostId, order: Order) {
        let Some(reins) = self.hosts.get(&host) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = reins.orders.try_send(order) {
            self.end(host, Ending::Kill(Intent::Protocol { kind: "not_reading".to_owned() }));
        }
    }

    /// Asks in words too: a foreign program may have no ear for signals. The signal comes whether or not there is room.
    fn terminate(&mut self, host: HostId, intent: Intent) {
        self.end(host, Ending::Terminate(intent));
        if let Some(reins) = self.hosts.get(&host) {
            let _ = reins.orders.try_send(Order::Shutdown);
        }
    }

    fn end(&mut self, host: HostId, ending: Ending) {
        let Some(reins) = self.hosts.get(&host) else { return };
        reins.ending.send_if_modified(|current| {
            let stronger = current.as_ref().is_none_or(|current| ending.is_stronger_than(current));
            if stronger {
                *current = Some(ending);
            }
            stronger
        });
    }

    fn conclude(&mut self, conclusion: Conclusion) {
        let session = conclusion.plan.session;
        self.recordings.remove(&session);
        // The end is told before the agent leaves, or the server reports a failure of its own.
        if let (Some(stay), Some(host)) = (self.calls.conclude(&conclusion), conclusion.host) {
            self.let_leave(host, session, stay);
        }
        let evidence = conclusion.host.and_then(|host| self.context.morgue.evidence(host));
        let entry = self.context.ledger.end(conclusion, unix_ms(), evidence);
        self.context.fanout.tell(Told::SessionEnded(entry));
    }

    /// Lets a session's agent leave its room after a moment.
    fn let_leave(&self, host: HostId, session: SessionId, stay: Duration) {
        let Some(orders) = self.hosts.get(&host).map(|reins| reins.orders.clone()) else { return };
        tokio::spawn(async move {
            tokio::time::sleep(stay).await;
            // One that is gone or does not read has left already, or will be made to.
            let _ = orders.try_send(Order::LeaveRoom(session));
        });
    }

    /// How full we are, for whoever sends us calls.
    pub fn tell_capacity(&mut self, policy: &Policy) {
        let (held, most) = (policy.active(), policy.rules().max_concurrent_sessions.max(1));
        let admitting = !policy.draining() && held < most;
        self.calls.set_capacity(Capacity { used: f64::from(held) / f64::from(most), admitting });
        if policy.draining() {
            self.calls.drain();
        }
    }

    fn notice(&mut self, notice: Notice) {
        if let Notice::HostGone { plan, exit, sessions } = &notice {
            self.hosts.remove(&plan.host);
            let evidence = self.context.morgue.forget(plan.host);
            self.context.fanout.tell(Told::HostDown {
                plan: plan.clone(),
                exit: exit.clone(),
                evidence,
                sessions: sessions.clone(),
            });
        }
        self.context.fanout.tell(Told::Notice(notice));
    }
}
