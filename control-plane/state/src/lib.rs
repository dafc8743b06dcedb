//! The replicated state machine: commands, apply, tables.
