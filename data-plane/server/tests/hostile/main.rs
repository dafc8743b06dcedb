//! Hostile clients: what they are answered, what reaches a backend, and that other clients do not notice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bystander;
#[path = "../../../pipeline/tests/fixture/mod.rs"]
mod fixture;
mod floods;
mod requests;
#[path = "../rig/mod.rs"]
mod rig;
mod slow;
