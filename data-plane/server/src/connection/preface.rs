//! Which HTTP a client in plaintext speaks: HTTP/2 with prior knowledge begins with its preface (RFC 9113, section 3.4).
//!
//! Promise: decided by the first byte that differs; what was read for it is read again by the engine.

use std::rc::Rc;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::{ClientStream, Spoken};
use crate::watch::{Order, Watch};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client speaks; `None` when it is gone, or is to go before it has said so.
pub(super) async fn read(stream: &mut ClientStream, watch: &Rc<Watch>) -> Option<Spoken> {
    let mut bytes = [0; PREFACE.len()];
    let mut count = 0;
    let spoken = loop {
        let read = watch.unless(Order::Finish, stream.read(&mut bytes[count..])).await?.ok()?;
        count += read;
        if read == 0 || bytes[..count] != PREFACE[..count] {
            break Spoken::Http1;
        }
        if count == PREFACE.len() {
            break Spoken::Http2;
        }
    };
    stream.put_back(Bytes::copy_from_slice(&bytes[..count]));
    Some(spoken)
}
