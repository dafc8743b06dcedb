//! The state machine as a whole: rules case by case, and properties over random logs.

mod cluster;
mod cost;
mod golden;
mod golden_log;
mod golden_log_of_access;
mod invariants;
mod properties;
mod removal;
mod restore;
mod rules;
mod rules_of_apis;
mod rules_of_audit;
mod rules_of_operators;
mod rules_of_requests;
