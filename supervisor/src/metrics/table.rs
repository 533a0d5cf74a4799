//! Families that are made for one scrape.
//!
//! Owns: their form. Never: keeps a value.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

type Labels = Vec<(&'static str, String)>;

/// One family and its series.
#[derive(Debug, Clone)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    counts: bool,
    rows: Vec<(Labels, f64)>,
}

impl Family {
    /// A family of states.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None, counts: false, rows: Vec::new() }
    }

    /// A family of counters; what is pushed must never fall.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { counts: true, ..Self::gauge(name, help) }
    }

    /// The same, in a unit, which becomes the end of its name.
    #[must_use]
    pub fn in_unit(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The same, with one more series.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        self.push(labels, value);
        self
    }

    /// One more series.
    pub fn push(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.rows.push((labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), value));
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let kind = if self.counts { MetricType::Counter } else { MetricType::Gauge };
        let help = format!("{}.", self.help);
        let mut metric = encoder.encode_descriptor(self.name, &help, self.unit.as_ref(), kind)?;
        for (labels, value) in &self.rows {
            let row = metric.encode_family(labels)?;
            match self.counts {
                true => ConstCounter::new(*value).encode(row)?,
                false => ConstGauge::new(*value).encode(row)?,
            }
        }
        Ok(())
    }
}

/// Families, in order.
#[derive(Debug, Clone, Default)]
pub struct Table(pub Vec<Family>);

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}
