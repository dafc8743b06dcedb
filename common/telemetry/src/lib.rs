//! Metric and field names, the per-node recorder.
