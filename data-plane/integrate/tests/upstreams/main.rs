//! Calls of scripted backends over loopback sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; clippy sees only test functions as tests"
)]

mod early_answers;
mod hanging_up;
mod harness;
mod keeping;
mod mock;
mod names;
mod oracle;
mod responses;
mod timing;
mod tls;
mod uploads;
