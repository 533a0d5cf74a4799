//! `[circuit_breaker]`, of all tenants and of one (semantics D1–D4).
//!
//! Owns: the breaker's keys, ranges and defaults. Never: opens one.

use openrtc_policy::bounds::BREAKER_SAMPLES_MAX;
use openrtc_policy::rules::BreakerRules;

use super::section::{Limit, Section};

/// The seeds' numbers.
pub(super) const DEFAULTS: BreakerRules = BreakerRules {
    enabled: false,
    cooldown_ms: 30_000,
    failure_ratio: 0.5,
    min_samples: 5,
    window_ms: 60_000,
    half_open_max_sessions: None,
    half_open_success_after_ms: 10_000,
    count_operator_kills: false,
};

/// What was written.
#[derive(Debug, Clone, Default)]
pub(super) struct BreakerFile {
    enabled: Option<bool>,
    cooldown_ms: Option<u64>,
    failure_ratio: Option<f64>,
    min_samples: Option<u64>,
    window_ms: Option<u64>,
    half_open_max_sessions: Option<Limit>,
    half_open_success_after_ms: Option<u64>,
    count_operator_kills: Option<bool>,
}

impl BreakerFile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            enabled: section.flag("enabled"),
            cooldown_ms: section.seconds("cooldown_s", 100..=86_400_000),
            failure_ratio: section.ratio("failure_ratio", 0.01..=0.99),
            min_samples: section.whole("min_samples", 1..=BREAKER_SAMPLES_MAX as u64),
            window_ms: section.seconds("window_s", 1_000..=86_400_000),
            half_open_max_sessions: section.limit("half_open_max_sessions", 1..=1_000),
            half_open_success_after_ms: section.seconds("half_open_success_after_s", 100..=3_600_000),
            count_operator_kills: section.flag("count_operator_kills"),
        }
    }

    /// The keys that were written.
    pub(super) fn written(&self) -> Vec<&'static str> {
        let keys = [
            ("enabled", self.enabled.is_some()),
            ("cooldown_s", self.cooldown_ms.is_some()),
            ("failure_ratio", self.failure_ratio.is_some()),
            ("min_samples", self.min_samples.is_some()),
            ("window_s", self.window_ms.is_some()),
            ("half_open_max_sessions", self.half_open_max_sessions.is_some()),
            ("half_open_success_after_s", self.half_open_success_after_ms.is_some()),
            ("count_operator_kills", self.count_operator_kills.is_some()),
        ];
        keys.into_iter().filter(|(_, written)| *written).map(|(key, _)| key).collect()
    }

    /// Over the built-in numbers.
    pub(super) fn over_defaults(&self) -> BreakerRules {
        self.over(&DEFAULTS)
    }

    /// Over those of all tenants.
    pub(super) fn over(&self, base: &BreakerRules) -> BreakerRules {
        BreakerRules {
            enabled: self.enabled.unwrap_or(base.enabled),
            cooldown_ms: self.cooldown_ms.unwrap_or(base.cooldown_ms),
            failure_ratio: self.failure_ratio.unwrap_or(base.failure_ratio),
            min_samples: self.min_samples.map_or(base.min_samples, |samples| samples as u32),
            window_ms: self.window_ms.unwrap_or(base.window_ms),
            half_open_max_sessions: match self.half_open_max_sessions {
                Some(limit) => limit.number().map(|sessions| sessions as u32),
                None => base.half_open_max_sessions,
            },
            half_open_success_after_ms: self.half_open_success_after_ms.unwrap_or(base.half_open_success_after_ms),
            count_operator_kills: self.count_operator_kills.unwrap_or(base.count_operator_kills),
        }
    }
}
