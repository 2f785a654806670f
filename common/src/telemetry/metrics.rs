//! Codec: a node's numbers in the text that Prometheus reads.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::catalogue::{self, Row};
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
            let metric_type = match kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge | MetricKind::Seconds => MetricType::Gauge,
            };
            let described = Described::of(name);
            let mut family = described.begin(&mut encoder, metric_type)?;
            while let Some((_, labels, kind, value)) = values.next_if(|(next, ..)| *next == name) {
                let labels = borrowed(labels);
                let labels = labels.as_slice();
                let series = family.encode_family(&labels)?;
                match kind {
                    MetricKind::Counter => ConstCounter::new(value).encode(series)?,
                    MetricKind::Gauge => ConstGauge::new(signed(value)).encode(series)?,
                    MetricKind::Seconds => {
                        ConstGauge::new(Duration::from_micros(value).as_secs_f64()).encode(series)?
                    }
                }
            }
        }
        let mut histograms = self.0.histograms().peekable();
        while let Some((name, ..)) = histograms.peek().copied() {
            let described = Described::of(name);
            let mut family = described.begin(&mut encoder, MetricType::Histogram)?;
            while let Some((_, labels, histogram)) = histograms.next_if(|(next, ..)| *next == name) {
                let labels = borrowed(labels);
                let labels = labels.as_slice();
                let parts = histogram.parts();
                let parts: Vec<(f64, u64)> = parts
                    .map(|(bound, count)| (bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()), count))
                    .collect();
                family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                    histogram.sum().as_secs_f64(),
                    histogram.count(),
                    &parts,
                    None,
                )?;
            }
        }
        Ok(())
    }
}

/// A name as the encoder wants it, which adds unit and `_total` by itself; and what the catalogue says.
struct Described {
    plain: &'static str,
    unit: Option<Unit>,
    help: &'static str,
}

impl Described {
    fn of(name: &'static str) -> Self {
        let row = catalogue::row(name);
        let plain = name.strip_suffix("_total").unwrap_or(name);
        let unit = row.and_then(Row::unit);
        let shorter = unit.and_then(|unit| plain.strip_suffix(unit)?.strip_suffix('_'));
        Self {
            plain: shorter.unwrap_or(plain),
            unit: unit.map(|unit| match unit {
                "seconds" => Unit::Seconds,
                "bytes" => Unit::Bytes,
                other => Unit::Other(other.to_owned()),
            }),
            help: row.map_or("", |row| row.help),
        }
    }

    fn begin<'s>(
        &'s self,
        encoder: &'s mut DescriptorEncoder<'_>,
        metric_type: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        encoder.encode_descriptor(self.plain, self.help, self.unit.as_ref(), metric_type)
    }
}

fn borrowed<'s>(labels: &'s [(&'static str, String)]) -> Vec<(&'static str, &'s str)> {
    labels.iter().map(|(k, v)| (*k, v.as_str())).collect()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Histogram;

    #[test]
    fn values_of_one_name_stand_together_with_their_labels_and_what_the_catalogue_says() {
        let mut metrics = Metrics::default();
        metrics.counter("ims_icscf_rejected_total", &[("reason", "bad \"auth\"")], 3);
        metrics.counter("ims_icscf_rejected_total", &[("reason", "unknown user")], 4);
        metrics.gauge("ims_pcscf_contacts", &[], 7);
        metrics.longest("ims_queue_delay_seconds", &[], Duration::from_millis(2));
        assert_eq!(
            prometheus_text(metrics),
            "# HELP ims_icscf_rejected Requests that were refused.\n\
             # TYPE ims_icscf_rejected counter\n\
             ims_icscf_rejected_total{reason=\"bad \\\"auth\\\"\"} 3\n\
             ims_icscf_rejected_total{reason=\"unknown user\"} 4\n\
             # HELP ims_pcscf_contacts Contacts that are registered through this node.\n\
             # TYPE ims_pcscf_contacts gauge\n\
             ims_pcscf_contacts{} 7\n\
             # HELP ims_queue_delay_seconds How long the message that was served last had waited; of several shards the longest.\n\
             # TYPE ims_queue_delay_seconds gauge\n\
             # UNIT ims_queue_delay_seconds seconds\n\
             ims_queue_delay_seconds{} 0.002\n\
             # EOF\n"
        );
    }

    #[test]
    fn histogram_is_told_with_rising_counts() {
        let mut histogram = Histogram::new(&[1_000, 2_500_000]);
        for millis in [1, 2_000, 3_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut metrics = Metrics::default();
        metrics.histogram("ims_driver_turn_duration_seconds", &[], &histogram);
        let text = prometheus_text(metrics);
        for line in [
            "# TYPE ims_driver_turn_duration_seconds histogram",
            "ims_driver_turn_duration_seconds_sum{} 5.001",
            "ims_driver_turn_duration_seconds_count{} 3",
            "ims_driver_turn_duration_seconds_bucket{le=\"0.001\"} 1",
            "ims_driver_turn_duration_seconds_bucket{le=\"2.5\"} 2",
            "ims_driver_turn_duration_seconds_bucket{le=\"+Inf\"} 3",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
