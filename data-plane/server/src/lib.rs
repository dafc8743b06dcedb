//! One data-plane node: listeners, HTTP engine, operations port, drain.
