//! Calls of scripted backends over loopback sockets.

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
