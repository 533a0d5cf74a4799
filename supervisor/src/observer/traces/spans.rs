//! The spans of one session.
//!
//! Owns: their names, times, attributes and ids. Never: metadata, an error's text, a secret.

use std::time::{Duration, SystemTime};

use openrtc_ipc::{SessionId, Wall, WallState, WallStatus};
use openrtc_policy::{HostPlan, Status as Ended};
use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};

use crate::ledger::EndedSession;
use crate::observer::Admission;
use crate::observer::words::{Named, agent, status_name};

/// What is remembered of a session that has not ended.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) admission: Option<std::sync::Arc<Admission>>,
    pub(super) started: Option<SystemTime>,
}

/// How a host came up.
#[derive(Debug)]
pub(super) struct Born {
    forked: SystemTime,
    walled: SystemTime,
    ready: SystemTime,
    runtime: String,
    spawn: &'static str,
    absent: Vec<&'static str>,
}

impl Born {
    pub(super) fn new(
        ready: SystemTime,
        plan: &HostPlan,
        walls: &[WallStatus],
        walled_after_ms: u64,
        ready_after_ms: u64,
    ) -> Self {
        let forked = ready.checked_sub(Duration::from_millis(ready_after_ms)).unwrap_or(ready);
        let warm = walls.iter().any(|it| it.wall == Wall::Zygote && matches!(it.state, WallState::Kernel(_)));
        let absent = walls.iter().filter(|it| it.wall != Wall::Zygote && !it.state.stands());
        Self {
            forked,
            walled: forked + Duration::from_millis(walled_after_ms),
            ready,
            runtime: plan.runtime.to_string(),
            spawn: if warm { "zygote" } else { "cold" },
            absent: absent.map(|it| it.wall.name()).collect(),
        }
    }
}

/// Who makes the spans.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    scope: InstrumentationScope,
}

impl Source {
    /// A supervisor of this name.
    pub(super) fn new(name: &str) -> Self {
        let scope = InstrumentationScope::builder("openrtc-supervisor").with_version(env!("CARGO_PKG_VERSION"));
        Self { name: name.to_owned(), scope: scope.build() }
    }

    /// All spans of a session that has ended, the root first.
    pub(super) fn spans(&self, known: &Known, host: Option<&Born>, ended: &EndedSession) -> Vec<SpanData> {
        let plan = &ended.conclusion.plan;
        let at = |unix_ms| SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
        let end = at(ended.ended_at_unix_ms);
        // Where the admission was not heard, the trace begins with what was.
        let asked = known.admission.as_ref().map(|admission| admission.asked).or(known.started).unwrap_or(end);
        let trace = Trace { source: self, session: plan.session };
        let mut spans = vec![trace.root(asked, end.max(asked), ended)];
        if let Some(admission) = &known.admission {
            let routed_by = KeyValue::new("openrtc.routed_by", admission.admitted.routed_by);
            spans.push(trace.span("admission", "dispatch", admission.asked, admission.answered, vec![routed_by]));
        }
        // A host that was there before was not spawned for this session.
        if let Some(born) = host.filter(|born| born.ready >= asked) {
            let attributes = vec![
                KeyValue::new("openrtc.runtime", born.runtime.clone()),
                KeyValue::new("openrtc.spawn", born.spawn),
            ];
            spans.push(trace.span("spawn", "dispatch", born.forked, born.ready, attributes));
            let absent = KeyValue::new("openrtc.walls_absent", born.absent.join(","));
            spans.push(trace.span("wall", "spawn", born.forked, born.walled, vec![absent]));
        }
        if let Some(started) = known.started {
            spans.push(trace.span("session", "dispatch", started, end.max(started), Vec::new()));
        }
        spans
    }
}

/// One session's trace. Its ids follow from the supervisor's name and the session's id, so that nothing is drawn.
struct Trace<'a> {
    source: &'a Source,
    session: SessionId,
}

impl Trace<'_> {
    /// The first bytes of a digest; as many as are wanted, and at most 32.
    fn digest<const BYTES: usize>(&self, name: &str) -> [u8; BYTES] {
        let mut digest = Sha256::new();
        for part in [self.source.name.as_str(), &self.session.to_string(), name] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        std::array::from_fn(|at| digest[at])
    }

    fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.digest("trace"))
    }

    fn span_id(&self, name: &str) -> SpanId {
        SpanId::from_bytes(self.digest(name))
    }

    fn root(&self, from: SystemTime, to: SystemTime, ended: &EndedSession) -> SpanData {
        let conclusion = &ended.conclusion;
        let (plan, outcome) = (&conclusion.plan, &conclusion.outcome);
        let (status, reason) = (status_name(outcome.status), Named::of(&outcome.reason).name);
        let told = [KeyValue::new("openrtc.status", status), KeyValue::new("openrtc.reason", reason.clone())];
        let mut attributes = vec![
            KeyValue::new("openrtc.tenant", plan.tenant.to_string()),
            KeyValue::new("openrtc.session", plan.session.to_string()),
            KeyValue::new("openrtc.agent", agent(ended).to_string()),
            KeyValue::new("openrtc.room", plan.room.clone()),
        ];
        attributes.extend(conclusion.host.map(|host| KeyValue::new("openrtc.host", host.to_string())));
        attributes.extend(told.clone());
        let mut root = self.span("dispatch", "", from, to, attributes);
        root.span_kind = SpanKind::Consumer;
        root.events.events.push(Event::new("outcome", to, told.into(), 0));
        if outcome.status == Ended::Failed {
            root.status = Status::error(reason);
        }
        root
    }

    /// A span below another one, or below none.
    fn span(
        &self,
        name: &'static str,
        parent: &str,
        from: SystemTime,
        to: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let context =
            SpanContext::new(self.trace_id(), self.span_id(name), TraceFlags::SAMPLED, false, TraceState::NONE);
        SpanData {
            span_context: context,
            parent_span_id: if parent.is_empty() { SpanId::INVALID } else { self.span_id(parent) },
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: from,
            end_time: to,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.source.scope.clone(),
        }
    }
}
