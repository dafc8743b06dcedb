//! The rest of a request over HTTP/2 that nobody wants.
//!
//! A stream whose request is let go of before its end is reset behind its answer. RFC 9113, section 8.1, allows that, with
//! `NO_ERROR`, and many clients lose the answer by it: they drop what they have not read yet, or write to the stream and
//! take the failure for the request's. A request that was taken to its end is followed by no reset.
//! Promise: what the client still sends is read and thrown away, within the stream's window; only a client that pauses or
//! goes on for too long is reset. Absent: HTTP/1.1, where the connection lingers instead.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::request_body::Guard;

/// How long a client may go on, in all and without a frame: what a connection of HTTP/1.1 lingers, and nginx's
/// `lingering_time` and `lingering_timeout`.
const DISCARD_WITHIN: Duration = Duration::from_secs(30);
const DISCARD_SILENCE: Duration = Duration::from_secs(5);

/// Reads `incoming` to its end beside whatever the core does next; `guard` is dropped behind it.
pub(crate) fn discard(mut incoming: Incoming, guard: Option<Guard>) {
    // Ends within its time, and with its connection, which the node waits for.
    tokio::task::spawn_local(async move {
        let to_its_end = async {
            loop {
                let frame = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx));
                let Ok(Some(Ok(_))) = timeout(DISCARD_SILENCE, frame).await else { return };
            }
        };
        let _ = timeout(DISCARD_WITHIN, to_its_end).await;
        drop(incoming);
        drop(guard);
    });
}
