//! Sessions as OpenTelemetry traces (`[traces] otlp_endpoint`): dispatch, admission, spawn, wall, session, outcome.
//!
//! Owns: what is remembered of a session until its end, and the batches that go to the collector. Never: tells metadata or
//! an error's text; waits for the collector on anybody's thread but its own.
//!
//! A session is one trace, written when it has ended. A collector that is slow costs this observer its own queue, whose
//! losses are counted as every observer's are; a batch that it does not take is lost, and said so.

mod spans;
mod transport;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use openrtc_ipc::{HostId, SessionId};
use openrtc_policy::bounds::{TRACE_SPANS_MAX, TRACED_HOSTS_MAX, TRACED_SESSIONS_MAX};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::{Observer, ObserverError, Taken, Told};
use crate::ledger::EndedSession;
use spans::{Born, Known, Source};
use transport::PlainHttp;

/// How long the collector may take over one batch.
const COLLECTOR_WITHIN: Duration = Duration::from_secs(4);
/// Where collectors take traces, below their address.
const PATH: &str = "/v1/traces";

/// Tells a collector of each session.
#[derive(Debug)]
pub struct TracesObserver {
    endpoint: String,
    exporter: opentelemetry_otlp::SpanExporter,
    source: Source,
    sessions: BTreeMap<SessionId, Known>,
    hosts: BTreeMap<HostId, Born>,
    waiting: Vec<SpanData>,
}

impl TracesObserver {
    /// For the collector at this address, from the supervisor of this name. Nothing is sent yet.
    pub fn new(endpoint: &str, name: &str) -> Result<Self, ExporterBuildError> {
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(PlainHttp { within: COLLECTOR_WITHIN })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .with_timeout(COLLECTOR_WITHIN)
            .build()?;
        let resource = Resource::builder_empty().with_service_name("openrtc-supervisor").with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", name.to_owned()),
        ]);
        exporter.set_resource(&resource.build());
        Ok(Self {
            endpoint: endpoint.to_owned(),
            exporter,
            source: Source::new(name),
            sessions: BTreeMap::new(),
            hosts: BTreeMap::new(),
            waiting: Vec::new(),
        })
    }

    /// What is known of a session. Where there is no room, the oldest is forgotten: its end was lost, or it never became one.
    fn known(&mut self, session: SessionId) -> &mut Known {
        if self.sessions.len() >= TRACED_SESSIONS_MAX && !self.sessions.contains_key(&session) {
            self.sessions.pop_first();
        }
        self.sessions.entry(session).or_default()
    }

    async fn send(&mut self) -> Taken {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.waiting);
        let spans = batch.len();
        self.exporter.export(batch).await.map_err(|source| ObserverError::Deliver {
            to: format!("{} ({spans} spans are lost)", self.endpoint),
            source: Box::new(source),
        })
    }
}

impl Observer for TracesObserver {
    fn name(&self) -> &str {
        "traces"
    }

    fn hears(told: &Told) -> bool {
        match told {
            Told::Admitted(_)
            | Told::SessionStarted(..)
            | Told::SessionEnded(_)
            | Told::HostUp { .. }
            | Told::HostDown { .. } => true,
            Told::SessionEvent(..)
            | Told::Line(..)
            | Told::Rejected(_)
            | Told::Notice(_)
            | Told::Snapshot(_)
            | Told::Audit(_) => false,
        }
    }

    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at_unix_ms);
        match told {
            Told::Admitted(admission) => {
                self.known(admission.admitted.session).admission = Some(admission.clone());
                Ok(())
            }
            Told::SessionStarted(info, _) => {
                self.known(info.session).started = Some(at);
                Ok(())
            }
            Told::HostUp { plan, walls, walled_after_ms, ready_after_ms, .. } => {
                let born = Born::new(at, plan, walls, *walled_after_ms, *ready_after_ms);
                if self.hosts.len() >= TRACED_HOSTS_MAX {
                    self.hosts.pop_first();
                }
                self.hosts.insert(plan.host, born);
                Ok(())
            }
            Told::HostDown { plan, .. } => {
                self.hosts.remove(&plan.host);
                Ok(())
            }
            Told::SessionEnded(ended) => self.on_session_end(ended).await,
            Told::SessionEvent(..)
            | Told::Line(..)
            | Told::Rejected(_)
            | Told::Notice(_)
            | Told::Snapshot(_)
            | Told::Audit(_) => Ok(()),
        }
    }

    async fn on_session_end(&mut self, ended: &EndedSession) -> Taken {
        let known = self.sessions.remove(&ended.conclusion.plan.session).unwrap_or_default();
        let host = ended.conclusion.host.and_then(|host| self.hosts.get(&host));
        self.waiting.extend(self.source.spans(&known, host, ended));
        if self.waiting.len() >= TRACE_SPANS_MAX { self.send().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Taken {
        self.send().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openrtc_policy::{Admitted, Reason, Status};

    use super::super::{Admission, samples};
    use super::*;

    fn observer() -> TracesObserver {
        TracesObserver::new("http://127.0.0.1:9", "here").unwrap()
    }

    fn admitted(session: SessionId) -> Told {
        let asked = SystemTime::UNIX_EPOCH;
        let admitted = Admitted { session, tenant: samples::tenant(), agent: samples::agent(), routed_by: "explicit" };
        Told::Admitted(Arc::new(Admission { admitted, asked, answered: asked }))
    }

    #[tokio::test]
    async fn sessions_that_never_end_are_forgotten_at_the_bound() {
        let mut observer = observer();
        for seq in 0..TRACED_SESSIONS_MAX as u64 + 10 {
            observer.on(&admitted(SessionId { run: 1, seq }), 1).await.unwrap();
        }
        assert_eq!(observer.sessions.len(), TRACED_SESSIONS_MAX);
        assert!(!observer.sessions.contains_key(&SessionId { run: 1, seq: 0 }), "the newest went");
    }

    #[tokio::test]
    async fn an_end_of_which_nothing_else_was_heard_is_a_trace_all_the_same() {
        let mut observer = observer();
        observer.on(&samples::ended(Status::Success, Reason::Completed, None), 1).await.unwrap();
        let names: Vec<_> = observer.waiting.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["dispatch"]);
        assert!(observer.sessions.is_empty());
    }

    #[tokio::test]
    async fn a_batch_that_nobody_takes_is_not_kept() {
        let mut observer = observer();
        observer.on(&samples::ended(Status::Success, Reason::Completed, None), 1).await.unwrap();
        let error = observer.flush().await.unwrap_err();
        assert_eq!(error.to_string(), "deliver to http://127.0.0.1:9 (1 spans are lost)");
        assert!(observer.waiting.is_empty());
    }
}
