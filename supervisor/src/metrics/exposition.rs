//! The text of a scrape.
//!
//! Owns: its two forms, and which one a scraper asked for. Never: fails; what cannot be written is left out.

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// A form of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own text, for whoever does not ask for the other.
    Prometheus,
}

impl Form {
    /// What the `Accept` of a request asks for.
    pub fn asked(accept: Option<&str>) -> Self {
        match accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// These families as text.
    pub fn write(self, registries: &[Registry]) -> String {
        let mut out = String::new();
        for registry in registries {
            // A string takes everything that is written to it.
            let _ = match self {
                Self::OpenMetrics => text::encode_registry(&mut out, registry),
                Self::Prometheus => prometheus_text::encode(&mut out, registry),
            };
        }
        if self == Self::OpenMetrics {
            let _ = text::encode_eof(&mut out);
        }
        out
    }
}
