//! gRPC's frame around one message.
//!
//! gRPC over HTTP/2: one byte (1: compressed), four bytes of length, the message.

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::{Status, body::Body};

const HEAD_BYTES: usize = 5;

/// Reads the one framed message of a unary call, of at most `bytes_max`; the frame's head stays on it.
///
/// # Errors
/// `resource_exhausted` when it is too large, or what the connection says.
pub(crate) async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, Status> {
    match Limited::new(body, bytes_max + HEAD_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(match error.downcast::<Status>() {
            Ok(status) => *status,
            Err(error) => Status::resource_exhausted(format!("the message is too large: {error}")),
        }),
    }
}

/// The message within its frame.
///
/// # Errors
/// `internal` when it is not one whole frame, `unimplemented` when it is compressed.
pub(crate) fn message_of(framed: &Bytes) -> Result<Bytes, Status> {
    match framed[..] {
        [] => Ok(Bytes::new()),
        [0, a, b, c, d, ref message @ ..] if u32::from_be_bytes([a, b, c, d]) as usize == message.len() => {
            Ok(framed.slice(HEAD_BYTES..))
        }
        [1, ..] => Err(Status::unimplemented("expected a message without compression, found a compressed one")),
        [..] => Err(Status::internal("expected one gRPC frame, found something else")),
    }
}

/// A body of one framed message.
pub(crate) fn body_of(message: &[u8]) -> Body {
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("messages are bounded far below 4 GiB"));
    framed.put_slice(message);
    raw_body(framed.freeze())
}

/// A body of bytes that are framed already.
pub(crate) fn raw_body(framed: Bytes) -> Body {
    Body::new(Full::new(framed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_framed_message_comes_back() {
        let framed = collect(body_of(b"hello"), 5).await.unwrap();
        assert_eq!(message_of(&framed).unwrap(), Bytes::from_static(b"hello"));
        assert!(message_of(&Bytes::from_static(&[1, 0, 0, 0, 0])).is_err());
        for cut in [&[0, 0][..], &[0, 0, 0, 0, 2, b'h'], &[0, 0, 0, 0, 0, b'h']] {
            assert!(message_of(&Bytes::from_static(cut)).is_err(), "{cut:?}");
        }
        assert_eq!(collect(body_of(b"hello"), 4).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    }
}
