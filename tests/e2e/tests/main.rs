//! End-to-end tests: one binary, since each links for long.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod access;
mod agreement;
mod backups;
mod catch_up;
mod certificates;
mod clients;
mod cluster;
mod damage;
mod deadlines;
mod disk;
mod endurance;
mod fail_points;
mod files;
mod fleet;
mod following;
mod github;
mod growth;
mod https;
mod imports;
mod in_process;
mod isolation;
mod joining;
mod key_import;
mod keys;
mod kills;
mod linearizable;
mod members;
mod one_way;
mod operators;
mod partition;
mod poison;
mod ports;
mod power;
mod recovery;
mod reflection;
mod rolling;
mod rotation;
mod secrets;
mod stages;
mod traffic;
mod upgrade;
