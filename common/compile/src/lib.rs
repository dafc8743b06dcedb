//! Documents to the compiled snapshot that a data node runs.
