//! A host at work: orders down, reports up.
//!
//! Owns: whose sessions these are, stamping and redacting what the host says, pings. Never: lets a host speak for a
//! session that it was not given (law 2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::{AgentName, Command, Report, SessionEvent, SessionId};
use openrtc_policy::bounds::ERROR_BYTES_MAX;
use openrtc_policy::{HostEvent, HostPlan};
use tokio::sync::mpsc;

use super::HostContext;
use super::birth::BirthFault;
use super::link::{Link, LinkFault};
use super::liveness::Liveness;
use super::order::Order;
use super::rate::TokenBucket;
use super::record::HostRecord;
use super::redact::Redactor;
use crate::observer::{Stamp, Told};
use crate::telemetry::unix_ms;

/// A host that serves.
pub struct Service {
    /// What all hosts share.
    pub context: Arc<HostContext>,
    /// What it is for.
    pub plan: HostPlan,
    /// What is known of it.
    pub record: Arc<HostRecord>,
    /// Its own tenant's secrets, to be kept out of what it says.
    pub redactor: Arc<Redactor>,
    sessions: BTreeMap<SessionId, AgentName>,
    liveness: Liveness,
    telemetry_rate: TokenBucket,
}

impl Service {
    /// A host without sessions.
    pub fn new(context: Arc<HostContext>, plan: HostPlan, record: Arc<HostRecord>, redactor: Arc<Redactor>) -> Self {
        let liveness = Liveness::new(
            Duration::from_millis(context.config.liveness.heartbeat_interval_ms),
            context.config.rules.unresponsive_warn_ms,
        );
        let telemetry_rate = TokenBucket::new(openrtc_policy::bounds::REPORTS_PER_S, std::time::Instant::now());
        Self { context, plan, record, redactor, sessions: BTreeMap::new(), liveness, telemetry_rate }
    }

    /// Serves until the channel fails.
    pub async fn run(mut self, link: &mut Link, orders: &mut mpsc::Receiver<Order>) -> Result<(), BirthFault> {
        loop {
            let room = link.has_room();
            tokio::select! {
                report = link.report() => self.hear(report?).await?,
                Some(order) = orders.recv(), if room => self.obey(link, order)?,
                beat = self.liveness.next() => {
                    if let Some(event) = self.liveness.beat(beat, |nonce| link.command(&Command::Ping { nonce }, None))? {
                        self.context.handle.host(self.plan.host, event).await?;
                    }
                }
            }
        }
    }

    /// Passes an order on.
    fn obey(&mut self, link: &mut Link, order: Order) -> Result<(), LinkFault> {
        match order {
            Order::StartSession(info, recording) => {
                self.sessions.insert(info.session, info.agent.clone());
                self.record.set_working(true);
                let input = recording.is_some();
                link.command(&Command::StartSession { info: *info, input }, recording)
            }
            Order::EndSession(session, reason) => {
                link.command(&Command::EndSession { session, reason: reason.to_owned() }, None)
            }
            Order::Drain => link.command(&Command::Drain, None),
        }
    }

    async fn hear(&mut self, report: Report) -> Result<(), BirthFault> {
        let host = self.plan.host;
        match report {
            Report::SessionStarted { session } => {
                self.own(session)?;
                if let Some(live) = self.context.ledger.live(session) {
                    self.context.fanout.tell(Told::SessionStarted(Arc::new(live.info), host));
                }
                self.context.handle.host(host, HostEvent::SessionStarted(session)).await?;
            }
            Report::SessionRerouted { session, agent } => {
                self.own(session)?;
                self.sessions.insert(session, agent.clone());
                self.context.handle.host(host, HostEvent::SessionRerouted(session, agent)).await?;
            }
            Report::SessionEvent { session, event } => self.telemetry(session, event)?,
            Report::SessionEnded { session, status, error } => {
                self.own(session)?;
                self.sessions.remove(&session);
                self.record.set_working(!self.sessions.is_empty());
                let error = error.map(|error| self.redactor.redact_cut(&error, ERROR_BYTES_MAX).into_owned());
                self.context.handle.host(host, HostEvent::SessionEnded { session, status, error }).await?;
            }
            Report::Log { level, message } => {
                if self.admits_telemetry() {
                    self.context.log(&self.plan, level, &self.redactor.redact(&message));
                }
            }
            Report::Snapshot(snapshot) => self.record.set_snapshot(snapshot),
            Report::Pong { nonce } => {
                if let Some((event, micros)) = self.liveness.pong(nonce)? {
                    self.record.gauge(|gauges| gauges.ping_micros = micros);
                    if let Some(event) = event {
                        self.context.handle.host(host, event).await?;
                    }
                }
            }
            Report::Bye { .. } => self.context.handle.host(host, HostEvent::Leaving).await?,
            Report::Hello(_) | Report::Launched { .. } | Report::SetupFailed { .. } | Report::Ready { .. } => {
                return Err(LinkFault::Violation { kind: "phase" }.into());
            }
        }
        Ok(())
    }

    fn own(&self, session: SessionId) -> Result<&AgentName, LinkFault> {
        self.sessions.get(&session).ok_or(LinkFault::Violation { kind: "ownership" })
    }

    fn admits_telemetry(&mut self) -> bool {
        let admitted = self.telemetry_rate.take(std::time::Instant::now(), 1);
        if !admitted {
            self.record.gauge(|gauges| gauges.dropped += 1);
        }
        admitted
    }

    /// Telemetry goes past the driver: it must never queue behind, or ahead of, a decision.
    fn telemetry(&mut self, session: SessionId, mut event: SessionEvent) -> Result<(), LinkFault> {
        let agent = self.own(session)?.clone();
        if !self.admits_telemetry() {
            return Ok(());
        }
        self.redactor.redact_event(&mut event);
        self.context.ledger.note(session, self.plan.host, &event);
        let stamp = Stamp {
            tenant: self.plan.tenant.clone(),
            host: self.plan.host,
            session: Some(session),
            agent: Some(agent),
            at_unix_ms: unix_ms(),
        };
        self.context.fanout.tell(Told::SessionEvent(stamp, Arc::new(event)));
        Ok(())
    }
}
