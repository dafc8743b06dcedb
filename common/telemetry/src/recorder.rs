//! Where one node keeps its metrics.
//!
//! Promise: nothing is shared between two `Metrics`; a handle counts with one atomic and without a lock.

use std::{fmt, sync::Arc};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{Metric, metric};

/// Bounds of histograms in seconds: 100 µs to 30 s, which is past the longest default timeout (29 s).
const SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of one node. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// An empty recorder that knows the meaning of every metric.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(SECONDS).expect("the list of bounds is not empty");
        let recorder = builder.build_recorder();
        for metric in metric::COUNTERS {
            recorder.describe_counter(metric.name.into(), Some(metric.unit), metric.help.into());
        }
        for metric in metric::GAUGES {
            recorder.describe_gauge(metric.name.into(), Some(metric.unit), metric.help.into());
        }
        for metric in metric::HISTOGRAMS {
            recorder.describe_histogram(metric.name.into(), Some(metric.unit), metric.help.into());
        }
        let handle = recorder.handle();
        Self { recorder: Arc::new(recorder), handle }
    }

    /// A counter, with the values of its labels in their order. Keep the handle: finding it again costs a lookup.
    pub fn counter(&self, metric: &Metric, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    /// A gauge, with the values of its labels in their order.
    pub fn gauge(&self, metric: &Metric, values: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, values), &METADATA)
    }

    /// A histogram, with the values of its labels in their order.
    pub fn histogram(&self, metric: &Metric, values: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(metric, values), &METADATA)
    }

    /// Everything, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds the samples that histograms have gathered. Call it every few seconds: without, and without a scraper, they
    /// would only pile up.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

const METADATA: Metadata<'static> = Metadata::new("sluice", Level::INFO, None);

fn key(metric: &Metric, values: &[&str]) -> Key {
    assert_eq!(metric.labels.len(), values.len(), "{} takes a value for each of its labels", metric.name);
    let labels: Vec<_> =
        metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_in_one_process_count_apart() {
        let (a, b) = (Metrics::new(), Metrics::new());
        a.counter(&metric::REQUESTS, &["a1", "prod", "2xx"]).increment(3);
        let line = "sluice_requests_total{api_id=\"a1\",stage=\"prod\",status=\"2xx\"} 3";
        assert!(a.render().contains(line), "{}", a.render());
        assert!(!b.render().contains("api_id"));
    }

    #[test]
    fn histograms_survive_upkeep_and_have_buckets() {
        let metrics = Metrics::new();
        metrics.histogram(&metric::COMPILE_SECONDS, &[]).record(0.003);
        metrics.upkeep();
        let text = metrics.render();
        assert!(text.contains("sluice_compile_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("# HELP sluice_compile_seconds time to compile"), "{text}");
    }
}
