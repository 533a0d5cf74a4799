//! A host at work: orders down, reports up.
//!
//! Owns: whose sessions these are, stamping and redacting what the host says, pings. Never: lets a host speak for a
//! session that it was not given (law 2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openrtc_ipc::{AgentName, Command, EndStatus, FileGrant, Report, SessionEvent, SessionId};
use openrtc_policy::bounds::{ERROR_BYTES_MAX, REPORTS_PER_S};
use openrtc_policy::{HostEvent, Intent};
use tokio::sync::mpsc;

use super::birth::HostFault;
use super::denied;
use super::link::{Link, LinkFault};
use super::liveness::Liveness;
use super::order::{Order, Recordings, SessionStart};
use super::rate::TokenBucket;
use super::sampling;
use super::task::HostTask;
use crate::observer::{Stamp, Told};
use crate::sources::Stopping;

/// A host that serves.
pub struct Service {
    task: HostTask,
    grants: Vec<FileGrant>,
    sessions: BTreeMap<SessionId, AgentName>,
    liveness: Liveness,
    telemetry_rate: TokenBucket,
    told_to_drain: bool,
}

impl Service {
    /// A host without sessions.
    pub fn new(task: HostTask, grants: Vec<FileGrant>) -> Self {
        let config = task.context.config();
        let heartbeat = Duration::from_millis(config.liveness.heartbeat_interval_ms);
        Self {
            liveness: Liveness::new(heartbeat, config.rules.unresponsive_warn_ms),
            telemetry_rate: TokenBucket::new(REPORTS_PER_S, Instant::now()),
            sessions: BTreeMap::new(),
            told_to_drain: false,
            grants,
            task,
        }
    }

    /// Serves until the channel fails.
    pub async fn run(mut self, link: &mut Link, orders: &mut mpsc::Receiver<Order>) -> Result<(), HostFault> {
        loop {
            let room = link.has_room();
            tokio::select! {
                report = link.report() => self.hear(report?).await?,
                Some(order) = orders.recv(), if room => self.obey(link, order)?,
                beat = self.liveness.next() => {
                    if let Some(event) = self.liveness.beat(beat, |nonce| link.command(&Command::Ping { nonce }, Vec::new()))? {
                        self.tell(event).await?;
                    }
                }
            }
        }
    }

    /// Passes an order on.
    fn obey(&mut self, link: &mut Link, order: Order) -> Result<(), LinkFault> {
        match order {
            Order::StartSession(start) => {
                let SessionStart { info, job_metadata, room_metadata, call, recordings: Recordings { input, output } } =
                    *start;
                self.sessions.insert(info.session, info.agent.clone());
                self.task.record.set_working(true);
                let command = Command::StartSession {
                    info,
                    job_metadata,
                    room_metadata,
                    call,
                    input: input.is_some(),
                    output: output.is_some(),
                };
                link.command(&command, input.into_iter().chain(output).collect())
            }
            Order::LeaveRoom(session) => link.command(&Command::LeaveRoom { session }, Vec::new()),
            Order::EndSession(session, reason) => {
                link.command(&Command::EndSession { session, reason: reason.to_owned() }, Vec::new())
            }
            Order::Drain => {
                self.told_to_drain = true;
                link.command(&Command::Drain, Vec::new())
            }
            Order::Shutdown => {
                let grace_ms = self.task.context.config().rules.terminate_grace_ms;
                link.command(&Command::Shutdown { grace_ms }, Vec::new())
            }
        }
    }

    async fn hear(&mut self, report: Report) -> Result<(), HostFault> {
        let host = self.task.plan.host;
        match report {
            Report::SessionStarted { session } => {
                self.own(session)?;
                if let Some(live) = self.task.context.ledger.live(session) {
                    self.task.context.fanout.tell(Told::SessionStarted(Arc::new(live.info), host));
                }
                self.tell(HostEvent::SessionStarted(session)).await?;
            }
            Report::SessionRerouted { session, agent } => {
                self.own(session)?;
                self.sessions.insert(session, agent.clone());
                self.tell(HostEvent::SessionRerouted(session, agent)).await?;
            }
            Report::SessionEvent { session, event } => self.telemetry(session, event)?,
            Report::SessionEnded { session, status, error } => self.session_ended(session, status, error).await?,
            Report::Log { level, message } => {
                if self.admits_telemetry() {
                    self.task.log(level, &message);
                }
            }
            Report::Snapshot(snapshot) => self.task.record.set_snapshot(snapshot),
            Report::Pong { nonce } => {
                if let Some((event, micros)) = self.liveness.pong(nonce)? {
                    self.task.record.gauge(|gauges| gauges.ping_micros = micros);
                    if let Some(event) = event {
                        self.tell(event).await?;
                    }
                }
            }
            Report::Bye { .. } => {
                // It may be gone before policy, which hears of its last session's end only now, can tell it to go.
                if self.told_to_drain && self.sessions.is_empty() {
                    self.task.record.intend(Intent::Drained);
                }
                self.tell(HostEvent::Leaving).await?;
            }
            Report::Hello(_) | Report::Launched { .. } | Report::SetupFailed { .. } | Report::Ready { .. } => {
                return Err(LinkFault::Violation { kind: "phase" }.into());
            }
        }
        Ok(())
    }

    async fn session_ended(
        &mut self,
        session: SessionId,
        status: EndStatus,
        error: Option<String>,
    ) -> Result<(), HostFault> {
        self.own(session)?;
        self.sessions.remove(&session);
        self.task.record.set_working(!self.sessions.is_empty());
        let mut error = error.map(|error| self.task.redactor.redact_cut(&error, ERROR_BYTES_MAX).into_owned());
        let mut denied = None;
        if status == EndStatus::Failed {
            if let Some(intent) = sampling::killed_by_kernel(&self.task).await {
                // The kernel took the session's program, and the host that says "failed" is all that is left.
                return Err(HostFault::Breached(intent));
            }
            denied = error.as_deref().and_then(|error| denied::path(error, &self.grants)).map(str::to_owned);
            error = error.map(|error| match &denied {
                Some(path) => denied::with_remedy(&error, path),
                None => self.task.with_missing_key(error),
            });
        }
        Ok(self.tell(HostEvent::SessionEnded { session, status, error, denied }).await?)
    }

    async fn tell(&self, event: HostEvent) -> Result<(), Stopping> {
        self.task.context.handle.host(self.task.plan.host, event).await
    }

    fn own(&self, session: SessionId) -> Result<&AgentName, LinkFault> {
        self.sessions.get(&session).ok_or(LinkFault::Violation { kind: "ownership" })
    }

    fn admits_telemetry(&mut self) -> bool {
        let admitted = self.telemetry_rate.take(Instant::now(), 1);
        if !admitted {
            self.task.record.gauge(|gauges| gauges.dropped += 1);
        }
        admitted
    }

    /// Telemetry goes past the driver: it must never queue behind, or ahead of, a decision.
    fn telemetry(&mut self, session: SessionId, mut event: SessionEvent) -> Result<(), LinkFault> {
        let agent = self.own(session)?.clone();
        if !self.admits_telemetry() {
            return Ok(());
        }
        self.task.redactor.redact_event(&mut event);
        self.task.context.ledger.note(session, self.task.plan.host, &event);
        let stamp = Stamp { session: Some(session), agent: Some(agent), ..self.task.stamp() };
        self.task.context.fanout.tell(Told::SessionEvent(stamp, Arc::new(event)));
        Ok(())
    }
}
