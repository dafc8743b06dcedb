//! Benchmarks whose figures the README prints.
