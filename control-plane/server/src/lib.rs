//! One control-plane node: settings and assembly.
