//! `[observers.*]`, `[metrics]`, `[traces]`, `[audit]` and `[logs]`: who is told, and how.
//!
//! Owns: these sections. Never: opens a file.

use std::path::PathBuf;

use hyper::Uri;

use super::section::Section;
use crate::telemetry::Format;

/// Built-in observers, and how long any of them may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observers {
    /// Events as JSON lines, into this file; `None` is off.
    pub jsonl: Option<PathBuf>,
    /// For a session's start, in milliseconds.
    pub start_timeout_ms: u64,
    /// For a session's end, in milliseconds.
    pub end_timeout_ms: u64,
}

/// OpenRTC's metrics stream (schema 2), and Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Into this file, truncated at start; `None` is off.
    pub jsonl: Option<PathBuf>,
    /// Between two snapshots, in milliseconds.
    pub jsonl_interval_ms: u64,
    /// Events kept between two writes; more are dropped and counted.
    pub stream_events_max: usize,
    /// Whether `/metrics` is served at `health_listen` too, where nobody needs a token.
    pub without_token: bool,
}

/// Sessions as OpenTelemetry traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// To the collector at this address; `None` is off.
    pub otlp_endpoint: Option<String>,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// Into this file, which is never truncated; `None` is off.
    pub path: Option<PathBuf>,
    /// Refusals of one kind are counted for so long before they are recorded as one number, in milliseconds.
    pub refusals_interval_ms: u64,
}

/// The supervisor's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Form.
    pub format: Format,
}

impl Observers {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        section.later(&[("voicegateway", "use [observers.jsonl]"), ("webhook", "use [observers.jsonl]")]);
        let jsonl = section.table("jsonl", |jsonl| jsonl.path_or_none("path"));
        let (start, end) = section.table("timeouts", |timeouts| {
            (timeouts.seconds("start_s", 100..=60_000), timeouts.seconds("end_s", 100..=600_000))
        });
        Self { jsonl, start_timeout_ms: start.unwrap_or(5_000), end_timeout_ms: end.unwrap_or(30_000) }
    }
}

impl Metrics {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            jsonl: section.path_or_none("jsonl"),
            jsonl_interval_ms: section.seconds("jsonl_interval_s", 250..=3_600_000).unwrap_or(1_000),
            stream_events_max: section.whole("stream_events_max", 1..=65_536).unwrap_or(256) as usize,
            without_token: section.flag("without_token").unwrap_or(false),
        }
    }
}

impl Traces {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let spot = section.text_or_none("otlp_endpoint").filter(|spot| spot.value != "off");
        let Some(spot) = spot else { return Self { otlp_endpoint: None } };
        let endpoint = spot.value.parse::<Uri>().ok().filter(|uri| {
            let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
            plain && uri.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'))
        });
        if endpoint.is_none() {
            let remedy = "give \"off\", or http://HOST:PORT of a collector beside us, as \"http://127.0.0.1:4318\"";
            // It may carry a password, so it is not repeated.
            section.faults.add(&spot.origin, &spot.key, None, "is no address of a collector", remedy);
        }
        Self { otlp_endpoint: endpoint.map(|_| spot.value) }
    }
}

impl AuditSettings {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            path: section.path_or_none("path"),
            refusals_interval_ms: section.seconds("refusals_interval_s", 1_000..=3_600_000).unwrap_or(60_000),
        }
    }
}

impl Logs {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let formats = [("auto", Format::Auto), ("text", Format::Text), ("json", Format::Json)];
        section.later(&[
            ("redact", "a tenant's own keys are hidden in all that its hosts write, without it"),
            ("line_max_kib", "lines are cut at 16 KiB"),
        ]);
        Self { format: section.choice("format", &formats).unwrap_or(Format::Auto) }
    }
}
