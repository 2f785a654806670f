//! Codec: a node's numbers in the text that Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::node::{MetricKind, Metrics};

/// The media type of [`prometheus_text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All values as OpenMetrics text.
#[must_use]
pub fn prometheus_text(metrics: Metrics) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(metrics)));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Snapshot(Metrics);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut values = self.0.iter().peekable();
        while let Some((name, _, kind, _)) = values.peek().copied() {
            // The encoder adds `_total` to counters by itself.
            let (plain, metric_type) = match kind {
                MetricKind::Counter => (name.strip_suffix("_total").unwrap_or(name), MetricType::Counter),
                MetricKind::Gauge => (name, MetricType::Gauge),
            };
            let mut family = encoder.encode_descriptor(plain, &plain.replace('_', " "), None, metric_type)?;
            while let Some((_, labels, kind, value)) = values.next_if(|(next, ..)| *next == name) {
                let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
                let labels = labels.as_slice();
                let series = family.encode_family(&labels)?;
                match kind {
                    MetricKind::Counter => ConstCounter::new(value).encode(series)?,
                    MetricKind::Gauge => ConstGauge::new(signed(value)).encode(series)?,
                }
            }
        }
        Ok(())
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_stand_together_with_their_labels() {
        let mut metrics = Metrics::default();
        metrics.counter("ims_register_rejected_total", &[("reason", "bad \"auth\"")], 3);
        metrics.counter("ims_register_rejected_total", &[("reason", "unknown user")], 4);
        metrics.gauge("ims_contacts", &[], 7);
        assert_eq!(
            prometheus_text(metrics),
            "# HELP ims_contacts ims contacts\n\
             # TYPE ims_contacts gauge\n\
             ims_contacts{} 7\n\
             # HELP ims_register_rejected ims register rejected\n\
             # TYPE ims_register_rejected counter\n\
             ims_register_rejected_total{reason=\"bad \\\"auth\\\"\"} 3\n\
             ims_register_rejected_total{reason=\"unknown user\"} 4\n\
             # EOF\n"
        );
    }
}
