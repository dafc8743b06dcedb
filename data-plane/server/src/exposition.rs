//! The node's counts as Prometheus reads them (text format 0.0.4).
//!
//! Promise: one pass over all cores per scrape; label values are escaped. Absent: anything of a single request.

use std::fmt::Write as _;
use std::sync::Arc;

use sluice_integrate::FaultKind;
use sluice_pipeline::tally::{CLASSES, CoreTally, Count, LATENCY_BOUNDS_S, Summary, THROTTLED_BY, Times, summarise};
use sluice_telemetry::{Metric, metric};

/// What a scrape of `/metrics` needs to know about the node itself.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// Buckets of rate limits in memory.
    pub(crate) buckets: usize,
    /// Open connections of each core.
    pub(crate) connections: Vec<usize>,
}

/// Renders the counts of all cores.
pub(crate) fn render(cores: &[Arc<CoreTally>], standing: &Standing) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    let sums = summarise(cores);
    let rows: Vec<(String, &Summary)> = sums
        .iter()
        .map(|(stage, summary)| {
            let (api, stage) = stage.as_ref().map_or(("", ""), |(api, stage)| (api, stage));
            (format!("{}=\"{}\",{}=\"{}\"", metric::API_ID, Escaped(api), metric::STAGE, Escaped(stage)), summary)
        })
        .collect();
    page.requests(&rows);
    page.histogram(&metric::REQUEST_SECONDS, &rows, |summary| &summary.latency);
    page.histogram(&metric::INTEGRATION_SECONDS, &rows, |summary| &summary.integration);
    page.throttled(cores);
    page.faults(cores);
    let total = |count: fn(&CoreTally) -> &Count| cores.iter().map(|core| count(core).get()).sum::<u64>();
    let (accepted, closed) = (total(|core| &core.accepted), total(|core| &core.closed));
    page.single(&metric::CONNECTIONS_TAKEN, "counter", accepted);
    page.single(&metric::CONNECTIONS, "gauge", accepted.saturating_sub(closed));
    let (rests, wakes) = (total(|core| &core.rests), total(|core| &core.wakes));
    page.single(&metric::CONNECTIONS_RESTING, "gauge", rests.saturating_sub(wakes));
    page.single(&metric::CONNECTIONS_REFUSED, "counter", total(|core| &core.refused));
    page.single(&metric::CONNECTIONS_HANDED, "counter", total(|core| &core.handed));
    page.by_core(&metric::CORE_CONNECTIONS, &standing.connections);
    page.single(&metric::TLS_HANDSHAKES, "counter", total(|core| &core.handshakes));
    page.by_kind(
        &metric::HANDSHAKES_FAILED,
        &[("tls", total(|core| &core.handshakes_failed)), ("proxy_protocol", total(|core| &core.proxy_headers_failed))],
    );
    page.single(&metric::UPSTREAM_CONNECTIONS, "counter", total(|core| &core.upstream_opened));
    page.single(&metric::UPSTREAM_RETRIES, "counter", total(|core| &core.upstream_retried));
    page.single(&metric::REQUEST_PANICS, "counter", total(|core| &core.panics));
    page.single(&metric::THROTTLE_BUCKETS, "gauge", standing.buckets as u64);
    page.0
}

/// A page of metrics.
struct Page(String);

impl Page {
    fn head(&mut self, metric: &Metric, kind: &str) {
        self.line(format_args!("# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes all that is written");
    }

    fn single(&mut self, metric: &Metric, kind: &str, value: u64) {
        self.head(metric, kind);
        self.line(format_args!("{} {value}", metric.name));
    }

    fn by_core(&mut self, metric: &Metric, values: &[usize]) {
        self.head(metric, "gauge");
        for (core, value) in values.iter().enumerate() {
            self.line(format_args!("{}{{{}=\"{core}\"}} {value}", metric.name, metric::CORE));
        }
    }

    fn by_kind(&mut self, metric: &Metric, counts: &[(&str, u64)]) {
        self.head(metric, "counter");
        for (kind, count) in counts {
            self.line(format_args!("{}{{{}=\"{kind}\"}} {count}", metric.name, metric::KIND));
        }
    }

    fn requests(&mut self, rows: &[(String, &Summary)]) {
        let name = metric::REQUESTS.name;
        self.head(&metric::REQUESTS, "counter");
        for (labels, summary) in rows {
            for (class, count) in CLASSES.iter().zip(summary.endings).filter(|(_, count)| *count > 0) {
                self.line(format_args!("{name}{{{labels},{}=\"{class}\"}} {count}", metric::STATUS));
            }
        }
    }

    fn throttled(&mut self, cores: &[Arc<CoreTally>]) {
        let name = metric::THROTTLED.name;
        self.head(&metric::THROTTLED, "counter");
        for (at, kind) in THROTTLED_BY.iter().enumerate() {
            let count: u64 = cores.iter().map(|core| core.throttled_counts()[at]).sum();
            self.line(format_args!("{name}{{{}=\"{kind}\"}} {count}", metric::KIND));
        }
    }

    fn faults(&mut self, cores: &[Arc<CoreTally>]) {
        let name = metric::INTEGRATION_FAULTS.name;
        self.head(&metric::INTEGRATION_FAULTS, "counter");
        for kind in FaultKind::ALL {
            let count: u64 = cores.iter().map(|core| core.fault_counts()[kind as usize]).sum();
            self.line(format_args!("{name}{{{}=\"{}\"}} {count}", metric::KIND, kind.label()));
        }
    }

    fn histogram(&mut self, metric: &Metric, rows: &[(String, &Summary)], times: fn(&Summary) -> &Times) {
        let name = metric.name;
        self.head(metric, "histogram");
        for (labels, summary) in rows {
            let times = times(summary);
            let count = times.count();
            if count == 0 {
                continue;
            }
            let mut below = 0;
            for (bound, count) in LATENCY_BOUNDS_S.iter().zip(times.buckets) {
                below += count;
                self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
            }
            self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
            self.line(format_args!("{name}_sum{{{labels}}} {}", times.sum_ns as f64 / 1e9));
            self.line(format_args!("{name}_count{{{labels}}} {count}"));
        }
    }
}

/// A label's value with its special characters escaped.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluice_pipeline::tally::{Ending, ThrottledBy};

    use super::*;

    #[test]
    fn the_limits_that_the_help_names_are_those_that_are_counted() {
        let named = metric::THROTTLED.help.split(": ").nth(1).unwrap();
        assert_eq!(named.split(", ").collect::<Vec<_>>(), THROTTLED_BY);
    }

    #[test]
    fn a_page_has_counts_and_cumulative_buckets_by_stage() {
        let core = Arc::new(CoreTally::default());
        let stage = core.stage(&("abc".into(), "d\"v".into()));
        stage.end(Ending::Answered(http::StatusCode::OK), Duration::from_millis(3));
        stage.end(Ending::Answered(http::StatusCode::FORBIDDEN), Duration::from_millis(40));
        core.throttled(ThrottledBy::Plan);
        core.set_faults(FaultKind::Exhausted, 3);
        let page = render(&[core], &Standing { buckets: 2, connections: vec![3, 1] });
        for line in [
            "sluice_requests_total{api_id=\"abc\",stage=\"d\\\"v\",status=\"2xx\"} 1",
            "sluice_requests_total{api_id=\"abc\",stage=\"d\\\"v\",status=\"4xx\"} 1",
            "sluice_throttled_total{kind=\"plan\"} 1",
            "sluice_integration_faults_total{kind=\"exhausted\"} 3",
            "sluice_integration_faults_total{kind=\"timeout\"} 0",
            "sluice_request_seconds_bucket{api_id=\"abc\",stage=\"d\\\"v\",le=\"0.005\"} 1",
            "sluice_request_seconds_bucket{api_id=\"abc\",stage=\"d\\\"v\",le=\"+Inf\"} 2",
            "sluice_request_seconds_count{api_id=\"abc\",stage=\"d\\\"v\"} 2",
            "sluice_throttle_buckets 2",
            "sluice_connections 0",
            "sluice_core_connections{core=\"1\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
