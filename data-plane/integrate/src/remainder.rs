//! The rest of a request whose answer is whole already.
//!
//! A backend may answer before it has read all of a request and still take the rest, as it must if it wants the connection
//! to be used again (RFC 9112, section 9.3). The client has its answer by then.
//! Promise: the rest goes on as the client sends it; it is given up when the backend closes or says more, when the client
//! gives up, or when nothing moves for the longest silence of a body. The client's body is let go of then, and its HTTP
//! engine ends the connection, or resets the stream (RFC 9113, section 8.1).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::conn::Conn;
use crate::pool::Backend;
use crate::stall::Stall;
use crate::upload::Upload;

/// Room for what a backend must not say, in bytes.
const WATCH_BYTES: usize = 16;

/// What became of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Taken,
    GivenUp,
}

/// Sends what is left, beside whatever the core does next, and keeps the connection if all of it was taken.
pub(crate) fn send(backend: Rc<Backend>, mut conn: Conn, mut upload: Box<Upload>, stall_after: Duration) {
    let mut stall = Stall::new(stall_after);
    // Ends with the client's connection, which has the body's other end and is counted by the core.
    tokio::task::spawn_local(async move {
        if poll_fn(|cx| poll_rest(cx, &mut conn, &mut upload, &mut stall)).await == Rest::Taken {
            backend.put(conn);
        }
    });
}

fn poll_rest(cx: &mut Context<'_>, conn: &mut Conn, upload: &mut Upload, stall: &mut Stall) -> Poll<Rest> {
    let written = upload.written();
    if let Poll::Ready(sent) = upload.poll_send(cx, &mut conn.io) {
        return Poll::Ready(if sent.is_ok() { Rest::Taken } else { Rest::GivenUp });
    }
    if conn.poll_read(cx, WATCH_BYTES).is_ready() {
        return Poll::Ready(Rest::GivenUp);
    }
    if upload.written() > written {
        stall.moved();
    }
    stall.poll(cx).map(|()| Rest::GivenUp)
}
